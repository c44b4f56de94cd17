"""Grey, gamma, lighting and noise: what changes pixels one by one; and the blend behind Pillow's enhancements."""

from __future__ import annotations

import dm_pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key, UInt8

from jtransfer.augment import noise

# Principal components of the colours of ImageNet's training pixels (values in [0, 1]): a row a channel, a column a
# component. https://github.com/facebookarchive/fb.resnet.torch/blob/master/datasets/imagenet.lua
_EIGENVALUES = (0.2175, 0.0188, 0.0045)
_EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


def to_uint8(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
) -> UInt8[Array, 'batch height width channel']:
    """The images (values in [0, 255]) as whole numbers: floats are rounded, uint8 is returned as it is."""
    return images if images.dtype == jnp.uint8 else jnp.round(images).astype(jnp.uint8)


def luma(
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
) -> Int32[Array, 'batch height width 1']:
    """ITU-R 601-2 luma of RGB images, exactly as Pillow's `convert('L')` rounds it.

    Args:
        images: RGB, values in [0, 255]; floats are rounded to whole numbers first.

    Returns:
        Whole numbers in [0, 255].
    """
    red, green, blue = jnp.split(to_uint8(images).astype(jnp.int32), 3, axis=3)
    return weigh(red, green, blue)


def weigh(red: Int32[Array, '*any'], green: Int32[Array, '*any'], blue: Int32[Array, '*any']) -> Int32[Array, '*any']:
    """The luma of whole numbers in [0, 255], with Pillow's weights in 1/65536 and its rounding."""
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def blend(
    reference: Float[Array, '#batch #height #width #channel'],
    images: Float[Array, '#batch #height #width #channel'],
    factors: Float[Array, ' batch'],
) -> Float[Array, 'batch height width channel']:
    """Pillow's `Image.blend` of 8-bit images, exact: `reference + factor * (image - reference)`, cut to whole numbers.

    Factors outside [0, 1] extrapolate; what leaves [0, 255] is clipped. Pillow's `ImageEnhance` is this blend.

    Args:
        reference: what a factor of 0 gives, whole numbers in [0, 255].
        images: what a factor of 1 gives, whole numbers in [0, 255].
        factors: one per image.

    Returns:
        Whole numbers in [0, 255].
    """
    factors = factors[:, None, None, None]
    # Pillow rounds the product before it adds. A compiler may fuse the two into one rounding, which the truncation
    # would show; the product is therefore the sum of two exact ones (12 bits times 8), rounded in its addition.
    bits = jax.lax.bitcast_convert_type(factors, jnp.uint32)
    coarse = jax.lax.bitcast_convert_type(bits & jnp.uint32(0xFFFFF000), jnp.float32)
    difference = images - reference
    product = coarse * difference + (factors - coarse) * difference
    return jnp.floor(jnp.clip(reference + product, 0, 255))


def grayscale(
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
) -> UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3']:
    """Grey images of three equal channels, exactly Pillow's `convert('L')`.

    Args:
        images: RGB, values in [0, 255]; floats are rounded to whole numbers first.

    Returns:
        Whole numbers in [0, 255], in the dtype of `images`.
    """
    return jnp.repeat(luma(images).astype(images.dtype), 3, axis=3)


def adjust_gamma(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    gammas: Float[Array, ' batch'],
) -> Float[Array, 'batch height width channel']:
    """`255 * (image / 255) ** gamma` for every image, as torchvision's `adjust_gamma`.

    Args:
        images: values in [0, 255].
        gammas: ≥ 0; above 1 shadows grow darker, below 1 brighter.

    Returns:
        Values in [0, 255], not rounded.
    """
    return 255 * dm_pix.adjust_gamma(images.astype(jnp.float32) / 255, gammas[:, None, None, None])


def lighting(
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'], alphas: Float[Array, 'batch 3']
) -> Float[Array, 'batch height width 3']:
    """Moves all pixels of an image along the principal components of ImageNet's colours.

    The lighting noise of AlexNet (Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural
    networks", section 4.1), with the components published in fb.resnet.torch.

    Args:
        images: RGB, values in [0, 255].
        alphas: the steps, in eigenvalues; AlexNet draws them from a normal distribution of standard deviation 0.1.

    Returns:
        Values in [0, 255], clipped, not rounded.
    """
    # No matrix product: an accelerator's default precision is too low for grey values.
    steps = alphas * jnp.array(_EIGENVALUES)
    shift = 255 * jnp.sum(jnp.array(_EIGENVECTORS) * steps[:, None, :], axis=2)
    return jnp.clip(images.astype(jnp.float32) + shift[:, None, None, :], 0, 255)


def gaussian_noise(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    stds: Float[Array, ' batch'],
) -> Float[Array, 'batch height width channel']:
    """Adds normal noise, independent for every pixel and channel.

    Args:
        keys: one per image.
        images: values in [0, 255].
        stds: standard deviations, grey values ≥ 0, one per image.

    Returns:
        Values in [0, 255], clipped, not rounded.
    """
    drawn = noise.normal(keys, images.shape[1:])
    return jnp.clip(images.astype(jnp.float32) + stds[:, None, None, None] * drawn, 0, 255)
