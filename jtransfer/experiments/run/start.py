"""Where a run starts: the network of a configuration, with its weights, or with shapes alone."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from jtransfer import adapters
from jtransfer.config import Config
from jtransfer.config.fields import parse_options
from jtransfer.config.transfer import ADAPTATIONS
from jtransfer.pretrained.catalogue.entries import entries
from jtransfer.pretrained.catalogue.locate import Located
from jtransfer.pretrained.foreign import identify
from jtransfer.pretrained.model import Model, load_model
from jtransfer.tasks.base import Task


def make_model(config: Config, class_names: Sequence[str], tasks: Sequence[Task] = ()) -> Model:
    """The network of a configuration, with pretrained weights unless the strategy is `scratch`, and what it adds.

    Args:
        config: of the run.
        class_names: of one label an image.
        tasks: instead, where there are any: what the heads are for.
    """
    return _loaded(config, class_names, tasks, seed=config.seed, random_weights=config.transfer.strategy == 'scratch')


class LastModel:
    """Loads a model where it is not the one that was asked for last: several runs, one after another, may share it."""

    def __init__(self, *, drawn: bool = True) -> None:
        """Nothing was asked for yet.

        Args:
            drawn: whether what is drawn with the seed matters; where only shapes do, runs of any seed share a model.
        """
        self._drawn = drawn
        self._model: Model | None = None
        self._asked = ''

    def __call__(self, config: Config, class_names: Sequence[str], tasks: Sequence[Task] = ()) -> Model:
        """As `make_model`."""
        kind = config.transfer.strategy
        adapted_by = (kind, config.adapters) if kind in ADAPTATIONS else None
        seed = config.seed if self._drawn else None
        asked = repr((config.model, adapted_by, kind == 'scratch', seed, tuple(class_names), tuple(tasks)))
        if self._model is None or self._asked != asked:
            self.let_go()  # before there is another in memory
            self._model, self._asked = make_model(config, class_names, tasks), asked
        return self._model

    def let_go(self) -> None:
        """Keeps no model any longer."""
        self._model = None


def abstract_model(config: Config, num_classes: int, tasks: Sequence[Task] = ()) -> Model:
    """The network of a configuration with shapes for variables; weights that the catalogue knows are not fetched.

    Args:
        config: of the run.
        num_classes: outputs of the head, for one label an image.
        tasks: instead, where there are any: what the heads are for.

    Raises:
        UserError: no such checkpoint or architecture, or the two do not agree.
    """
    wanted, known = config.model, {}
    name = wanted.checkpoint.removeprefix('hf://')
    entry = entries().get(name) or entries().get(name.partition('@')[0])
    if entry is not None and (entry.repo or '://' in entry.file):
        identity = identify(Located(Path(entry.file), entry.name, entry), wanted.name)
        known = {
            'checkpoint': '',
            'checkpoint_classes': '',
            'architecture': identity.architecture,
            'preprocessing': identity.preprocessing.restated(parse_options(wanted.preprocessing)),
            'options': {**identity.options, **parse_options(wanted.options)},
        }
    class_names = [str(index) for index in range(num_classes)]
    models: list[Model] = []

    def make() -> dict[str, Any]:
        models.append(_loaded(config, class_names, tasks, random_weights=True, **known))
        return models[0].variables

    # Traced, the random weights are never drawn; what compiles them cannot be traced.
    with jax.disable_jit():
        variables = jax.eval_shape(make)
    return dataclasses.replace(models[0], variables=variables)


def adapted(model: Model, config: Config) -> Model:
    """The model with what the strategy (`lora`, `adapter`, `prompt`, `ssf`) adds to it; nothing changes at first.

    Raises:
        UserError: targets that the network does not have, or a network that cannot be adapted so.
    """
    params, kind = model.variables['params'], config.transfer.strategy
    network, params = adapters.adapt(
        model.network,
        params,
        adapters.make_adaptation(kind, config.adapters, model.network, params),
        key=jax.random.fold_in(jax.random.key(config.seed), zlib.crc32(b'adapters')),
        inputs=dict(model.preprocessing.spec()),
    )
    return dataclasses.replace(model, network=network, variables={**model.variables, 'params': params})


def _loaded(config: Config, class_names: Sequence[str], tasks: Sequence[Task], **changed: Any) -> Model:
    """What `load_model` makes of the configuration, with some arguments changed, and what the strategy adds to it."""
    wanted = config.model
    arguments: dict[str, Any] = {
        'checkpoint': wanted.checkpoint,
        'architecture': wanted.name,
        'class_names': None if tasks else class_names,
        'tasks': tasks or None,
        'image_size': (wanted.image_size, wanted.image_width or wanted.image_size),
        'input_channels': wanted.input_channels,
        'preprocessing': parse_options(wanted.preprocessing),
        'options': parse_options(wanted.options),
        'dtype': wanted.dtype,
        'drop_path': wanted.drop_path,
        'dropout': wanted.dropout,
        'head_init': wanted.head_init,
        'checkpoint_classes': wanted.checkpoint_classes,
    }
    model = load_model(**{**arguments, **changed})
    return adapted(model, config) if config.transfer.strategy in ADAPTATIONS else model
