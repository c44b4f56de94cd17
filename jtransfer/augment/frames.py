"""How the network's input is cut out of a picture: a random crop, or all of what evaluation sees."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from jtransfer.augment import crop, geometry, matrices, pad_crop
from jtransfer.config.operations import Operation
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor

# From keys, pictures as they are kept, and the width / height of the true pictures, to images in the network's shape,
# float32 in [0, 255]; the maps from their pixels to shares of the sides of the true pictures; and which boxes of those
# they show: (left, top, width, height), shares as well.
Frame = Callable[
    [Key[Array, ' batch'], UInt8[Array, 'batch height width channel'], Float[Array, ' batch']],
    tuple[Float[Array, 'batch height2 width2 channel'], Float[Array, 'batch 3 3'], Float[Array, 'batch 4']],
]


def make_frame(operation: Operation | None, preprocessing: ImagePreprocessor, *, resizes: bool = False) -> Frame:
    """The first step of augmentation.

    Args:
        operation: a crop. None: the picture as evaluation sees it.
        preprocessing: whose shape, interpolation and crop fraction apply.
        resizes: whether pictures that were framed for evaluation in another size are resized. Otherwise they are an
            error.

    Returns:
        A function of (keys, images, aspects). For `random_resized_crop` and `random_square_crop` the images are whole
        pictures squashed to a square of any side; otherwise they are framed as for evaluation. It raises `ValueError`
        for images of another shape.

    Raises:
        UserError: a padding that reaches further than a picture has pixels to reflect.
    """
    shape = preprocessing.shape
    padding = operation.values['padding'] if operation and operation.name == 'random_crop' else 0
    if operation and padding >= min(shape) and operation.values['mode'] == 'reflect':
        raise UserError(
            f'augment: random_crop: padding={padding} must be below {min(shape)}, the pixels of a side, to reflect; '
            'mode=zero takes any'
        )
    if operation is None or operation.name == 'random_crop':

        def framed(keys: Array, images: Array, aspects: Array) -> tuple[Array, Array, Array]:
            pixels = images.astype(jnp.float32)
            boxes = _evaluation_boxes(aspects, preprocessing)
            maps = geometry.box_matrix(boxes, shape)
            if images.shape[1:3] != shape:
                if not resizes:
                    given = f'{images.shape[1]}×{images.shape[2]}'
                    raise ValueError(f'images are {given}, but without crops they must be {shape[0]}×{shape[1]} pixels')
                everything = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0, 1.0]), (len(images), 4))
                pixels = crop.resample(pixels, everything, shape, preprocessing.interpolation)
            if operation is None:
                return pixels, maps, boxes
            dx, dy = pad_crop.draw_shifts(keys, padding)
            moves = matrices.translation(dx.astype(jnp.float32), dy.astype(jnp.float32))
            pixels = pad_crop.random_crop(keys, pixels, padding, operation.values['mode'])
            return pixels, matrices.compose(maps, moves), boxes

        return framed

    values = operation.values
    interpolation = values['interpolation']
    if interpolation == 'network':
        interpolation = preprocessing.interpolation

    def cropped(keys: Array, images: Array, aspects: Array) -> tuple[Array, Array, Array]:
        if operation.name == 'random_resized_crop':
            boxes = crop.sample_boxes(keys, aspects, values['scale'], values['ratio'])
        else:
            boxes = crop.sample_square_boxes(keys, aspects, values['fraction'])
        pixels = crop.resample(images.astype(jnp.float32), boxes, shape, interpolation)
        return pixels, geometry.box_matrix(boxes, shape), boxes

    return cropped


def _evaluation_boxes(aspects: Float[Array, ' batch'], preprocessing: ImagePreprocessor) -> Float[Array, 'batch 4']:
    """What evaluation cuts out, (left, top, width, height) in shares of the sides, but for rounding to whole pixels."""
    height, width = preprocessing.shape
    fraction = jnp.full_like(aspects, preprocessing.crop_fraction)
    if preprocessing.squash:
        across, down = fraction, fraction
    else:
        wanted = width / height
        across = fraction * jnp.minimum(1.0, wanted / aspects)
        down = fraction * jnp.minimum(1.0, aspects / wanted)
    return jnp.stack([(1 - across) / 2, (1 - down) / 2, across, down], axis=1)
