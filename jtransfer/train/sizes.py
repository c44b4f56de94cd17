"""Multi-scale training: the side of the network input, step by step."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jtransfer.adapters import AnyNetwork
from jtransfer.config import Augment
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.prepare import batched
from jtransfer.train.memory_check import CheckedStep
from jtransfer.train.placement import Placement
from jtransfer.train.programs import program
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.settings import Settings

# Part of the stream's definition: the same seed gives other streams (order, augmentation, dropout) other draws.
_STREAM = zlib.crc32(b'sizes')


def step_size(augment: Augment, seed: int, step: int, total_steps: int) -> int:
    """The side of the network input of a step: a pure function of its arguments, so that a resumed run repeats it.

    With the schedule `random` every step draws one of the sizes, all equally likely. With `progressive` they follow one
    another in the order given, for equally many steps each (progressive resizing, Howard, fastai, 2018; progressive
    learning, Tan and Le, "EfficientNetV2", 2021).

    Args:
        augment: whose `sizes` and `size_schedule` apply.
        seed: of the experiment, ≥ 0.
        step: number of the optimiser update, from 0.
        total_steps: length of the training.

    Returns:
        Pixels. 0: no sizes are configured, the input has the network's own.
    """
    sizes = augment.sizes
    if not sizes:
        return 0
    if augment.size_schedule == 'progressive':
        return sizes[min(step * len(sizes) // total_steps, len(sizes) - 1)]
    return sizes[np.random.default_rng((seed, _STREAM, step)).integers(len(sizes))]


def steps_by_size(
    placement: Placement, parts: StepParts, trainable: Any, settings: Sequence[Settings] | None = None
) -> Callable[[int], CheckedStep]:
    """The training step of a phase by the side of its input (0: the network's own), each compiled when first called.

    Args:
        placement: the devices.
        parts: what the step is made of.
        trainable: the trainable tree, or its shapes. The tree is not kept.
        settings: the numbers of each lane. None: those of the parts, in every lane.
    """
    # A step takes over the state it is given, so that by the next size these arrays would be gone.
    shapes = jax.eval_shape(lambda tree: tree, trainable)

    @functools.cache
    def of(size: int) -> CheckedStep:
        resized = parts.preprocessing.at_size(size) if size else parts.preprocessing
        step = program(placement, dataclasses.replace(parts, preprocessing=resized), shapes, settings)
        return CheckedStep(step, placement.devices, parts.config)

    return of


def check_sizes(
    network: AnyNetwork, variables: Mapping[str, Any], preprocessing: Preprocessor, sizes: Sequence[int]
) -> None:
    """Raises `UserError` for sizes that the network does not take; nothing is computed.

    Position embeddings are for one number of patches, patches must cover the picture, pooling must leave something.

    Args:
        network: the network.
        variables: its variables, or their shapes.
        preprocessing: of the network.
        sizes: sides of square inputs, pixels.
    """
    for size in sizes:
        inputs = batched(preprocessing.at_size(size).spec())
        try:
            jax.eval_shape(functools.partial(network.apply, train=False), variables, inputs)
        except UserError as error:
            raise UserError(f'augment.sizes: {size} is no size for this network: {error}') from error
