"""From the configuration to one function of (keys, images, aspects) that augments a batch on the device."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from jtransfer import config
from jtransfer.augment import colour, crop, flip

Augment = Callable[
    [Key[Array, ' batch'], UInt8[Array, 'batch height width 3'], Float[Array, ' batch']],
    Float[Array, 'batch height2 width2 3'],
]


def make_augment(augment: config.Augment, shape: tuple[int, int], interpolation: str = 'bicubic') -> Augment:
    """The augmentation that the configuration describes.

    Crop, then flips, then colour jitter. What is not enabled is not in the compiled program; with nothing enabled the
    function only casts.

    Args:
        augment: what to do, and how strongly.
        shape: height and width of the result, pixels.
        interpolation: `bilinear` or `bicubic`, of the crop: that of the network's preprocessing.

    Returns:
        A pure function of (keys, images, aspects): one key per image (`keys.example_keys`), uint8 RGB images, and the
        width / height of the true pictures, which only crops read. With crops the images are whole pictures squashed
        to a square of any side; without, they are framed as for evaluation, in the shape of the result. It returns
        float32 images in [0, 255]. It may be called inside jit, pmap or shard_map, or by itself.
    """

    @jax.jit
    def apply(
        keys: Key[Array, ' batch'], images: UInt8[Array, 'batch height width 3'], aspects: Float[Array, ' batch']
    ) -> Float[Array, 'batch height2 width2 3']:
        given = images.shape[1:3]
        if not augment.crops and given != shape:
            raise ValueError(
                f'images are {given[0]}×{given[1]}, but without crops they must be {shape[0]}×{shape[1]} pixels'
            )
        pixels = images.astype(jnp.float32)
        streams = jax.vmap(lambda key: jax.random.split(key, 4))(keys)
        if augment.crops:
            boxes = crop.sample_boxes(streams[:, 0], aspects, augment.crop_scale, augment.crop_ratio)
            pixels = crop.resample(pixels, boxes, shape, interpolation)
        if augment.horizontal_flip > 0:
            pixels = flip.horizontal(streams[:, 1], pixels, augment.horizontal_flip)
        if augment.vertical_flip > 0:
            pixels = flip.vertical(streams[:, 2], pixels, augment.vertical_flip)
        return colour.jitter(
            streams[:, 3],
            pixels,
            brightness=augment.brightness,
            contrast=augment.contrast,
            saturation=augment.saturation,
            hue=augment.hue,
        )

    return apply
