"""Random mirroring of images, left-right and top-bottom."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key


def draw(keys: Key[Array, ' batch'], probability: float) -> Bool[Array, ' batch']:
    """Whether each image is mirrored: True with the given probability, in [0, 1], each by its own draw."""
    return jax.vmap(lambda key: jax.random.bernoulli(key, probability))(keys)


def mirror(
    images: Float[Array, 'batch height width channel'],
    left_right: Bool[Array, ' batch'] | None = None,
    top_bottom: Bool[Array, ' batch'] | None = None,
) -> Float[Array, 'batch height width channel']:
    """Mirrors the images that are chosen, exactly.

    Args:
        images: of any range.
        left_right: which images are mirrored left-right. None: none of them.
        top_bottom: which images are mirrored top-bottom.
    """
    for flipped, axis in ((left_right, 2), (top_bottom, 1)):
        if flipped is not None:
            images = jnp.where(flipped[:, None, None, None], jnp.flip(images, axis), images)
    return images


def horizontal(
    keys: Key[Array, ' batch'], images: Float[Array, 'batch height width channel'], probability: float
) -> Float[Array, 'batch height width channel']:
    """Mirrors each image left-right with the given probability, in [0, 1], each by its own draw."""
    return mirror(images, left_right=draw(keys, probability))


def vertical(
    keys: Key[Array, ' batch'], images: Float[Array, 'batch height width channel'], probability: float
) -> Float[Array, 'batch height width channel']:
    """Mirrors each image top-bottom with the given probability, in [0, 1], each by its own draw."""
    return mirror(images, top_bottom=draw(keys, probability))
