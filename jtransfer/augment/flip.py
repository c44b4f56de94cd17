"""Random mirroring of images, left-right and top-bottom."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def horizontal(
    keys: Key[Array, ' batch'], images: Float[Array, 'batch height width channel'], probability: float
) -> Float[Array, 'batch height width channel']:
    """Mirrors each image left-right with the given probability, in [0, 1], each by its own draw."""
    return _flip(keys, images, probability, axis=2)


def vertical(
    keys: Key[Array, ' batch'], images: Float[Array, 'batch height width channel'], probability: float
) -> Float[Array, 'batch height width channel']:
    """Mirrors each image top-bottom with the given probability, in [0, 1], each by its own draw."""
    return _flip(keys, images, probability, axis=1)


def _flip(keys: Array, images: Array, probability: float, axis: int) -> Array:
    flipped = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(keys)
    return jnp.where(flipped[:, None, None, None], jnp.flip(images, axis), images)
