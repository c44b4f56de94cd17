"""Layers of operations on 8-bit pictures, another operation for every image: what the policies are made of.

A layer is one operation per image. Every operation that may occur is computed for all images, and each image takes its
own: a batch is one program without branches. What could be done twice is shared. Operations on single grey values
become one table per image, `color` and `sharpness` one blend with one reference, and geometric operations in a row one
matrix and one resampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32, UInt8

from jtransfer.augment import filters, matrices, tables, tone
from jtransfer.augment.stored import stored
from jtransfer.augment.warp import warp

# The unit of an operation's level stands behind it; none where it has no level.
OPS = (
    'identity',
    'shear_x',  # pixels to the left per row downwards
    'shear_y',  # pixels upwards per column to the right
    'translate_x',  # pixels to the right
    'translate_y',  # pixels down
    'rotate',  # degrees counter-clockwise
    'brightness',  # factor ≥ 0; 1 changes nothing
    'color',  # likewise
    'contrast',  # likewise
    'sharpness',  # likewise
    'posterize',  # bits to keep, 0 to 8
    'solarize',  # grey value from which values are inverted, 0 to 256
    'solarize_add',  # grey values to add below 128
    'autocontrast',
    'equalize',
    'invert',
)
NUMBERS = {name: number for number, name in enumerate(OPS)}
GEOMETRIC = frozenset({'shear_x', 'shear_y', 'translate_x', 'translate_y', 'rotate'})
_BLENDED = frozenset({'color', 'sharpness'})
_BY_CHANNEL = frozenset({'autocontrast', 'equalize'})

Fill = float | tuple[float, ...]
# What comes into the picture from outside, in most policies' original code.
GREY = 128.0

# Pillow cuts fractions off. What float32 puts just below a whole number is that number in exact arithmetic.
_SLACK = 2.0**-10


class Layer(NamedTuple):
    """One operation per image.

    Attributes:
        op: its number in `OPS`.
        level: its argument, in the operation's own unit, with its sign; not read where it has none.
    """

    op: Int32[Array, ' batch']
    level: Float32[Array, ' batch']


def skip(layer: Layer, skipped: Bool[Array, ' batch']) -> Layer:
    """The layer with the chosen images' operation replaced by `identity` (level 0)."""
    return Layer(jnp.where(skipped, NUMBERS['identity'], layer.op), jnp.where(skipped, 0, layer.level))


def apply_layers(
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
    layers: Sequence[Layer],
    used: frozenset[str],
    interpolation: str = 'bilinear',
    fill: Fill = GREY,
) -> UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3']:
    """Carries the layers out, one after the other, as Pillow's operations on 8-bit pictures do.

    The one difference: geometric operations with nothing but `identity` between them resample once, through their
    composed matrix. So what the first moves out of the frame the next can bring back, and nothing is blurred twice.

    Args:
        images: RGB in [0, 255]; floats are rounded to 8 bits first.
        layers: in the order in which they are applied.
        used: names of the operations that may occur; the program holds no other, and others do nothing.
        interpolation: of the geometry: `nearest`, `bilinear` or `bicubic`.
        fill: grey value of what comes into the picture from outside: one, or one a channel.

    Returns:
        Images of the type given, of whole numbers.
    """
    pixels = stored(tone.to_uint8(images))
    shape = (images.shape[1], images.shape[2])
    warps = _place_warps(layers, used, shape) if used & GEOMETRIC else []
    if warps and len(layers) == 1:
        pixels = stored(cut(warp(pixels, warps[0], interpolation, fill)))
    for place, layer in enumerate(layers):
        pixels = _recolour(pixels, layer, used)
        if warps and place < len(layers) - 1:
            pixels = stored(cut(warp(pixels, warps[place], interpolation, fill)))
    return pixels.astype(images.dtype)


def layers_geometry(layers: Sequence[Layer], used: frozenset[str], shape: tuple[int, int]) -> Float[Array, 'batch 3 3']:
    """Where the layers move things: the maps from output to input pixels, as in `jtransfer.augment.matrices`.

    Args:
        layers: in the order in which they are applied.
        used: names of the operations that may occur.
        shape: height and width of the images, pixels.
    """
    return matrices.compose(*(_matrices(layer, used, shape) for layer in layers))


def cut(images: Float[Array, 'batch height width channel']) -> UInt8[Array, 'batch height width channel']:
    """Float images of [0, 255] in 8 bits, fractions cut off as Pillow does (but not rounding errors below a number)."""
    return jnp.floor(images + _SLACK).astype(jnp.uint8)


def _place_warps(layers: Sequence[Layer], used: frozenset[str], shape: tuple[int, int]) -> list[Array]:
    """The matrices after every recolouring but the last (or, for one layer, before it).

    With L layers the stages are P1 W1 P2 W2 … P(L-1) W(L-1) PL: pointwise, then warp. Layer i < L changes colour in
    Pi or geometry in Wi; the last has no warp of its own and shares W(L-1), where it comes after layer L-1. An image
    has one operation a layer, so no order is lost: if layer L-1 is geometric it goes first into the shared warp, and
    if it changes colour, it does so in P(L-1), before. For the same reason a matrix may wait in its stage for the next
    one, as long as the next layer does not change colour.
    """
    moves = [_matrices(layer, used, shape) for layer in layers]
    still = matrices.identity(layers[0].op.shape[0])
    warps = []
    pending = moves[0]
    for place in range(1, len(layers) - 1):
        recoloured = _is_any(layers[place].op, used - GEOMETRIC - {'identity'})[:, None, None]
        warps.append(jnp.where(recoloured, pending, still))
        pending = matrices.compose(jnp.where(recoloured, still, pending), moves[place])
    if len(layers) > 1:
        pending = matrices.compose(pending, moves[-1])
    return [*warps, pending]


def _matrices(layer: Layer, used: frozenset[str], shape: tuple[int, int]) -> Array:
    none = jnp.zeros_like(layer.level)
    make = {
        'shear_x': lambda level: matrices.shear_x(level, shape),
        'shear_y': lambda level: matrices.shear_y(level, shape),
        'translate_x': lambda level: matrices.translation(level, none),
        'translate_y': lambda level: matrices.translation(none, level),
        'rotate': lambda level: matrices.rotation(level, shape),
    }
    result = matrices.identity(layer.op.shape[0])
    for name in sorted(used & GEOMETRIC):
        result = jnp.where(_is(layer.op, name)[:, None, None], make[name](layer.level), result)
    return result


def _recolour(pixels: Array, layer: Layer, used: frozenset[str]) -> Array:
    """The layer's operations on grey values, and those that blend."""
    result = pixels
    if used - GEOMETRIC - _BLENDED - {'identity'}:
        result = tables.apply_tables(pixels, _tables(pixels, layer, used))
    if not used & _BLENDED:
        return result
    # Both are a blend with a reference: one does. In rows of width × channel values, a loop that fills vector units.
    rows = pixels.reshape(*pixels.shape[:2], -1, 1)
    reference = rows
    if 'color' in used:
        reference = jnp.where(_is(layer.op, 'color')[:, None, None, None], _grey_rows(rows), reference)
    if 'sharpness' in used:
        smooth = filters.smooth(pixels).reshape(rows.shape)
        reference = jnp.where(_is(layer.op, 'sharpness')[:, None, None, None], smooth, reference)
    blended = tone.blend(reference.astype(jnp.float32), rows.astype(jnp.float32), layer.level).astype(jnp.uint8)
    blends = _is_any(layer.op, used & _BLENDED)[:, None, None, None]
    return stored(jnp.where(blends, blended, stored(result).reshape(rows.shape))).reshape(pixels.shape)


def _grey_rows(rows: Array) -> Array:
    """`tone.luma` of rows of width × 3 values, three times each."""
    padded = jnp.pad(rows, ((0, 0), (0, 0), (2, 2), (0, 0))).astype(jnp.int32)
    length = rows.shape[2]
    first, second, third = (padded[:, :, start : start + length + 2] for start in range(3))
    # Right where a red value begins the three, which is at the value itself or one or two before.
    grey = tone.weigh(first, second, third)
    channel = (jnp.arange(length) % 3)[:, None]
    beginning = [grey[:, :, 2 - before : 2 - before + length] for before in range(3)]
    return jnp.where(channel == 0, beginning[0], jnp.where(channel == 1, beginning[1], beginning[2])).astype(jnp.uint8)


def _tables(pixels: Array, layer: Layer, used: frozenset[str]) -> Array:
    """One table per image (and channel, where an operation has another for each)."""
    batch = pixels.shape[0]
    level, whole = layer.level, jnp.round(layer.level).astype(jnp.int32)
    make = {
        'brightness': lambda: tables.brightness(level),
        'contrast': lambda: tables.contrast(pixels, level),
        'posterize': lambda: tables.posterize(jnp.clip(whole, 0, 8)),
        'solarize': lambda: tables.solarize(level),
        'solarize_add': lambda: tables.solarize_add(whole),
        'autocontrast': lambda: tables.autocontrast(pixels),
        'equalize': lambda: tables.equalize(pixels),
        'invert': lambda: tables.invert(batch),
    }
    result = tables.identity(batch)
    shared = [name for name in make if name in used - _BY_CHANNEL]
    own = [name for name in make if name in used & _BY_CHANNEL]
    for name in shared:
        result = jnp.where(_is(layer.op, name)[:, None, None], make[name](), result)
    if shared and own:
        # Or what the channels share would be computed for each.
        result = stored(result)
    for name in own:
        result = jnp.where(_is(layer.op, name)[:, None, None], make[name](), result)
    return result


def _is(op: Array, name: str) -> Array:
    return op == NUMBERS[name]


def _is_any(op: Array, names: frozenset[str]) -> Array:
    return jnp.isin(op, jnp.array(sorted(NUMBERS[name] for name in names), jnp.int32))
