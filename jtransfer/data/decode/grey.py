"""Grey images of more than 8 bits: which values are black and white."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from jtransfer.data.decode.narrow import Narrow, narrow_of

_PHOTOMETRIC, _BITS, _FORMAT, _LEAST, _LARGEST = 262, 258, 339, 340, 341


class UnknownRangeError(ValueError):
    """Nobody says which values of an image are black and white; the message says what the image is.

    Attributes:
        remedy: what helps, from the name of a field of `config.Data` on.
    """

    def __init__(self, said: str, remedy: str) -> None:
        """Takes both."""
        super().__init__(said)
        self.remedy = remedy


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey with values of another kind than 0 to 255."""
    # Pillow gives signed bytes as if they were unsigned.
    return image.mode.startswith('I') or image.mode == 'F' or (image.mode == 'L' and _is_signed(_tags(image)))


def eight_bits(
    image: Image.Image, pixel_range: Sequence[float] = (), white_is_zero: bool = False
) -> tuple[Image.Image, Narrow | None]:
    """The image with 8 bits, black 0, and what is to be said if it uses a sliver of its 16 bits.

    Args:
        image: one that `is_deep`, its pixels loaded.
        pixel_range: least and largest value. Empty: what the image states, or those of 16 bits.
        white_is_zero: whether the least value is white, where the image does not say so itself.

    Raises:
        UnknownRangeError: floats, or values that are none of 16 bits, of which nobody knows the range.
    """
    values, tags = np.asarray(image), _tags(image)
    if image.mode == 'L':
        values = values.view(np.int8)
    elif image.mode == 'I' and _first(tags, _BITS, 0) == 32 and not _is_signed(tags):
        values = values.view(np.uint32)
    ends = tuple(pixel_range) or _stated(image.mode, tags)
    narrow = None
    if ends:
        low, high = ends
        scaled = (values.astype(np.float64) - low) / (high - low) * 255
        grey = np.nan_to_num(np.clip(scaled, 0, 255), nan=0)
    elif image.mode == 'F' or values.min() < 0 or values.max() > 65535:
        raise UnknownRangeError(*_in_words(image.mode, values, tags))
    elif image.mode == 'L':
        grey = values
    else:
        grey = values / 257
        narrow = narrow_of(values.min(), values.max())
    grey = np.round(grey).astype(np.uint8)
    # Pillow turns 8 bits and fewer itself.
    white_is_zero = white_is_zero or (tags.get(_PHOTOMETRIC) == 0 and image.mode != 'L')
    return Image.fromarray(255 - grey if white_is_zero else grey), narrow


def black_is_zero(content: bytes) -> bytes | None:
    """A TIFF of deep values whose white is zero, as if its black were, for which Pillow has more decoders.

    Returns:
        None for what is no such file.
    """
    end = {b'II*\0': '<', b'MM\0*': '>'}.get(content[:4])
    if end is None:
        return None
    try:
        (first,) = struct.unpack_from(end + 'I', content, 4)
        (count,) = struct.unpack_from(end + 'H', content, first)
        entries = {
            struct.unpack_from(end + 'H', content, at)[0]: at for at in range(first + 2, first + 2 + 12 * count, 12)
        }
        places = [entries.get(tag) for tag in (_PHOTOMETRIC, _BITS)]
        values = [None if at is None else struct.unpack_from(end + 'H', content, at + 8)[0] for at in places]
    except struct.error:
        return None
    if values[0] != 0 or values[1] is None or values[1] <= 8:
        return None
    at = entries[_PHOTOMETRIC] + 8
    return content[:at] + struct.pack(end + 'H', 1) + content[at + 2 :]


def _tags(image: Image.Image) -> dict[int, Any]:
    tags = getattr(image, 'tag_v2', None) if image.format == 'TIFF' else None
    wanted = (_PHOTOMETRIC, _BITS, _FORMAT, _LEAST, _LARGEST)
    return {} if tags is None else {tag: tags[tag] for tag in wanted if tag in tags}


def _stated(mode: str, tags: dict[int, Any]) -> tuple[float, ...]:
    """What a TIFF states about values whose kind alone does not say it; empty if it does not, or nothing sensible."""
    if mode.startswith('I;') or not {_LEAST, _LARGEST} <= tags.keys():
        return ()
    low, high = (np.atleast_1d(tags[tag]) for tag in (_LEAST, _LARGEST))
    if not np.isfinite([low[0], high[0]]).all() or low[0] >= high[0]:
        return ()
    return float(low[0]), float(high[0])


def _in_words(mode: str, values: np.ndarray, tags: dict[int, Any]) -> tuple[str, str]:
    """What an image is, and what helps."""
    kind = 'float ' if mode == 'F' else 'signed ' if _is_signed(tags) else ''
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0, 0)
    ends = '0,1' if mode == 'F' and low >= 0 and high <= 1 else 'LEAST,LARGEST'
    bits = _first(tags, _BITS, 32)
    return (
        f'{"an" if bits == 8 else "a"} {bits}-bit {kind}image whose range is not stated '
        f'(its values are {low:.6g} to {high:.6g})',
        f'pixel_range={ends} says which values are black and white',
    )


def _is_signed(tags: dict[int, Any]) -> bool:
    return _first(tags, _FORMAT, 1) == 2


def _first(tags: dict[int, Any], tag: int, default: int) -> int:
    return int(np.atleast_1d(tags.get(tag, default))[0])
