"""One call from a name to a network with its weights, its preprocessing and its class names."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.preprocessing import Preprocessing
from jtransfer.pretrained.catalogue import resolve
from jtransfer.pretrained.checkpoint import Stored, open_model
from jtransfer.pretrained.load import LoadReport, load_into, random_report

# Part of the stream's definition: the same seed gives other streams (augmentation, order, dropout) other keys.
_STREAM = zlib.crc32(b'init')


@dataclasses.dataclass(frozen=True)
class Model:
    """A network and all that is needed to use it rightly.

    Attributes:
        network: the Flax module.
        variables: `{'params': {'backbone': …, 'head': …}}`, and 'batch_stats' where there are any; float32.
        architecture: the variant's name.
        preprocessing: how images must look to it; its image_size is the network's.
        class_names: of the head's outputs, in order.
        load_report: what was loaded, resized, re-initialised and ignored.
    """

    network: models.Network
    variables: dict[str, Any]
    architecture: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    load_report: LoadReport


def load_model(
    checkpoint: str | os.PathLike[str] = '',
    *,
    architecture: str = '',
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    image_size: int = 0,
    dtype: str = 'float32',
    drop_path: float = 0.0,
    dropout: float = 0.0,
    head_init: str = 'zeros',
    norm_axis_name: str | None = None,
    seed: int = 0,
    random_weights: bool = False,
) -> Model:
    """Makes a network and fills it with pretrained or random weights.

    The stored head is kept when neither `num_classes` nor `class_names` is given, or when `class_names` are those of
    the checkpoint, in its order. Otherwise the head is new, and the report says so.

    Args:
        checkpoint: a catalogue name, a `.safetensors` file of ours, or a run directory. Empty: random weights.
        architecture: the variant's name. Empty: the one the checkpoint states.
        num_classes: outputs of the head. None: as many as `class_names`, or the checkpoint's.
        class_names: of the outputs, in order. None: the numbers from 0, or the checkpoint's when its head is kept.
        image_size: side of the square input, pixels. 0: the checkpoint's, or the architecture's own.
        dtype: computation type, `float32` or `bfloat16`; parameters are float32.
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dropout: dropout probability before the head, in [0, 1).
        head_init: how a new head starts: `zeros` or `normal`.
        norm_axis_name: pmap axis over which batch normalisation takes its statistics. None under jit.
        seed: of the random weights, ≥ 0.
        random_weights: take architecture, input size and preprocessing from the checkpoint, but no weights.

    Raises:
        UserError: no such checkpoint or architecture, the two do not agree, or the stored tensors do not fit.
    """
    if not checkpoint and not architecture:
        raise UserError('load_model needs a checkpoint or an architecture (one of models.variant_names())')
    stored = open_model(resolve(checkpoint)) if checkpoint else None
    if stored is not None and architecture and architecture != stored.architecture:
        raise UserError(
            f"checkpoint {str(checkpoint)!r} is of architecture '{stored.architecture}', not '{architecture}': "
            'leave the architecture out, or name another checkpoint'
        )
    architecture = stored.architecture if stored is not None else architecture
    preprocessing = stored.preprocessing if stored is not None else models.describe(architecture).preprocessing
    preprocessing = dataclasses.replace(preprocessing, image_size=image_size or preprocessing.image_size)
    names = _class_names(stored, num_classes, class_names)
    network = models.create(
        architecture,
        num_classes=len(names),
        image_size=preprocessing.image_size,
        dtype=dtype,
        drop_path=drop_path,
        dropout=dropout,
        head_init=head_init,
        norm_axis_name=norm_axis_name,
    )

    key = jax.random.fold_in(jax.random.key(seed), _STREAM)
    images = jnp.zeros((1, preprocessing.image_size, preprocessing.image_size, 3))

    def init_head(key: jax.Array) -> dict[str, jax.Array]:
        # XLA removes all but the head from the compiled program.
        return network.init(key, images)['params']['head']

    if stored is None or random_weights:
        variables = _compile_quickly(network.init)(key, images)
        report = random_report(variables)
    else:
        keep_head = names == stored.class_names and (num_classes is None or class_names is not None)
        variables, report = load_into(
            jax.eval_shape(network.init, key, images),
            stored.variables,
            source=os.fspath(checkpoint),
            prefix_tokens=network.prefix_tokens,
            fresh_head=None if keep_head else _compile_quickly(init_head)(key),
        )
    return Model(network, variables, architecture, preprocessing, names, report)


def _class_names(stored: Stored | None, num_classes: int | None, class_names: Sequence[str] | None) -> tuple[str, ...]:
    if class_names is not None:
        if num_classes is not None and num_classes != len(class_names):
            raise UserError(f'num_classes={num_classes}, but {len(class_names)} class names')
        names = tuple(str(name) for name in class_names)
    elif num_classes is not None:
        names = tuple(str(index) for index in range(num_classes))
    elif stored is not None:
        names = stored.class_names
    else:
        raise UserError('a network of random weights needs num_classes or class_names')
    if not names:
        raise UserError('a network needs at least one class')
    return names


def _compile_quickly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled form for running once: on a CPU, optimising the random draws takes ten times longer than they do."""
    options = {'xla_backend_optimization_level': 0} if jax.default_backend() == 'cpu' else None
    return jax.jit(function, compiler_options=options)
