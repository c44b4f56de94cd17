"""Normal noise for every pixel of every image, from the image's key: cheap, for what only has to look random."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Key

# The additive constant of a Weyl sequence: 2³² over the golden ratio, odd.
_WEYL = 0x9E3779B9


def normal(keys: Key[Array, ' batch'], shape: tuple[int, ...]) -> Float32[Array, 'batch ...']:
    """Standard normal numbers of 16 random bits each, at most 4.4 away from 0.

    JAX's own generator takes some hundred operations for 64 bits, which for a picture of noise is more than the rest of
    most augmentations. Here it gives two words an image; position and words go through an integer hash (two rounds of
    Wellons's lowbias32, "Prospecting for hash functions", 2018), which takes twenty for 32 bits.

    Args:
        keys: one per image.
        shape: of the numbers for one image.
    """
    size = math.prod(shape)
    words = jax.vmap(lambda key: jax.random.bits(key, (2,)))(keys)
    place = jnp.arange((size + 1) // 2, dtype=jnp.uint32) * jnp.uint32(_WEYL)
    bits = _hash(_hash(place + words[:, :1]) ^ words[:, 1:])
    halves = jax.lax.bitcast_convert_type(bits, jnp.uint16).reshape(len(bits), -1)[:, :size]
    # The middle of each of 2¹⁶ equal shares of the distribution.
    quantiles = (halves.astype(jnp.float32) + 0.5) / 2**16
    return (jnp.sqrt(2.0) * jax.lax.erf_inv(2 * quantiles - 1)).reshape(-1, *shape)


def _hash(words: Array) -> Array:
    words = (words ^ (words >> 16)) * jnp.uint32(0x7FEB352D)
    words = (words ^ (words >> 15)) * jnp.uint32(0x846CA68B)
    return words ^ (words >> 16)
