"""SimpleAugment: a horizontal flip and colour jitter, the plain augmentation that strong policies are compared with.

Touvron, Cord and Jégou (2022), "DeiT III: Revenge of the ViT", pair it with their simple random crop (the picture
resized by its smaller side, padded by 4 mirrored pixels, and cut at random), which is an operation of its own here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Key, UInt8

from jtransfer.augment import colour, flip


def apply(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
    *,
    probability: float = 0.5,
    strength: float = 0.3,
) -> Float32[Array, 'batch height width 3']:
    """Mirrors some images left-right and changes brightness, contrast and saturation of all.

    Args:
        keys: one per image.
        images: RGB in [0, 255].
        probability: of the flip, in [0, 1].
        strength: largest relative change of brightness, contrast and saturation, each, ≥ 0.

    Returns:
        RGB in [0, 255], not rounded.
    """
    _, jitter = _streams(keys)
    mirrored = flip.mirror(images.astype(jnp.float32), draw_flips(keys, probability))
    return colour.jitter(jitter, mirrored, brightness=strength, contrast=strength, saturation=strength)


def draw_flips(keys: Key[Array, ' batch'], probability: float = 0.5) -> Bool[Array, ' batch']:
    """Which images `apply` mirrors."""
    return flip.draw(_streams(keys)[0], probability)


def _streams(keys: Array) -> tuple[Array, Array]:
    streams = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    return streams[:, 0], streams[:, 1]
