"""One call from a name to a network with its weights, its preprocessing and its class names."""

from __future__ import annotations

import dataclasses
import functools
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jtransfer import models, rules
from jtransfer.adapters import Adaptation, AdaptedNetwork, AnyNetwork, merge
from jtransfer.checks import one_of
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.feature import FeaturePreprocessor
from jtransfer.inputs.prepare import batched
from jtransfer.models.positions import DEFAULT_METHOD
from jtransfer.models.shapes import variable_shapes
from jtransfer.pretrained.adapter_base import on_base
from jtransfer.pretrained.catalogue.locate import Located, locate
from jtransfer.pretrained.checkpoint import ADAPTER_FORMAT, FORMAT, open_adapter, open_model
from jtransfer.pretrained.class_names import about_heads, given_names, name_outputs
from jtransfer.pretrained.files.safetensors import is_safetensors, read_metadata
from jtransfer.pretrained.foreign import open_published
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.load.audit import (
    BACKBONE,
    LoadReport,
    Shape,
    check_blocks,
    load_into,
    random_report,
    same_shape,
)
from jtransfer.pretrained.load.stored import Stored
from jtransfer.tasks.base import Task, single_label

# Part of the stream's definition: the same seed gives other streams (augmentation, order, dropout) other keys.
_STREAM = zlib.crc32(b'init')


@dataclasses.dataclass(frozen=True)
class Model:
    """A network and all that is needed to use it rightly.

    Attributes:
        network: the Flax module, or an adapted one.
        variables: `{'params': {'backbone': …, 'head': …}}`, and 'batch_stats' where there are any; float32. 'params' of
            an adapted network has 'adapters' too.
        architecture: the variant's name.
        preprocessing: how images must look to it; its shape is the network's.
        class_names: of the head's outputs, in order; none for a network without a head, or with several.
        load_report: what was loaded, resized, re-initialised and ignored.
        options: fields of the backbone that differ from the variant.
        naming: of the file that the weights come from: `timm`, `huggingface`, …, `jtransfer` for our own, '' for none.
        positions: how its position embeddings are resized, see `positions.resize_positions`.
        tasks: what its heads are for; given `class_names` alone, one label an image. Logits of several tasks are a
            dictionary by their names.
    """

    network: AnyNetwork
    variables: dict[str, Any] = dataclasses.field(repr=False)
    architecture: str
    preprocessing: Preprocessor
    class_names: tuple[str, ...]
    load_report: LoadReport
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    naming: str = ''
    positions: str = DEFAULT_METHOD
    tasks: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        """Says what an ordinary classifier is for."""
        if self.class_names and not self.tasks:
            object.__setattr__(self, 'tasks', (single_label(self.class_names),))

    @property
    def adaptation(self) -> Adaptation | None:
        """What is added to the network; None where it is a plain one."""
        return self.network.adaptation if isinstance(self.network, AdaptedNetwork) else None


def merge_model(model: Model) -> Model:
    """The model with a plain network that computes the same: LoRA and SSF are merged into its weights.

    A plain model comes back as it is.

    Raises:
        UserError: what is added to the network cannot be merged into its weights (bottleneck adapters, prompts).
    """
    if not isinstance(model.network, AdaptedNetwork):
        return model
    variables = merge(model.network, model.variables)
    return dataclasses.replace(model, network=model.network.network, variables=variables)


def load_model(
    checkpoint: str | os.PathLike[str] = '',
    *,
    architecture: str = '',
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    tasks: Sequence[Task] | None = None,
    image_size: int | Sequence[int] = 0,
    input_channels: int = 0,
    preprocessing: Preprocessor | Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    dtype: str = 'float32',
    drop_path: float = 0.0,
    dropout: float = 0.0,
    head_init: str = 'zeros',
    norm_axis_name: str | None = None,
    seed: int = 0,
    random_weights: bool = False,
    base: str | os.PathLike[str] = '',
    checkpoint_classes: str | os.PathLike[str] | Sequence[str] = (),
) -> Model:
    """Makes a network and fills it with pretrained or random weights.

    The stored head is kept when none of `num_classes`, `class_names` and `tasks` is given, or when `class_names` are
    those of the checkpoint, in any order: its outputs are put in that of `class_names`. Of `tasks`, each keeps the
    stored head of its name where that is of the same kind and outputs; the scaling of its numbers comes with it.
    Otherwise a head is new, and the report says so. `checkpoint_classes` names the classes of a file that does not.

    >>> load_model('timm/resnet50.a1_in1k', num_classes=10)  # doctest: +SKIP
    >>> load_model('~/my_model.safetensors', architecture='convnext_tiny', num_classes=0)  # doctest: +SKIP

    Args:
        checkpoint: a catalogue name (`timm/resnet50.a1_in1k`), `hf://…`, a URL, a file of weights in any known format,
            a run directory, or an adapter file, see `locate`. Empty: random weights.
        architecture: the variant's name. Empty: the one the checkpoint is known to be of.
        num_classes: outputs of the head. 0: no head, the network returns pooled features. None: as many as
            `class_names`, or the checkpoint's.
        class_names: of the outputs, in order. None: the numbers from 0, or the checkpoint's when its head is kept.
        tasks: what the heads are for, instead of `class_names`: one task without a name, or several with a head each.
        image_size: side of the square input, or its height and width, pixels; position embeddings are resized as the
            weights' own code does. 0: the checkpoint's, or the architecture's own.
        input_channels: of the images; the first kernel is fitted (one: summed over the colours, more: repeated). 0: the
            checkpoint's, or three.
        preprocessing: how images must look to the weights, where more is known than the checkpoint says, or some fields
            of that by name (`{'interpolation': 'bilinear'}`); `image_size` and `input_channels` apply on top. None:
            what the checkpoint or the architecture states.
        options: fields of the backbone that these weights need otherwise than is known of them (`{'gelu': 'tanh'}`).
        dtype: computation type, `float32` or `bfloat16`; parameters are float32.
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dropout: dropout probability before the head, in [0, 1).
        head_init: how a new head starts: `zeros` or `normal`.
        norm_axis_name: pmap axis over which batch normalisation takes its statistics. None under jit.
        seed: of the random weights, ≥ 0.
        random_weights: take architecture, input size and preprocessing from the checkpoint, but no weights, and no
            adapters.
        base: of an adapter file, where its base now is, named as a checkpoint. Empty: where the file says.
        checkpoint_classes: names of the outputs of the checkpoint's own head, in its order, where the checkpoint does
            not state them or states others: a sequence, a text with commas, or a file, see `given_names`. No value
            changes. Empty: as it states them, or the numbers from 0.

    Raises:
        UserError: no such checkpoint or architecture, the two do not agree, the stored tensors do not fit, or the base
            of an adapter file is not the one it was trained on.
    """
    one_of('dtype', dtype, ('float32', 'bfloat16'))
    if input_channels < 0:
        raise UserError(f"input_channels={input_channels} must be at least 0 (0: the checkpoint's)")
    if not checkpoint and not architecture:
        raise UserError('load_model needs a checkpoint or an architecture (one of models.variant_names())')
    if base and not checkpoint:
        raise UserError(f'base={os.fspath(base)!r} is that of an adapter file, and no checkpoint is named')
    if checkpoint_classes and not checkpoint:
        raise UserError("checkpoint_classes names the classes of a checkpoint's head, and no checkpoint is named")
    outputs = given_names(checkpoint_classes) if checkpoint_classes else ()
    stored, said = None, bool(preprocessing)
    if checkpoint:
        stored = open_stored(locate(checkpoint), architecture, options, os.fspath(base), outputs, restated=said)
    architecture = stored.architecture if stored is not None else architecture
    options = {**(stored.options if stored is not None else {}), **(options or {})}
    stated = stored.preprocessing if stored is not None else models.describe(architecture).preprocessing
    known = preprocessing if isinstance(preprocessing, Preprocessor) else stated.restated(preprocessing or {})
    preprocessing = known.fitted(image_size, input_channels)
    wanted = heads.chosen_tasks(stored, num_classes, class_names, tasks)
    wanted, kept = heads.kept_heads(wanted, None if random_weights else stored, num_classes, class_names, tasks)
    source = '' if stored is None else stored.source or os.fspath(checkpoint)
    with _named(source):
        plain = models.create(
            architecture,
            num_classes=0,
            preprocessing=preprocessing,
            options=options,
            dtype=dtype,
            drop_path=drop_path,
            dropout=dropout,
            head_init=head_init,
            norm_axis_name=norm_axis_name,
            heads={task.name: task.outputs for task in wanted},
        )
    adaptation = stored.adaptation if stored is not None and not random_weights else None
    network: AnyNetwork = plain if adaptation is None else AdaptedNetwork(plain, adaptation)

    key = jax.random.fold_in(jax.random.key(seed), _STREAM)
    if stored is not None and not isinstance(preprocessing, FeaturePreprocessor):
        check_blocks(source, network.backbone.blocks_in_all, rules.flatten(stored.variables))
    with _named(source):
        shapes = variable_shapes(network, preprocessing.spec())

    def init(key: jax.Array) -> Any:
        # An example that is not made either: only its shape matters, and XLA removes what is computed from it.
        example = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), batched(preprocessing.spec()))
        return network.init(key, example)

    def init_heads(key: jax.Array) -> dict[str, Any]:
        # XLA removes all but the new heads from the compiled program.
        flat = rules.flatten(init(key))
        return rules.unflatten(
            {path: leaf for path, leaf in flat.items() if (head := heads.head_of(path)) and head not in kept}
        )

    if stored is None or random_weights:
        variables = _compile_quickly(init)(key)
        report = random_report(variables)
    else:
        fresh = [path for path in rules.flatten(shapes) if (head := heads.head_of(path)) and head not in kept]
        variables, report = load_into(
            shapes,
            heads.reordered(stored.variables, kept),
            source=source,
            fit=_fit(network, stored, preprocessing),
            fresh=fresh,
            make_fresh=functools.partial(_compile_quickly(init_heads), key) if fresh else dict,
            ignored=stored.ignored,
            name_of=stored.name_of,
        )
        notes = (*stored.notes, *about_heads(wanted, stored, kept))
        if not stored.framed and not said:
            notes += (_unstated(preprocessing),)
        report = dataclasses.replace(report, notes=notes)
    naming = stored.naming if stored is not None and not random_weights else ''
    positions = stored.positions if stored is not None else DEFAULT_METHOD
    names = heads.class_names(wanted)
    return Model(network, variables, architecture, preprocessing, names, report, options, naming, positions, wanted)


@contextmanager
def _named(source: str) -> Iterator[None]:
    """Puts the name of a file before the message of an error, where one is named."""
    try:
        yield
    except UserError as error:
        raise UserError(f'{source}: {error}' if source else str(error)) from None


def open_stored(
    located: Located,
    architecture: str = '',
    options: Mapping[str, Any] | None = None,
    base: str = '',
    classes: tuple[str, ...] = (),
    *,
    restated: bool = False,
) -> Stored:
    """Opens a checkpoint, ours or anybody's.

    Args:
        located: of `locate`.
        architecture: the variant's name, for a file that nothing is known of.
        options: fields of the backbone that these weights need otherwise, for a file that nothing is known of.
        base: of an adapter file, see `load_model`.
        classes: names of the outputs of its head, instead of what it says itself.
        restated: a person also says how images must look, see `open_published`.

    Raises:
        UserError: the file cannot be read, is of another architecture, has no head for these classes, or the base is
            not the right one.
    """
    stored = _open(located, architecture, options, base, named=bool(classes), restated=restated)
    return name_outputs(stored, classes) if classes else stored


def _open(
    located: Located,
    architecture: str,
    options: Mapping[str, Any] | None,
    base: str,
    *,
    named: bool,
    restated: bool,
) -> Stored:
    metadata = read_metadata(located.path) if is_safetensors(located.path) else {}
    kind = metadata.get('format', '')
    if base and kind != ADAPTER_FORMAT:
        raise UserError(f'checkpoint {located.source!r} is no adapter file, so that it has no base; leave base out')
    if not kind.startswith(FORMAT.split('/')[0]):
        return open_published(located, metadata, architecture, options, restated=restated, named=named)
    if kind == ADAPTER_FORMAT:
        stored, needed = open_adapter(located.path)
        located.check_architecture(stored.architecture, architecture)
        return on_base(stored, needed, base, load_model)
    stored = open_model(located.path)
    located.check_architecture(stored.architecture, architecture)
    return stored


def _unstated(preprocessing: Preprocessor) -> str:
    return (
        f'the file does not say how images must be prepared, taken: {preprocessing.summary()} '
        "(model.preprocessing, or load_model's preprocessing, states another)"
    )


def _fit(network: AnyNetwork, stored: Stored, now: Preprocessor) -> Callable[[str, np.ndarray, Shape], Any | None]:
    """How the network's family fits stored values to images as they look now; only those of the backbone can be."""
    # What others publish is made for squares unless it says otherwise; its preprocessing may be for another size.
    was = None
    if stored.naming == 'jtransfer':
        was = stored.preprocessing
    elif stored.shape:
        was = stored.preprocessing.fitted(stored.shape)

    def fit(path: str, value: np.ndarray, shape: Shape) -> Any | None:
        if not path.startswith(BACKBONE):
            return same_shape(path, value, shape)
        return network.backbone.fit(path.removeprefix(BACKBONE), value, shape, was, now, stored.positions)

    return fit


def _compile_quickly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled form for running once: on a CPU, optimising the random draws takes ten times longer than they do."""
    options = {'xla_backend_optimization_level': 0} if jax.default_backend() == 'cpu' else None
    return jax.jit(function, compiler_options=options)
