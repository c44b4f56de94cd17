"""Decoding: from a file or its bytes to the RGB picture a person sees."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jtransfer.errors import UserError

EXTENSIONS = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm')
# A short list of decoders: Pillow would otherwise also try formats that start other programs (EPS).
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM')
MAX_PIXELS = 100_000_000

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(UserError):
    """One image that cannot be used; `data.skip_unreadable` leaves such images out."""


def decode_image(source: Path | bytes, name: str = '', max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, 'h w 3']:
    """Decodes an image of any common format, mode and orientation.

    Transparency is composited over white, 16-bit grey is scaled (not clipped) to 8 bits, palettes and CMYK become
    RGB, EXIF orientation is applied; of an animation the first frame counts.

    Args:
        source: a file, or the content of one.
        name: names the image in errors; by default the path.
        max_pixels: an image of more pixels is refused, before any memory is taken for them.

    Returns:
        RGB picture, 0 to 255.

    Raises:
        UnreadableImageError: missing, truncated, not an image, or too many pixels; names the image.
    """
    if isinstance(source, bytes):
        name = name or f'an image of {len(source)} bytes'
        content = source
    else:
        name = name or str(source)
        content = read_content(source, name)
    # Pillow registers most decoders on demand, but not when it is told which ones to try.
    Image.init()
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(name, f'{image.width:,}x{image.height:,}', max_pixels)
            image.load()
            return as_seen(image)
    except Image.DecompressionBombError as error:
        pixels = re.search(r'\d+', str(error))
        raise _too_large(name, f'{int(pixels[0]):,}' if pixels else 'too many', max_pixels) from None
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # Pillow's decoders answer malformed content with anything from OSError to struct.error and TypeError.
        raise UnreadableImageError(
            f'{name} is truncated or not an image; --config.data.skip_unreadable skips such files'
        ) from error


def read_content(path: Path, name: str = '') -> bytes:
    """The bytes of an image file.

    Args:
        path: of the file.
        name: names the image in errors; by default the path.

    Raises:
        UnreadableImageError: missing, or cannot be read; names the image.
    """
    name = name or str(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableImageError(f'{name}: no such file') from None
    except OSError as error:
        raise UnreadableImageError(f'{name} cannot be read: {error.strerror}') from None


def _too_large(name: str, pixels: str, max_pixels: int) -> UnreadableImageError:
    return UnreadableImageError(
        f'{name} has {pixels} pixels (a decompression bomb?); data.max_pixels={max_pixels:,} are allowed'
    )


def as_seen(image: Image.Image) -> np.ndarray:
    """The RGB pixels of an opened image as a person sees it, see `decode_image`."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        # Broken metadata says nothing about the pixels: viewers show such pictures as they are stored.
        orientation = 1
    if image.mode.startswith('I') or image.mode == 'F':
        image = _eight_bits(image)
    if image.mode in ('LA', 'La', 'PA', 'RGBA', 'RGBa') or 'transparency' in image.info:
        # Premultiplied La has no direct way to RGBA.
        image = (image.convert('LA') if image.mode == 'La' else image).convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    image = image.convert('RGB')
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return np.array(image)


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == 'F' or values.min() < 0 or values.max() > 65535:
        raise ValueError(f'pixels of mode {image.mode} have no known range')
    return Image.fromarray(np.round(values / 257).astype(np.uint8))
