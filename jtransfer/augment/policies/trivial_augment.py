"""TrivialAugment: one operation per image, of a magnitude drawn uniformly from a wide range; nothing to tune.

Müller and Hutter (2021), "TrivialAugment: Tuning-free yet state-of-the-art data augmentation", the wide search space,
with the 14 operations and 31 magnitudes of torchvision's `TrivialAugmentWide`. torchvision interpolates by the nearest
pixel and fills with black unless told otherwise; here the defaults are bilinear and grey.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from jtransfer.augment.layers import GREY, Fill, Layer, apply_layers
from jtransfer.augment.policies import binned

BINS = 31
SPACE: binned.Space = {
    'identity': np.zeros(1),
    'shear_x': binned.ramp(0.99, BINS),
    'shear_y': binned.ramp(0.99, BINS),
    'translate_x': binned.pixels(32.0, BINS),
    'translate_y': binned.pixels(32.0, BINS),
    'rotate': binned.ramp(135.0, BINS),
    'brightness': binned.ramp(0.99, BINS),
    'color': binned.ramp(0.99, BINS),
    'contrast': binned.ramp(0.99, BINS),
    'sharpness': binned.ramp(0.99, BINS),
    'posterize': binned.bits(8, 6, BINS),
    'solarize': binned.thresholds(BINS),
    'autocontrast': np.zeros(1),
    'equalize': np.zeros(1),
}
USED = frozenset(SPACE)


def apply(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
    *,
    interpolation: str = 'bilinear',
    fill: Fill = GREY,
) -> UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3']:
    """Augments every image by its own draw (`draw`).

    Args:
        keys: one per image.
        images: RGB in [0, 255]; floats are rounded to 8 bits first.
        interpolation: of the geometry, as `warp.warp`.
        fill: grey value of what comes into the picture from outside: one, or one a channel.

    Returns:
        Images of the same type, of whole numbers.
    """
    return apply_layers(images, draw(keys, (images.shape[1], images.shape[2])), USED, interpolation, fill)


def draw(keys: Key[Array, ' batch'], shape: tuple[int, int]) -> list[Layer]:
    """Draws one operation per image, a magnitude and, for geometry and enhancers, a sign; all uniformly.

    Shear reaches to 0.99, translation to 32 pixels (whatever the shape), rotation to 135 degrees, the factors of
    enhancers to 1 ± 0.99, `posterize` from 8 to 2 bits, `solarize` from a threshold of 255 to 0.

    Args:
        keys: one per image.
        shape: height and width of the images, pixels; not read, but given to every policy.

    Returns:
        One layer.
    """
    del shape
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (3,)))(keys)
    which, strength, sign = uniform.T
    choice = jnp.floor(which * len(SPACE)).astype(jnp.int32)
    return [binned.make_layer(SPACE, choice, jnp.floor(strength * BINS).astype(jnp.int32), sign < 0.5)]
