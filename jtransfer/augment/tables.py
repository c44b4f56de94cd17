"""Operations that send each grey value to another, as tables of 256 entries; they equal Pillow's, bit for bit.

A table is uint8, [batch, channel, 256], or [batch, 1, 256] where all channels share it. Any number of operations can be
computed and one chosen per image before the pixels are looked up once, by `apply_tables`. Whatever reads the images
themselves (their histogram, extremes or mean) rounds floats to whole numbers first, so that uint8 and float images of
the same values have the same tables.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, Real, UInt8

from jtransfer.augment import tone
from jtransfer.augment.stored import stored


def apply_tables(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    tables: UInt8[Array, 'batch channels 256'],
) -> UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel']:
    """Looks every value up in its image's table.

    Args:
        images: values in [0, 255]; floats are rounded to whole numbers first.
        tables: one per image, for each channel or for all.

    Returns:
        Whole numbers in [0, 255], in the dtype of `images`.

    Raises:
        ValueError: when there is neither one table per channel nor one for all.
    """
    channels = tables.shape[1]
    if channels not in (1, images.shape[3]):
        raise ValueError(f'tables of {channels} channels must have 1 or {images.shape[3]}, as the images')
    # Image by image: with one index over the whole batch, devices that share it would exchange what they hold.
    # And by channel and value: the index of `histograms` is in memory, and XLA would fetch it from there.
    row = jnp.arange(channels)
    look_up = jax.vmap(lambda table, image: table.at[row, image].get(mode='promise_in_bounds'))
    return look_up(stored(tables), tone.to_uint8(images).astype(jnp.int32)).astype(images.dtype)


def histograms(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
) -> Int32[Array, 'batch channel 256']:
    """How many pixels have each value, by image and channel; floats are rounded to whole numbers first."""
    batch, height, width, channels = images.shape
    # What is added to is written to memory, a number for each value: no wider than it must be.
    empty = jnp.zeros((batch, channels * 256), jnp.int16 if height * width < 2**15 else jnp.int32)
    count = jax.vmap(lambda counts, index: counts.at[index].add(1, mode='promise_in_bounds'))
    return count(empty, _places(images, channels)).astype(jnp.int32).reshape(batch, channels, 256)


def _places(images: Array, channels: int) -> Array:
    """Where each value stands in its image's flattened [channels, 256] array; `channels` may be 1."""
    # So are the indices, to which XLA adds the image's number.
    narrow = jnp.int16 if len(images) < 2**15 else jnp.int32
    return 256 * jnp.arange(channels, dtype=narrow) + tone.to_uint8(images).astype(narrow)


def identity(batch: int) -> UInt8[Array, '{batch} 1 256']:
    """Tables that change nothing, for a number of images."""
    return jnp.broadcast_to(jnp.arange(256, dtype=jnp.uint8), (batch, 1, 256))


def invert(batch: int) -> UInt8[Array, '{batch} 1 256']:
    """`ImageOps.invert`, for a number of images: 255 less the value."""
    return 255 - identity(batch)


def posterize(bits: Int[Array, ' batch']) -> UInt8[Array, 'batch 1 256']:
    """`ImageOps.posterize`: keeps the upper bits of each value, 0 (black; Pillow refuses it) to 8 (no change)."""
    dropped = 8 - bits.astype(jnp.int32)[:, None, None]
    return ((_values() >> dropped) << dropped).astype(jnp.uint8)


def solarize(thresholds: Real[Array, ' batch']) -> UInt8[Array, 'batch 1 256']:
    """`ImageOps.solarize`: inverts the values at or above a threshold; 0 inverts all, 256 none."""
    values = _values()
    return jnp.where(values < thresholds[:, None, None], values, 255 - values).astype(jnp.uint8)


def solarize_add(amounts: Real[Array, ' batch'], threshold: int = 128) -> UInt8[Array, 'batch 1 256']:
    """AutoAugment's SolarizeAdd (as in timm): adds an amount to the values below the threshold, clipped to [0, 255].

    Args:
        amounts: grey values, one per image; fractions are cut off.
        threshold: the first value that stays as it is.
    """
    values = _values()
    added = jnp.clip(values + amounts.astype(jnp.int32)[:, None, None], 0, 255)
    return jnp.where(values < threshold, added, values).astype(jnp.uint8)


def brightness(factors: Float[Array, ' batch']) -> UInt8[Array, 'batch 1 256']:
    """`ImageEnhance.Brightness`: scales by factors ≥ 0; 0 gives black, 1 the image itself."""
    return _blend(jnp.zeros(factors.shape, jnp.int32), factors)


def contrast(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    factors: Float[Array, ' batch'],
) -> UInt8[Array, 'batch 1 256']:
    """`ImageEnhance.Contrast`: blends with the mean grey of each image, in whole numbers.

    Args:
        images: RGB or grey (one channel), values in [0, 255], at most 16.8 million pixels an image (the sum of the
            grey values is a whole number below 2³²).
        factors: ≥ 0; 0 gives the mean grey, 1 the image itself.
    """
    grey = tone.to_uint8(images) if images.shape[3] == 1 else tone.luma(images)
    count = grey.shape[1] * grey.shape[2]
    total = jnp.sum(grey, axis=(1, 2, 3), dtype=jnp.uint32)
    # The mean, half rounded up. Twice the total could be too large for 32 bits, twice the rest is not.
    mean = total // count + (2 * (total % count) >= count)
    return _blend(mean.astype(jnp.int32), factors)


def _blend(grey: Array, factors: Array) -> Array:
    """`Image.blend` between one grey per image (factor 0) and all values (factor 1)."""
    values = jnp.arange(256, dtype=jnp.float32)[None, None, None, :]
    blended = tone.blend(grey.astype(jnp.float32)[:, None, None, None], values, factors)
    return blended[:, 0].astype(jnp.uint8)


def autocontrast(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
) -> UInt8[Array, 'batch channel 256']:
    """`ImageOps.autocontrast`: stretches each channel so that its darkest value becomes 0 and its brightest 255.

    A channel of a single value is left alone, as by Pillow. (Of all pairs of extremes, one in seven has its
    brightest value sent to 254: Pillow cuts the fraction off what double precision has made a trifle too small.)

    Args:
        images: values in [0, 255]; floats are rounded to whole numbers first.
    """
    low, high = _extremes(tone.to_uint8(images))
    extent = high - low
    values = _values()
    above = jnp.clip(values - low, 0, extent)
    divisor = jnp.maximum(extent, 1)
    short, starts, steps = (jnp.asarray(array) for array in _short_by_one())
    # Where the quotient is whole it is a multiple of 255 / steps, and Pillow's product may fall short of it.
    multiple = above * steps[extent]
    part = _quotient(multiple, divisor)
    place = starts[extent] + low * steps[extent] + part
    inside = (values > low) & (values <= high)
    place = jnp.where(inside & (part * divisor == multiple), place, 0)
    stretched = _quotient(above * 255, divisor) - short.at[place].get(mode='promise_in_bounds')
    return jnp.where(extent > 0, stretched, values).astype(jnp.uint8)


def _extremes(images: Array) -> tuple[Array, Array]:
    """Smallest and largest value of each image and channel, int32 [batch, channel, 1]."""
    batch, height, width, channels = images.shape
    # By columns first, in rows of width × channel values: a loop over three channels is too short for vectors.
    flat = images.reshape(batch, height, width * channels)
    low = jnp.min(jnp.min(flat, axis=1).reshape(batch, width, channels), axis=1)
    high = jnp.max(jnp.max(flat, axis=1).reshape(batch, width, channels), axis=1)
    return low.astype(jnp.int32)[:, :, None], high.astype(jnp.int32)[:, :, None]


@functools.cache
def _short_by_one() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where `int(value * scale - low * scale)` in double precision, Pillow's autocontrast, misses a whole number by 1.

    With d = high - low and scale = 255 / d, the exact result is whole where value - low is a multiple m of d / steps,
    steps = gcd(d, 255); only there can rounding change its whole part.

    Returns:
        (short, starts, steps): steps by d, and 1 in `short[starts[d] + low * steps[d] + m]`, m = 1 … steps, where the
        result is too small by one, 0 elsewhere; `short[0]` is 0.
    """
    steps = np.gcd(np.arange(256), 255).astype(np.int32)
    parts, starts = [np.zeros(1, np.int32)], np.zeros(256, np.int32)
    filled = 1
    for extent in range(1, 256):
        low = np.arange(256 - extent)[:, None]
        multiple = np.arange(1, steps[extent] + 1)
        value = low + multiple * extent // steps[extent]
        scale = 255.0 / extent
        pillow = (value * scale + -low * scale).astype(np.int32)
        parts.append((multiple * 255 // steps[extent] - pillow).ravel().astype(np.int32))
        starts[extent] = filled - 1
        filled += parts[-1].size
    return np.concatenate(parts), starts, steps


def equalize(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
) -> UInt8[Array, 'batch channel 256']:
    """`ImageOps.equalize`: spreads the values of each channel so that its histogram becomes as even as it can.

    A channel of a single value, or of too few pixels outside its brightest value (under 255), is left alone, as by
    Pillow.

    Args:
        images: values in [0, 255]; floats are rounded to whole numbers first.
    """
    counts = histograms(images)
    below = jnp.cumsum(counts, axis=2) - counts
    # The pixels below the brightest value that occurs are all but those of that value.
    step = jnp.max(jnp.where(counts > 0, below, 0), axis=2, keepdims=True) // 255
    spread = jnp.minimum(_quotient(step // 2 + below, jnp.maximum(step, 1)), 255)
    return jnp.where(step > 0, spread, _values()).astype(jnp.uint8)


def _quotient(numbers: Array, divisors: Array) -> Array:
    """Whole quotients of int32 below 2²⁴, ≥ 0, exactly; vector units divide floats, but not whole numbers."""
    quotient = jnp.floor(numbers.astype(jnp.float32) / divisors.astype(jnp.float32)).astype(jnp.int32)
    rest = numbers - quotient * divisors
    return quotient + (rest >= divisors) - (rest < 0)


def _values() -> Array:
    return jnp.arange(256, dtype=jnp.int32)
