"""AugMix: the image and several chains of operations on it, mixed with random weights.

Hendrycks et al. (2020), "AugMix: A simple data processing method to improve robustness and uncertainty", as
torchvision's `AugMix` defines it: its operations (`all_ops` adds the enhancers, which the paper leaves out because
they are among the corruptions of its test sets), its bins and its mixing. The paper's consistency loss between two
augmented copies is a matter of the loss, not of this file. torchvision draws the depth of a chain and its operations
once a batch; here every image has its own.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Key, UInt8

from jtransfer.augment import tone
from jtransfer.augment.layers import GREY, Fill, Layer, apply_layers, cut, skip
from jtransfer.augment.policies import binned

BINS = 10
DEEPEST = 3


class Mixture(NamedTuple):
    """Chains of operations and how to mix them.

    Attributes:
        layers: of batch · width images each: chain c of image i is row i · width + c.
        weights: of the image itself, then of its chains; they sum to 1.
    """

    layers: list[Layer]
    weights: Float32[Array, 'batch width+1']


def apply(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
    *,
    severity: int = 3,
    width: int = 3,
    depth: int = -1,
    alpha: float = 1.0,
    all_ops: bool = True,
    interpolation: str = 'bilinear',
    fill: Fill = GREY,
) -> UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3']:
    """Augments every image by its own draw (`draw`).

    Args:
        keys: one per image.
        images: RGB in [0, 255]; floats are rounded to 8 bits first.
        severity: how many of the 10 magnitudes are drawn from, the weakest first, in [1, 10].
        width: how many chains, ≥ 1.
        depth: how many operations a chain has; -1 draws 1, 2 or 3.
        alpha: parameter of the distributions of the weights, > 0.
        all_ops: whether brightness, color, contrast and sharpness are among the operations.
        interpolation: of the geometry, as `warp.warp`.
        fill: grey value of what comes into the picture from outside: one, or one a channel.

    Returns:
        Images of the same type, of whole numbers: the fraction of the mixture is cut off, as in torchvision.
    """
    shape = (images.shape[1], images.shape[2])
    drawn = draw(keys, shape, severity=severity, width=width, depth=depth, alpha=alpha, all_ops=all_ops)
    used = frozenset(space(shape, all_ops))
    pixels = tone.to_uint8(images)
    batch, *sizes = pixels.shape
    copies = jnp.broadcast_to(pixels[:, None], (batch, width, *sizes)).reshape(-1, *sizes)
    chains = apply_layers(copies, drawn.layers, used, interpolation, fill).reshape(batch, width, *sizes)
    weights = drawn.weights[:, :, None, None, None]
    mixture = weights[:, 0] * pixels
    for chain in range(width):
        mixture = mixture + weights[:, 1 + chain] * chains[:, chain]
    return cut(mixture).astype(images.dtype)


def space(shape: tuple[int, int], all_ops: bool = True) -> binned.Space:
    """The operations and their magnitudes, 10 bins each.

    Args:
        shape: height and width of the images, pixels; translations reach to a third of them, in whole pixels.
        all_ops: whether brightness, color, contrast and sharpness are among the operations.

    Returns:
        Magnitudes by name.
    """
    height, width = shape
    magnitudes = {
        'shear_x': binned.ramp(0.3, BINS),
        'shear_y': binned.ramp(0.3, BINS),
        'translate_x': binned.pixels(width / 3, BINS),
        'translate_y': binned.pixels(height / 3, BINS),
        'rotate': binned.ramp(30.0, BINS),
        'posterize': binned.bits(4, 4, BINS),
        'solarize': binned.thresholds(BINS),
        'autocontrast': np.zeros(1),
        'equalize': np.zeros(1),
    }
    if all_ops:
        magnitudes |= {name: binned.ramp(0.9, BINS) for name in ('brightness', 'color', 'contrast', 'sharpness')}
    return magnitudes


def draw(
    keys: Key[Array, ' batch'],
    shape: tuple[int, int],
    *,
    severity: int = 3,
    width: int = 3,
    depth: int = -1,
    alpha: float = 1.0,
    all_ops: bool = True,
) -> Mixture:
    """Draws the chains of every image and their weights.

    The chains share the Dirichlet(alpha, …, alpha) distribution among themselves; the share of all chains together,
    against the image itself, is Beta(alpha, alpha).

    Args:
        keys: one per image.
        shape: height and width of the images, pixels.
        severity: how many of the 10 magnitudes are drawn from, the weakest first, in [1, 10].
        width: how many chains, ≥ 1.
        depth: how many operations a chain has; -1 draws 1, 2 or 3.
        alpha: parameter of the distributions of the weights, > 0.
        all_ops: whether brightness, color, contrast and sharpness are among the operations.

    Returns:
        The mixture; its layers are `identity` behind the end of a chain.
    """
    magnitudes = space(shape, all_ops)
    longest = depth if depth > 0 else DEEPEST
    streams = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (width, 1 + 3 * longest)))(streams[:, 0])
    uniform = uniform.reshape(-1, 1 + 3 * longest)
    length = 1 + jnp.floor(uniform[:, 0] * longest) if depth <= 0 else jnp.full(uniform.shape[0], float(depth))
    chains = []
    for place in range(longest):
        which, strength, sign = uniform[:, 1 + 3 * place : 4 + 3 * place].T
        choice = jnp.floor(which * len(magnitudes)).astype(jnp.int32)
        layer = binned.make_layer(magnitudes, choice, jnp.floor(strength * severity).astype(jnp.int32), sign < 0.5)
        chains.append(skip(layer, place >= length))
    return Mixture(chains, _weights(streams[:, 1], width, alpha))


def _weights(keys: Array, width: int, alpha: float) -> Array:
    """Both distributions are normalised gamma variables; in logarithms, small alphas do not underflow."""
    if alpha == 1:
        # Exponential variables, which take no loop of draws until every image of every device has one.
        logarithms = -jax.vmap(lambda key: jax.random.gumbel(key, (width + 2,)))(keys)
    else:
        logarithms = jax.vmap(lambda key: jax.random.loggamma(key, alpha, (width + 2,), jnp.float32))(keys)
    own, mixed = jax.nn.softmax(logarithms[:, :2]).T[:, :, None]
    return jnp.concatenate([own, mixed * jax.nn.softmax(logarithms[:, 2:])], axis=1)
