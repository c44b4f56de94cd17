"""The library in a few lines of Python: load data, load a model, plan, fit, evaluate — or one call that does it all.

Keyword settings are fields of the configuration under their own names (`learning_rate`, `epochs`, `batch_size`); where
two groups have a field of one name, the dotted name says which (`**{'evaluate.batch_size': 64}`).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer import config as config_lib
from jtransfer.checks import one_of
from jtransfer.config import Config, Train, Transfer
from jtransfer.config.experiment import check_training, validate_parts
from jtransfer.config.fields import field_names, unknown_field
from jtransfer.config.transfer import ADAPTATIONS
from jtransfer.data.given import opened
from jtransfer.data.measurable import check_parts
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts, load_parts
from jtransfer.data.source import SourceLike
from jtransfer.data.sources.opening import source_of_path
from jtransfer.errors import UserError
from jtransfer.evaluate.views import make_views
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.crossval.results import CrossResult
from jtransfer.experiments.data.matching import for_model, labelled_for_model, open_for_model
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.predict.asked import Asked
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.prepare import plan_for, prepare
from jtransfer.experiments.run.result import Result
from jtransfer.experiments.run.score import logits_of, score
from jtransfer.experiments.run.start import adapted
from jtransfer.experiments.run.train import Trained, train_model
from jtransfer.pretrained.model import Model
from jtransfer.report.predictions import to_results
from jtransfer.tasks.door import bare
from jtransfer.tasks.labels import check_labels
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.text.terminal import PlainConsole
from jtransfer.transfer.plan import Plan

# Fields that several groups have: the group that is meant when the name stands alone.
_MEANT = {
    'batch_size': 'data.batch_size',
    'folds': 'crossval.folds',
    'name': 'name',
    'repeats': 'augment.repeats',
    'seed': 'seed',
    'test_fraction': 'data.test_fraction',
}
_DEFAULT_EPOCHS = 30.0

Images = str | os.PathLike[str] | SourceLike | Mapping[str, SourceLike]


def configure(config: Config | None = None, **settings: Any) -> Config:
    """A configuration with some fields changed.

    >>> configure(learning_rate=0.01, epochs=3).optim.learning_rate
    0.01

    Args:
        config: what to change; the defaults when None.
        **settings: values by field name, or by dotted name.

    Raises:
        UserError: no such field, a name that several groups have, or a value that does not fit its type.
    """
    config = config or Config()
    known = field_names(config)
    for name, value in settings.items():
        matches = [_MEANT[name]] if name in _MEANT else [k for k in known if name in (k, k.rpartition('.')[2])]
        if not matches:
            raise unknown_field(name, config)
        if len(matches) > 1:
            raise UserError(f"'{name}' could be {' or '.join(matches)}; write **{{'{matches[0]}': …}}")
        config = config_lib.replace(config, matches[0], os.fspath(value) if isinstance(value, os.PathLike) else value)
    return config


def load_data(source: Images, *, seed: int = 0, **settings: Any) -> Parts:
    """Opens labelled images and divides them into `train`, `validation` and `test`.

    Args:
        source: as `data.source` (`'folder:photos'`), a path (`Path('photos')`: of a folder of images, a table, an
            `.npz` file or a data set on disk), a source such as `ArraySource`, or a mapping of them by part.
        seed: of the hold-out and few-shot draws.
        **settings: fields of `config.Data` (`examples_per_class=10`, `test_fraction=0.3`).

    Raises:
        UserError: anything about the data that would stop an experiment later, unreadable images excepted.
    """
    config, given = _with_source(validate_parts(configure(seed=seed, **settings)), source)
    parts = load_parts(config.data, config.seed, given, training='batch_size' in settings)
    check_parts(parts)
    return parts


def make_plan(model: Model, strategy: str = 'fine_tune', *, weight_decay: float = 0.01, **settings: Any) -> Plan:
    """Which parameters of a model move, and how fast.

    Args:
        model: the network.
        strategy: one of `config.transfer.strategies()`: `linear_probe`, `fine_tune`, `gradual`, …; for `lora`,
            `adapter`, `prompt` and `ssf` the model must be adapted first, see `adapt_model`.
        weight_decay: of kernels.
        **settings: other fields of `config.Transfer` (`layer_decay=0.75`, `rules=(('backbone/stem/.*', 'freeze'),)`).

    Raises:
        UserError: a rule that has no effect, or a plan that trains nothing.
    """
    # Whether there is a validation part to wait for, `fit` will see.
    config = validate_parts(configure(strategy=strategy, weight_decay=weight_decay, **settings))
    return plan_for(config, model)


def adapt_model(model: Model, strategy: str, *, seed: int = 0, **settings: Any) -> Model:
    """A model with what a strategy adds to its network; it goes on computing what it did until it is trained.

    >>> jt.fit(lora := jt.adapt_model(model, 'lora', lora_rank=4), data, jt.make_plan(lora, 'lora'))  # doctest: +SKIP

    Args:
        model: the network; left as it is.
        strategy: `lora`, `adapter`, `prompt` or `ssf`.
        seed: of what is added, ≥ 0.
        **settings: fields of `config.Adapters` (`lora_rank=4`).

    Raises:
        UserError: another strategy, targets that the network does not have, or a network that cannot be adapted so.
    """
    one_of('strategy', strategy, ADAPTATIONS)
    return adapted(model, validate_parts(configure(strategy=strategy, seed=seed, **settings)))


def fit(model: Model, data: Parts, plan: Plan | None = None, **settings: Any) -> Trained:
    """Trains a model on `data.train` and returns it; `model` is left as it was, and nothing is written.

    Args:
        model: where training starts.
        data: of `load_data`; with a validation part the best epoch is taken, without one the last.
        plan: which parameters move. None: as the settings say (`strategy='linear_probe'`), by default all of them.
        **settings: fields of the configuration (`epochs=10`, `learning_rate=1e-3`, `horizontal_flip=0.5`).

    Raises:
        UserError: settings that cannot be, or an unreadable image.
        TrainingDivergedError: the loss or a gradient became NaN or infinite.
    """
    if not isinstance(data, Parts):
        raise UserError("fit takes what load_data gives: jt.fit(model, jt.load_data('folder:photos'), …)")
    config = configure(_base(settings), **settings)
    skip = config.data.skip_unreadable or data.skip_unreadable
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, skip_unreadable=skip))
    config = validate_parts(config)
    check_training(config.train, config.optim, config.loss, config.data)
    config = config if plan is None else _planned(config, plan, settings)
    check_parts(data)
    return train_model(prepare(config, data, model=model, plan=plan, evaluated=False))


def evaluate_model(model: Model, part: Part | SourceLike | str | os.PathLike[str], **settings: Any) -> Measured:
    """Measures a model on every example of a part.

    Heads, classes and numbers are matched by name; those that the part has no labels of have no figure of their own.

    Args:
        model: the network.
        part: such as `data.test`, any source, or the name or path of one (`'folder:photos'`: its test part where it has
            one).
        **settings: fields of `config.Evaluate` (`flips=True, crops=5`) and of reading (`skip_unreadable=True`,
            `skip_unlabelled=True`).

    Raises:
        UserError: the model does not know a class (or head, or number) of the part, settings that cannot be, an
            unreadable image, or views that the network does not take.
    """
    if isinstance(part, Parts):
        raise UserError('evaluate_model takes one part of what load_data gives: jt.evaluate_model(model, data.test)')
    config = validate_parts(configure(**settings))
    skip = config.data.skip_unlabelled
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    if isinstance(part, os.PathLike):
        part = source_of_path(part)
    if isinstance(part, str):
        source = open_for_model(part, model, config, data_dir=config.data.data_dir, skip_unlabelled=skip).source
    else:
        source = opened(part)
        check_labels(source.labels, source.tasks, source.ids, 'the part')
        source = for_model(labelled_for_model(source, model, 'the part', skip), model, 'the part')
    held = source if isinstance(source, Part) else Part(source, np.arange(len(source)))
    return score(model, read_examples(held, model.preprocessing, config, views), config).metrics


def predict(model: Model, examples: SourceLike | Sequence[Any], **settings: Any) -> np.ndarray | dict[str, np.ndarray]:
    """What a model makes of every example.

    Args:
        model: the network.
        examples: such as `data.test` or any source, or what the network reads one by one: images as arrays uint8
            (height, width, channel), each of any size. `predict_folder` is for files.
        **settings: fields of `config.Evaluate` (`flips=True, crops=5`) and of reading (`skip_unreadable=True`).

    Returns:
        In the order of the examples: of one label, and of several labels an image, the probabilities [example, class];
        of numbers, these in their own units. A network of several tasks gives a dictionary by their names.

    Raises:
        UserError: settings that cannot be, an unreadable image, or views that the network does not take.
    """
    config = validate_parts(configure(**settings))
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    part = Part(Asked(examples, model), np.arange(len(examples)))
    outputs, _ = logits_of(model, read_examples(part, model.preprocessing, config, views), config)
    results: np.ndarray | dict[str, np.ndarray] = bare(to_results(model.tasks, outputs))
    return results


def fine_tune(checkpoint: str | os.PathLike[str], source: Images, **settings: Any) -> Result:
    """Fine-tunes a pretrained network, evaluates it on the held-out part, and writes a run directory.

    Args:
        checkpoint: a catalogue name (`timm/resnet50.a1_in1k`), a file of weights, or a run directory, as for
            `load_model`.
        source: as for `load_data`.
        **settings: fields of the configuration (`strategy='linear_probe'`, `epochs=10`, `run_dir='runs/bees'`).

    Raises:
        UserError: anything that cannot be done, said before anything is written.
        TrainingDivergedError: the loss or a gradient became NaN or infinite.
    """
    config, given = _with_source(configure(_base(settings), checkpoint=checkpoint, **settings), source)
    return finetune.run(config, given, say=_say(config))


def cross_validate(checkpoint: str | os.PathLike[str], source: Images, **settings: Any) -> CrossResult:
    """Fine-tunes a pretrained network in every fold of a cross-validation, and writes a directory with all of them.

    >>> cross_validate('timm/resnet18.a1_in1k', 'folder:photos', folds=5, strategy='linear_probe')  # doctest: +SKIP

    Args:
        checkpoint: as for `fine_tune`.
        source: as for `load_data`; a test part of its own is in no fold.
        **settings: fields of the configuration, those of `config.CrossVal` among them (`folds=10`,
            `afterwards='ensemble'`).

    Raises:
        UserError: anything that cannot be done, said before anything is written.
        TrainingDivergedError: the loss or a gradient of a fold became NaN or infinite.
    """
    config, given = _with_source(configure(_base(settings), checkpoint=checkpoint, **settings), source)
    result = crossval.run(config, given, say=_say(config))
    assert result is not None  # every fold was asked for
    return result


def _say(config: Config) -> Callable[[str], None]:
    """Prints what a run says of its data and weights, where its progress is shown too, unless `progress=False`."""
    if not config.train.progress:
        return lambda line: None
    console = PlainConsole(stderr=True)
    return lambda line: console.print(line, soft_wrap=True)


def _planned(config: Config, plan: Plan, settings: Mapping[str, Any]) -> Config:
    """The configuration with what a plan says of the transfer; a `UserError` where settings say it too."""
    ruled = {field.name for field in dataclasses.fields(Transfer)}
    if said := [name for name in settings if name.removeprefix('transfer.') in ruled]:
        raise UserError(f'the plan says which parameters move, and so does {said[0]}: give it to make_plan')
    return dataclasses.replace(config, transfer=plan.transfer)


def _base(settings: Mapping[str, Any]) -> Config:
    """The defaults of the Python calls: thirty epochs unless a length is given."""
    told = {'steps', 'epochs', 'train.steps', 'train.epochs'} & set(settings)
    return Config(train=Train(epochs=0.0 if told else _DEFAULT_EPOCHS))


def _with_source(config: Config, source: Images) -> tuple[Config, SourceLike | Mapping[str, SourceLike] | None]:
    if isinstance(source, os.PathLike):
        source = source_of_path(Path(source))
    if isinstance(source, str):
        return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source)), None
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source='memory')), source
