"""Opening an encoded image with Pillow, or HEIC with pillow-heif: its header, before any memory is taken for pixels."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator

from PIL import Image

from jtransfer.data.decode import image_kinds
from jtransfer.errors import UserError

# A short list of decoders: Pillow would otherwise also try formats that start other programs (EPS).
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM', 'AVIF')
_HEIC_NEEDED = "is a HEIC image, for which a decoder is missing: pip install -e '.[heic]' installs it"
_AVIF_NEEDED = 'is an AVIF image, and this Pillow was built without its decoder: the wheels of Pillow 11.3 have it'

_lock = threading.Lock()
_within, _limit = 0, Image.MAX_IMAGE_PIXELS


class MissingDecoderError(UserError):
    """An image of a format whose decoder is not installed; says which one it is."""


@contextlib.contextmanager
def open_image(content: bytes) -> Iterator[Image.Image]:
    """An image whose header has been read, and whose pixels have not; safe from threads.

    Args:
        content: encoded.

    Raises:
        MissingDecoderError: HEIC without pillow-heif, or AVIF with a Pillow that lacks it.
        Exception: anything, for malformed content.
    """
    # Pillow registers most decoders on demand, but not when it is told which ones to try.
    Image.init()
    format_ = image_kinds.format_of(content)
    with unlimited():
        image = _open_heic(content) if format_ == image_kinds.HEIC else _open(content, format_)
    with image:
        yield image


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """While Pillow's limit of pixels is off, which is one for the whole process and that our callers have of their own.

    It is off for the moments in which a header is read, or pixels of an image that is known to be larger and allowed.
    Several threads may be in here: the last one to leave puts the limit back.
    """
    global _within, _limit
    with _lock:
        if not _within:
            _limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within:
                Image.MAX_IMAGE_PIXELS = _limit


def load(image: Image.Image) -> None:
    """Decodes the pixels of an opened image whose size is allowed."""
    # Nothing is switched off for the images of every day: Pillow warns from its limit on, and refuses from twice that.
    limit = Image.MAX_IMAGE_PIXELS  # once: another thread may change it
    large = limit is None or image.width * image.height > limit
    with unlimited() if large else contextlib.nullcontext():
        image.load()


def _open(content: bytes, format_: str) -> Image.Image:
    if format_ == image_kinds.AVIF:
        from PIL import features

        if not features.check('avif'):
            raise MissingDecoderError(_AVIF_NEEDED)
    return Image.open(io.BytesIO(content), formats=_FORMATS)


def _open_heic(content: bytes) -> Image.Image:
    # Not registered with Pillow, which other code in this process uses as it is.
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise MissingDecoderError(_HEIC_NEEDED) from None
    image: Image.Image = HeifImageFile(io.BytesIO(content))
    return image
