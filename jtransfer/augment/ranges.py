"""Parameters of operations, drawn uniformly for every image by itself."""

from __future__ import annotations

import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

# Of the stream that decides whether an operation happens, below that of the operation's own draws. No small number:
# `fold_in(key, 1)` is the second of the keys that `split` gives, which operations use.
_GATE = zlib.crc32(b'gate')


def draw(keys: Key[Array, ' batch'], *ranges: tuple[float, float]) -> tuple[Float[Array, ' batch'], ...]:
    """A number from each of the ranges, for every image.

    Args:
        keys: one per image.
        *ranges: smallest and largest value; where the two are the same, nothing is random.
    """
    # One draw for all: every separate one costs compile time.
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (len(ranges),)))(keys)
    return tuple(low + (high - low) * uniform[:, place] for place, (low, high) in enumerate(ranges))


def happens(keys: Key[Array, ' batch'], probability: float) -> Bool[Array, ' batch'] | None:
    """Whether an operation happens to each image, with a probability in [0, 1]; None where it always does."""
    if probability >= 1:
        return None
    return jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, _GATE), probability))(keys)


def where(
    chosen: Bool[Array, ' batch'] | None, new: Float[Array, 'batch ...'], old: Float[Array, 'batch ...']
) -> Float[Array, 'batch ...']:
    """The new value of the chosen images and the old one of the others; of all where `chosen` is None."""
    return new if chosen is None else jnp.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old)
