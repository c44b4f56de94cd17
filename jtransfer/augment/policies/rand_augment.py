"""RandAugment: a few operations per image, drawn anew for every image, all of about the same magnitude.

Cubuk et al. (2020), "RandAugment: Practical automated data augmentation with a reduced search space", in the form of
timm's `rand-mM-nL-mstdS-incI`: its 15 operations, its ranges, the normal noise on the magnitude, and the chance that
a drawn operation is left out. timm draws bilinear or bicubic interpolation for every image; here it is one.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from jtransfer.augment.layers import GREY, NUMBERS, Fill, Layer, apply_layers, skip

OPERATIONS = (
    'autocontrast',
    'equalize',
    'invert',
    'rotate',
    'posterize',
    'solarize',
    'solarize_add',
    'color',
    'contrast',
    'brightness',
    'sharpness',
    'shear_x',
    'shear_y',
    'translate_x',
    'translate_y',
)
USED = frozenset(OPERATIONS)
LARGEST = 10.0
_TRANSLATION = 0.45


def apply(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
    *,
    layers: int = 2,
    magnitude: float = 9.0,
    std: float = 0.0,
    op_probability: float = 1.0,
    increasing: bool = True,
    interpolation: str = 'bilinear',
    fill: Fill = GREY,
) -> UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3']:
    """Augments every image by its own draw (`draw`).

    Args:
        keys: one per image.
        images: RGB in [0, 255]; floats are rounded to 8 bits first.
        layers: how many operations per image, ≥ 1.
        magnitude: how strong they are, in [0, 10].
        std: standard deviation of the magnitude, ≥ 0.
        op_probability: the chance that a drawn operation is carried out: 0.5 in timm, 1 in the paper.
        increasing: whether every operation grows with the magnitude.
        interpolation: of the geometry, as `warp.warp`.
        fill: grey value of what comes into the picture from outside: one, or one a channel.

    Returns:
        Images of the same type, of whole numbers.
    """
    drawn = draw(
        keys,
        (images.shape[1], images.shape[2]),
        layers=layers,
        magnitude=magnitude,
        std=std,
        op_probability=op_probability,
        increasing=increasing,
    )
    return apply_layers(images, drawn, USED, interpolation, fill)


def draw(
    keys: Key[Array, ' batch'],
    shape: tuple[int, int],
    *,
    layers: int = 2,
    magnitude: float = 9.0,
    std: float = 0.0,
    op_probability: float = 1.0,
    increasing: bool = True,
) -> list[Layer]:
    """Draws the operations of every image.

    Each of the layers takes one of the 15 operations, with replacement, a magnitude from the normal distribution,
    clipped to [0, 10], and a sign. At magnitude 10 the picture is turned by 30 degrees, sheared by 0.3, moved by 0.45
    of its side, enhanced by a factor of 1 ± 0.9, and `solarize_add` adds 110. With `increasing`, `posterize` keeps 4
    bits at magnitude 0 and none at 10, and `solarize` starts at 256 and 0; otherwise both run the other way, and
    enhancers from a factor of 0.1 to 1.9 without a sign.

    At magnitude 0 (and std 0) `increasing` operations change nothing, except `autocontrast`, `equalize` and `invert`,
    which know no magnitude, and `posterize`, which never keeps more than 4 bits.

    Args:
        keys: one per image.
        shape: height and width of the images, pixels.
        layers: how many operations per image, ≥ 1.
        magnitude: how strong they are, in [0, 10].
        std: standard deviation of the magnitude, ≥ 0.
        op_probability: the chance that a drawn operation is carried out.
        increasing: whether every operation grows with the magnitude.

    Returns:
        One layer per operation, in their order; `identity` where an operation is left out.
    """
    # One draw for all: every separate one costs compile time.
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (layers, 4)))(keys)
    drawn = []
    for place in range(layers):
        which, happens, noise, sign = uniform[:, place].T
        strength = jnp.full(keys.shape, magnitude, jnp.float32)
        if std > 0:
            strength = strength + std * jax.scipy.special.ndtri(noise)
        levels = _levels(jnp.clip(strength, 0, LARGEST), jnp.where(sign < 0.5, -1.0, 1.0), shape, increasing)
        choice = jnp.floor(which * len(OPERATIONS)).astype(jnp.int32)
        # By rows: an index over the batch would make devices that share one exchange their levels.
        every = jnp.stack([levels[name] for name in OPERATIONS], axis=1)
        level = jnp.take_along_axis(every, choice[:, None], axis=1)[:, 0]
        number_of = jnp.array([NUMBERS[name] for name in OPERATIONS], jnp.int32)
        drawn.append(skip(Layer(number_of[choice], level), happens >= op_probability))
    return drawn


def _levels(magnitude: Array, sign: Array, shape: tuple[int, int], increasing: bool) -> dict[str, Array]:
    """The level of every operation at these magnitudes, [batch] each."""

    def share(largest: float) -> Array:
        # Divided last, so that whole results come out whole.
        return magnitude * largest / LARGEST

    kept = jnp.floor(share(4.0))
    threshold = jnp.floor(share(256.0))
    if increasing:
        kept, threshold = 4 - kept, 256 - threshold
        factor = jnp.maximum(0.1, 1 + sign * share(0.9))
    else:
        factor = 0.1 + share(1.8)
    nothing = jnp.zeros_like(magnitude)
    height, width = shape
    return {
        'autocontrast': nothing,
        'equalize': nothing,
        'invert': nothing,
        'rotate': sign * share(30.0),
        'posterize': kept,
        'solarize': threshold,
        'solarize_add': jnp.floor(share(110.0)),
        'color': factor,
        'contrast': factor,
        'brightness': factor,
        'sharpness': factor,
        'shear_x': sign * share(0.3),
        'shear_y': sign * share(0.3),
        'translate_x': sign * share(_TRANSLATION * width),
        'translate_y': sign * share(_TRANSLATION * height),
    }
