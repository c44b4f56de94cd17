"""Decoding: from a file or its bytes to the RGB picture a person sees."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, TiffImagePlugin

from jtransfer.data.decode import image_kinds
from jtransfer.data.decode.grey import UnknownRangeError, black_is_zero, eight_bits, is_deep
from jtransfer.data.decode.image_opening import MissingDecoderError, load, open_image
from jtransfer.data.decode.metadata import without_metadata
from jtransfer.data.decode.narrow import Narrow, narrow_of
from jtransfer.errors import UserError
from jtransfer.files.reading import NotReadError, regular_bytes

MAX_PIXELS = 100_000_000
# Of what is decoded to: to be raised wherever a change here, in `grey`, `image_opening`, `metadata` or `narrow` makes
# other pixels of the same file. What was decoded before is then not read any more.
VERSION = 1
# A file has at most as many bytes as pixels of four channels of 16 bits that are not compressed, and some for what is
# written about them.
_BYTES_PER_PIXEL, _BYTES_BESIDE = 8, 2**26

_MORE = 'max_pixels allows more'
# What Pillow says of intact files whose kind of pixels it has no decoder for.
_NO_DECODER = ('unknown pixel mode', 'unknown data organization', 'cannot handle', 'Unsupported')
_SAMPLES = {1: 'unsigned', 2: 'signed', 3: 'float', 5: 'complex', 6: 'complex'}
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

    def __init__(self, said: str, *remedies: str, skip: bool = False, where: str = 'data.') -> None:
        """Takes what is wrong, and what helps.

        Args:
            said: names the image.
            remedies: what helps, each beginning with the name of a field of `config.Data`.
            skip: whether the line says that such images can be left out.
            where: what stands before the names of fields.
        """
        self._said, self._remedies, self._skip = said, remedies, skip
        helps = (*remedies, 'skip_unreadable skips such files') if skip else remedies
        super().__init__('; '.join([said, *(f'{where}{text}' for text in helps)]))

    def named(self, where: str) -> UnreadableImageError:
        """The same for those who call the fields otherwise: `--` of flags."""
        return UnreadableImageError(self._said, *self._remedies, skip=self._skip, where=where)

    def skipped(self) -> str:
        """The line where such images are left out already."""
        return str(UnreadableImageError(self._said, *self._remedies))


def decode_image(
    source: Path | bytes, name: str = '', max_pixels: int = MAX_PIXELS, pixel_range: Sequence[float] = ()
) -> UInt8[np.ndarray, 'h w 3']:
    """Decodes an image of any common format, mode and orientation.

    Transparency is composited over white, 16-bit grey is scaled (not clipped) to 8 bits, palettes and CMYK become
    RGB, EXIF orientation is applied; of an animation the first frame counts. What is written about the image besides
    its pixels is never a reason to refuse it.

    Args:
        source: a file, or the content of one.
        name: names the image in errors; by default the path.
        max_pixels: an image of more pixels is refused, before any memory is taken for them, and so is a file of more
            than 8 bytes for each of so many pixels and 64 MiB.
        pixel_range: the values of grey images of more than 8 bits that become 0 and 255; what is beyond is clipped,
            and what is no number becomes 0. Empty: 0 and 65,535, or what a TIFF of floats, of signed or of 32-bit
            numbers states (SMinSampleValue, SMaxSampleValue).

    Returns:
        RGB picture, 0 to 255.

    Raises:
        UnreadableImageError: missing, no regular file, truncated, not an image or none that can be read, too many
            pixels or bytes, or values of unknown range; names the image.
    """
    return read_image(source, name, max_pixels, pixel_range)[0]


def read_image(
    source: Path | bytes, name: str = '', max_pixels: int = MAX_PIXELS, pixel_range: Sequence[float] = ()
) -> tuple[UInt8[np.ndarray, 'h w 3'], Narrow | None]:
    """As `decode_image`, and what is to be said of an image of 16 bits that uses a sliver of its range."""
    if isinstance(source, bytes):
        name = name or f'an image of {len(source)} bytes'
        content = source
    else:
        name = name or str(source)
        content = read_content(source, name, max_pixels)
    try:
        return _decode(content, name, max_pixels, pixel_range)
    except UserError:
        raise
    except MemoryError:
        raise _too_large(content, name) from None
    except Exception as error:
        # Pillow's decoders answer malformed content with anything from OSError to struct.error and TypeError, and so
        # they do where only the metadata are malformed, or large.
        bare = without_metadata(content)
        for other, white_is_zero in ((bare, False), (black_is_zero(bare or content), True)):
            if other is not None:
                try:
                    return _decode(other, name, max_pixels, pixel_range, white_is_zero)
                except UserError:
                    raise
                except MemoryError:
                    raise _too_large(other, name) from None
                except Exception:
                    continue  # it was not for that: the first error says more
        raise _unreadable(content, name) from error


def _decode(
    content: bytes, name: str, max_pixels: int, pixel_range: Sequence[float], white_is_zero: bool = False
) -> tuple[np.ndarray, Narrow | None]:
    try:
        with open_image(content) as image:
            if image.width * image.height > max_pixels:
                raise UnreadableImageError(
                    f'{name} has {image.width:,}x{image.height:,} pixels (a decompression bomb?); '
                    f'{max_pixels:,} are allowed',
                    _MORE,
                )
            # Pillow takes the upper 8 bits of colour; afterwards nothing tells that there were more.
            deep = any(';16' in str(tile[3]) for tile in getattr(image, 'tile', ())) and not image.mode.startswith('I')
            load(image)
            narrow = _narrow_colour(image) if deep else None
            pixels, of_grey = as_seen(image, pixel_range, white_is_zero)
            return pixels, narrow or of_grey
    except MissingDecoderError as error:
        raise UnreadableImageError(f'{name} {error}') from None
    except UnknownRangeError as error:
        raise UnreadableImageError(f'{name} is {error}', error.remedy) from None


def read_content(path: Path, name: str = '', max_pixels: int = MAX_PIXELS) -> bytes:
    """The bytes of an image file.

    Args:
        path: of the file.
        name: names the image in errors; by default the path.
        max_pixels: what an image may have, by which its file is bounded, too; see `decode_image`.

    Raises:
        UnreadableImageError: missing, no regular file (a named pipe, a device), too large, or cannot be read; names the
            image.
    """
    name = name or str(path)
    try:
        return regular_bytes(path, _BYTES_PER_PIXEL * max_pixels + _BYTES_BESIDE)
    except FileNotFoundError:
        raise UnreadableImageError(f'{name}: no such file') from None
    except NotReadError as error:
        raise UnreadableImageError(f'{name} {error}', *([_MORE] if error.too_large else []), skip=True) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL, which no path can hold
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableImageError(f'{name} cannot be read: {reason}') from None


def kind_of(content: bytes) -> str:
    """Format and mode of an image that can be decoded: `JPEG RGB`, `PNG RGBA`, …"""
    # As it was decoded: without what may stand in the way.
    for other in (content, without_metadata(content), black_is_zero(content)):
        if other is not None:
            with contextlib.suppress(Exception), open_image(other) as image:
                return f'{image.format} {image.mode}'
    return image_kinds.format_of(content)


def _too_large(content: bytes, name: str) -> UnreadableImageError:
    """Says of an image of an allowed size that its pixels do not fit into memory, or into what Pillow can hold."""
    size = ''
    with contextlib.suppress(Exception), open_image(content) as image:
        size = f' of {image.width:,}x{image.height:,} pixels'
    return UnreadableImageError(f'{name}{size} takes more memory than there is for one image', skip=True)


def _unreadable(content: bytes, name: str) -> UnreadableImageError:
    """Says what a file is that could not be decoded, and what to do."""
    format_ = image_kinds.format_of(content)
    kind = image_kinds.kind_of(content)
    if format_ and (rare := _without_decoder(content, format_)):
        return UnreadableImageError(f'{name} is {rare}, which is not read: convert it to PNG or JPEG')
    if format_:
        return UnreadableImageError(f'{name} is a truncated or damaged {format_}', skip=True)
    if kind is None:
        return UnreadableImageError(f'{name} is truncated or not an image', skip=True)
    if kind.advice:
        return UnreadableImageError(f'{name} is {kind.name}, which is not read: {kind.advice}')
    return UnreadableImageError(f'{name} is {kind.name}, not an image', skip=True)


def _without_decoder(content: bytes, format_: str) -> str:
    """What an image is whose kind of pixels Pillow does not know; empty where it is damaged."""
    if format_ not in Image.OPEN:
        return ''
    try:
        # `Image.open` tries one format after another, and keeps their reasons to itself.
        Image.OPEN[format_][0](io.BytesIO(content), '')
    except Exception as error:
        reason = str(error)
        if not reason.startswith(_NO_DECODER):
            return ''
        return f'a {_samples(content) or format_} ({reason})'
    return ''


def _samples(content: bytes) -> str:
    """What a TIFF holds, in words; empty for what is none."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        bits, forms = tags.get(258, (1,)), tags.get(339, (1,))
        times = f'{tags[277]} x ' if tags.get(277, 1) > 1 else ''
        return f'TIFF of {times}{bits[0]}-bit {_SAMPLES.get(forms[0], "other")} samples'
    except Exception:
        return ''


def as_seen(
    image: Image.Image, pixel_range: Sequence[float] = (), white_is_zero: bool = False
) -> tuple[UInt8[np.ndarray, 'h w 3'], Narrow | None]:
    """The RGB pixels of an opened image as a person sees it, and what is to be said of it, see `read_image`.

    Raises:
        UnknownRangeError: nobody says which of its values are black and white.
    """
    narrow = None
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        # Broken metadata says nothing about the pixels: viewers show such pictures as they are stored.
        orientation = 1
    if is_deep(image):
        image, narrow = eight_bits(image, pixel_range, white_is_zero)
    if image.mode in ('LA', 'La', 'PA', 'RGBA', 'RGBa') or 'transparency' in image.info:
        # Premultiplied La has no direct way to RGBA.
        image = (image.convert('LA') if image.mode == 'La' else image).convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    image = image.convert('RGB')
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return np.array(image), narrow


def _narrow_colour(image: Image.Image) -> Narrow | None:
    """What is to be said of the values of an image of 16 bits a channel, of which 8 are left."""
    extrema = np.atleast_2d(np.array(image.getextrema()))[: 3 if image.mode.startswith('RGB') else 1]
    return narrow_of(int(extrema[:, 0].min()) * 256, int(extrema[:, 1].max()) * 256 + 255, grey=False)
