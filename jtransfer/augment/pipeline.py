"""From the configuration to one function of (keys, images, labels) that augments a batch on the device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jtransfer.augment import chain, frames, matrices
from jtransfer.augment.batch_mix import make_batch_mix
from jtransfer.augment.pixel_operations import make_moves, make_pixel_operation
from jtransfer.augment.stored import stored
from jtransfer.config.augment import Augment
from jtransfer.config.operations import FRAME, GEOMETRY, MIX, Operation
from jtransfer.inputs.image import ImagePreprocessor

# From the keys of the images and float32 images of [0, 255] to changed ones and the maps from the pixels of the output
# to those of the input.
_Step = Callable[
    [Key[Array, ' batch'], Float[Array, 'batch height width channel']],
    tuple[Float[Array, 'batch height width channel'], Float[Array, 'batch 3 3']],
]


class Augmented(NamedTuple):
    """A batch after augmentation.

    Attributes:
        images: float32, [batch, height, width, channel] in [0, 255], in the network's shape.
        labels: as they were given, by task; where images are mixed, soft (see `make_augment`).
        geometry: [batch, 3, 3], the map from places in an image (x, y, 1 in pixels; the first pixel's centre is (0.5,
            0.5)) to shares of the sides of its true picture: `jtransfer.augment.geometry` moves boxes and points with
            it. Of an image with another mixed into it, its own; `augmix`, which lays several over each other, counts as
            not moving anything.
        shown: [batch, 4], what the crop, or the framing for evaluation, shows of the true picture: (left, top, width,
            height) in shares of its sides. What lies outside cannot come back; `geometry.transform_boxes` takes it.
    """

    images: Any
    labels: Any
    geometry: Any
    shown: Any


# From labels by task, `Augmented.geometry` and `Augmented.shown` to labels.
Move = Callable[[Mapping[str, Array], Array, Array], Mapping[str, Array]]
# (keys, images, labels=None, aspects=None) -> Augmented, see `make_augment`.
AugmentFunction = Callable[..., Augmented]


def make_augment(
    augment: Augment,
    preprocessing: ImagePreprocessor,
    outputs: Mapping[str, int] = MappingProxyType({}),
    *,
    axis_name: str | None = None,
    move: Move | None = None,
) -> AugmentFunction:
    """The augmentation that the configuration describes.

    What is not enabled is not in the compiled program; with nothing enabled the function only casts.

    Args:
        augment: what to do, and how strongly.
        preprocessing: of the network: its shape is that of the result, its interpolation that of crops, and its mean
            what erased pixels become.
        outputs: where images are mixed: how many classes, or numbers, a label of each task has; the name of the only
            task is ''.
        axis_name: the mapped axis over which a batch is spread, under `pmap` or `shard_map`, so that images are mixed
            with those of the whole batch. None: the whole batch is at hand.
        move: takes labels by task along to where the pixels went, before any are mixed. None: they stay.

    Returns:
        A pure function of (keys, images, labels, aspects): one key per image (`keys.example_keys`), RGB images of uint8
        or whole numbers in [0, 255], labels by task in any form the loss takes, and the width / height of the true
        pictures (None: 1), which only crops and `geometry` read. With crops the images are whole pictures squashed to a
        square of any side; without, they are framed as for evaluation, in the shape of the result, or of any size where
        `augment.sizes` are set. It returns `Augmented`; what an image becomes depends on its key alone and, where
        images are mixed, on the set of the keys of the batch, not on their order. Mixed labels are float32
        [batch, outputs], NaN where either label is unknown. It may be called inside jit, pmap or shard_map, or by
        itself.

    Raises:
        UserError: an operation that does not exist, or a value out of its range.
        ValueError: images are to be mixed, and `outputs` is not given.
    """
    listed = augment.steps()
    framing = next(((stream, op) for stream, op in listed if op.works_on == FRAME), (0, None))
    frame = frames.make_frame(framing[1], preprocessing, resizes=bool(augment.sizes))
    mixing = next(((stream, op) for stream, op in listed if op.works_on == MIX), None)
    mix = make_batch_mix(mixing[1], outputs, axis_name) if mixing else None
    steps = _make_steps([step for step in listed if step[1].works_on not in (FRAME, MIX)], preprocessing)

    @jax.jit
    def apply(
        keys: Array, images: Array, labels: Mapping[str, Array] | None = None, aspects: Array | None = None
    ) -> Augmented:
        aspects = jnp.ones(len(images)) if aspects is None else aspects
        pixels, geometry, shown = frame(_stream(keys, framing[0]), images, aspects)
        for step in steps:
            # Otherwise XLA on a CPU does all that was done so far again for each time that the step reads a pixel.
            pixels, moved = step(keys, stored(pixels))
            geometry = matrices.compose(geometry, moved)
        if move and labels is not None:
            labels = move(labels, geometry, shown)
        if mix and mixing:
            pixels, labels = mix(_stream(keys, mixing[0]), stored(pixels), labels)
        return Augmented(pixels, labels, geometry, shown)

    return apply


def _make_steps(listed: Sequence[tuple[int, Operation]], preprocessing: ImagePreprocessor) -> list[_Step]:
    """Everything between framing and mixing; consecutive geometric operations are one step."""
    mean, std = (tuple(255 * value for value in values) for values in (preprocessing.mean, preprocessing.std))
    # Pictures are RGB until they are normalised, also for a network of grey ones.
    mean, std = (values * 3 if len(values) == 1 else values for values in (mean, std))
    steps: list[_Step] = []
    for geometric, group in itertools.groupby(listed, key=lambda step: step[1].works_on == GEOMETRY):
        run = list(group)
        if geometric:
            places = iter(stream for stream, _ in run)
            for operations in chain.split_chains([operation for _, operation in run]):
                steps.append(_geometric(operations, [next(places) for _ in operations]))
        else:
            steps += [_pixels(operation, stream, mean, std) for stream, operation in run]
    return steps


def _geometric(operations: Sequence[Operation], streams: Sequence[int]) -> _Step:
    function = chain.make_chain(operations)
    return lambda keys, images: function([_stream(keys, stream) for stream in streams], images)


def _pixels(operation: Operation, stream: int, mean: tuple[float, ...], std: tuple[float, ...]) -> _Step:
    function, moves = make_pixel_operation(operation, mean, std), make_moves(operation)

    def step(keys: Array, images: Array) -> tuple[Array, Array]:
        own = _stream(keys, stream)
        moved = moves(own, (images.shape[1], images.shape[2])) if moves else matrices.identity(len(images))
        return function(own, images), moved

    return step


def _stream(keys: Key[Array, ' batch'], number: int) -> Key[Array, ' batch']:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
