"""Operations whose magnitudes come from a table of bins with a random sign: how torchvision writes policies down."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32

from jtransfer.augment.layers import GEOMETRIC, NUMBERS, Layer

# An operation's magnitude in every bin, in the unit of its level; one value where there is nothing to choose.
Space = Mapping[str, np.ndarray]

ENHANCERS = frozenset({'brightness', 'color', 'contrast', 'sharpness'})
_SIGNED = ENHANCERS | GEOMETRIC


def ramp(largest: float, bins: int) -> np.ndarray:
    """Magnitudes of all bins, [bins]: evenly spaced from 0 to the largest."""
    return np.linspace(0, largest, bins)


def pixels(largest: float, bins: int) -> np.ndarray:
    """Translations of all bins, [bins]: evenly spaced from 0 to the largest, cut to whole pixels."""
    return np.trunc(ramp(largest, bins))


def bits(most: int, dropped: int, bins: int) -> np.ndarray:
    """Bits that `posterize` keeps in all bins, [bins]: from `most` to `most - dropped`."""
    return most - np.round(np.arange(bins) / ((bins - 1) / dropped))


def thresholds(bins: int) -> np.ndarray:
    """Thresholds of `solarize` in all bins, [bins]: evenly spaced from 255 to 0."""
    return np.linspace(255, 0, bins)


def make_layer(
    space: Space,
    choice: Int32[Array, ' batch'],
    bin_number: Int32[Array, ' batch'],
    negative: Bool[Array, ' batch'],
) -> Layer:
    """The layer of one operation per image.

    Args:
        space: the operations and their magnitudes. The magnitude of an enhancer is how far its factor is from 1.
        choice: number of each image's operation in the order of the space.
        bin_number: number of the magnitude; not read where an operation has only one.
        negative: whether to turn the sign, where the operation has one (geometry and enhancers).

    Returns:
        Numbers of the operations in `layers.OPS`, and levels.
    """
    bins = max(len(magnitudes) for magnitudes in space.values())
    table = jnp.asarray(np.stack([np.broadcast_to(magnitudes, bins) for magnitudes in space.values()]), jnp.float32)
    signed = jnp.array([name in _SIGNED for name in space])
    neutral = jnp.array([float(name in ENHANCERS) for name in space], jnp.float32)
    magnitude = table[choice, bin_number]
    return Layer(
        op=jnp.array([NUMBERS[name] for name in space], jnp.int32)[choice],
        level=neutral[choice] + jnp.where(signed[choice] & negative, -magnitude, magnitude),
    )
