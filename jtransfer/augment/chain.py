"""Consecutive geometric operations as one map from output to input, and one resampling.

Flips alone are exact. As soon as something turns, shears, moves, magnifies or tilts, all of the run, the flips with it,
is one matrix for every image, and the image is resampled once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jtransfer.augment import flip, matrices, ranges
from jtransfer.augment.warp import warp
from jtransfer.config.operations import Operation

_FLIPS = ('horizontal_flip', 'vertical_flip')

# From the keys of every operation's stream and images of [0, 255] to changed images, and the maps from the pixels of
# the output to those of the input.
Chain = Callable[
    [Sequence[Key[Array, ' batch']], Float[Array, 'batch height width channel']],
    tuple[Float[Array, 'batch height width channel'], Float[Array, 'batch 3 3']],
]


def split_chains(operations: Sequence[Operation]) -> list[list[Operation]]:
    """Splits geometric operations where one resamples, or fills, in another way than the one before it."""
    chains: list[list[Operation]] = []
    resampled = None
    for operation in operations:
        wanted = None if operation.name in _FLIPS else (operation.values['interpolation'], operation.values['fill'])
        if not chains or (wanted and resampled and wanted != resampled):
            chains.append([])
            resampled = None
        chains[-1].append(operation)
        resampled = wanted or resampled
    return chains


def make_chain(operations: Sequence[Operation]) -> Chain:
    """The function that does geometric operations, which resample and fill in the same way, in their order."""
    warps = [operation for operation in operations if operation.name not in _FLIPS]
    if warps:
        interpolation, fill = warps[0].values['interpolation'], warps[0].values['fill']

        def resample(keys: Sequence[Array], images: Array) -> tuple[Array, Array]:
            shape = (images.shape[1], images.shape[2])
            maps = [operation_matrices(key, op, shape) for key, op in zip(keys, operations, strict=True)]
            total = matrices.compose(*maps)
            return warp(images, total, interpolation, fill), total

        return resample

    def mirror(keys: Sequence[Array], images: Array) -> tuple[Array, Array]:
        shape = (images.shape[1], images.shape[2])
        total = matrices.identity(len(images))
        for key, operation in zip(keys, operations, strict=True):
            flipped = flip.draw(key, operation.values['probability'])
            sides = (flipped, None) if operation.name == 'horizontal_flip' else (None, flipped)
            images = flip.mirror(images, *sides)
            total = matrices.compose(total, _flip_matrices(flipped, operation.name, shape))
        return images, total

    return mirror


def operation_matrices(
    keys: Key[Array, ' batch'], operation: Operation, shape: tuple[int, int]
) -> Float[Array, 'batch 3 3']:
    """Draws what a geometric operation does to every image, as maps from output to input pixels.

    Args:
        keys: one per image.
        operation: a geometric one.
        shape: height and width of the images, pixels.
    """
    name, values = operation.name, operation.values
    if name in _FLIPS:
        return _flip_matrices(flip.draw(keys, values['probability']), name, shape)
    height, width = shape
    if name == 'rotate':
        (degrees,) = ranges.draw(keys, values['degrees'])
        drawn = matrices.rotation(degrees, shape)
    elif name == 'shear':
        x, y = ranges.draw(keys, values['x'], values['y'])
        drawn = matrices.compose(matrices.shear_x(x, shape, centred=True), matrices.shear_y(y, shape, centred=True))
    elif name == 'translate':
        x, y = ranges.draw(keys, values['x'], values['y'])
        drawn = matrices.translation(x * width, y * height)
    elif name == 'zoom':
        (factors,) = ranges.draw(keys, values['factor'])
        drawn = matrices.zoom(factors, shape)
    elif name == 'perspective':
        drawn = _perspective(keys, values['distortion'], shape)
    else:
        raise ValueError(f'{name} is not a geometric operation')
    return ranges.where(ranges.happens(keys, values['probability']), drawn, matrices.identity(len(keys)))


def _flip_matrices(flipped: Array, name: str, shape: tuple[int, int]) -> Array:
    still = jnp.zeros_like(flipped)
    sides = (flipped, still) if name == 'horizontal_flip' else (still, flipped)
    return matrices.flips(*sides, shape)


def _perspective(keys: Array, distortion: float, shape: tuple[int, int]) -> Array:
    """Every corner moves inwards by up to `distortion` of half a side, as in torchvision's `RandomPerspective`."""
    height, width = shape
    inwards = jnp.stack(ranges.draw(keys, *itertools.repeat((0.0, distortion), 8)), axis=1).reshape(-1, 4, 2)
    corners = jnp.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    towards = jnp.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]) * jnp.array([width / 2, height / 2])
    return matrices.perspective(jnp.broadcast_to(corners, inwards.shape), corners + inwards * towards)
