"""Encoded images without what is written about them: Pillow refuses some images for metadata that it cannot read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

_PNG = b'\x89PNG\r\n\x1a\n'
# What the pixels are made of; eXIf may turn them.
_PNG_KEPT = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND', b'eXIf')
_PNG_TEXT = (b'tEXt', b'zTXt', b'iTXt')
# Keywords of texts that Pillow takes the orientation from.
_PNG_TURNING = (b'XML:com.adobe.xmp', b'Raw profile type exif')
_MOST_TEXT = 2**19  # bytes, well within Pillow's limit

_JFIF = b'\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0'
_WEBP_DROPPED = (b'ICCP', b'XMP ', b'EXIF')
_VP8X_FLAGS = 0x20 | 0x08 | 0x04  # profile, EXIF, XMP

# Tags of a TIFF that say where and how its pixels are stored, and which way up.
_TIFF_KEPT = {
    *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325),
    *(338, 339, 340, 341, 347, 530, 531, 532),
}


def without_metadata(content: bytes) -> bytes | None:
    """The same image with its pixels and, as far as it can be read, its orientation alone.

    Args:
        content: an encoded image.

    Returns:
        None for what is not PNG, JPEG, WebP or TIFF.
    """
    for start, strip in _STRIPPED.items():
        if content.startswith(start):
            try:
                return strip(content)
            except (struct.error, IndexError, ValueError):
                return None
    return None


def _png(content: bytes) -> bytes:
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(content):
        size, kind = struct.unpack_from('>I4s', content, at)
        body, whole = content[at + 8 : at + 8 + size], content[at : at + 12 + size]
        if kind in _PNG_KEPT and not (kind == b'eXIf' and struct.pack('>I', zlib.crc32(kind + body)) != whole[-4:]):
            kept.append(whole)
        elif kind in _PNG_TEXT and body.split(b'\0')[0] in _PNG_TURNING:
            kept += _plain_text(kind, body)
        at += len(whole)
        if kind == b'IEND':
            break
    return b''.join(kept)


def _plain_text(kind: bytes, body: bytes) -> Iterator[bytes]:
    """The beginning of a text as a chunk that is not compressed; none if it cannot be read."""
    keyword, text = body.split(b'\0', 1)
    compressed = kind == b'zTXt'
    if kind == b'iTXt':
        compressed, text = text[:1] == b'\x01', text[2:].split(b'\0', 2)[-1]
    elif compressed:
        text = text[1:]
    if compressed:
        try:
            text = zlib.decompressobj().decompress(text, _MOST_TEXT)
        except zlib.error:
            return
    body = b'tEXt' + keyword + b'\0' + text[:_MOST_TEXT]
    yield struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))


def _jpeg(content: bytes) -> bytes:
    kept, at = [content[:2]], 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == 0xDA:  # the pixels begin
            break
        (size,) = struct.unpack_from('>H', content, at + 2)
        segment = content[at : at + 2 + size]
        if marker == 0xE0 and segment[4:8] == b'JFIF':
            kept.append(_JFIF)  # decoders take the colours from its presence
        elif marker == 0xEE and segment[4:9] == b'Adobe' and len(segment) < 16:
            pass
        elif marker in (0xE1, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(segment)
        at += 2 + size
    return b''.join(kept) + content[at:]


def _webp(content: bytes) -> bytes:
    kept, at = [], 12
    while at + 8 <= len(content):
        kind, size = struct.unpack_from('<4sI', content, at)
        chunk = content[at : at + 8 + size + size % 2]
        if kind == b'VP8X':
            chunk = chunk[:8] + bytes([chunk[8] & ~_VP8X_FLAGS]) + chunk[9:]
        # What is behind the size that the file states is not of the image, unless that size is wrong.
        if kind not in _WEBP_DROPPED and kind.isascii():
            kept.append(chunk)
        at += len(chunk)
    body = b''.join(kept)
    return b'RIFF' + struct.pack('<I', len(body) + 4) + b'WEBP' + body


def _tiff(content: bytes) -> bytes:
    end = '<' if content[:1] == b'I' else '>'
    (first,) = struct.unpack_from(end + 'I', content, 4)
    (count,) = struct.unpack_from(end + 'H', content, first)
    changed = bytearray(content)
    for at in range(first + 2, first + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(end + 'H', content, at)
        if tag not in _TIFF_KEPT:
            struct.pack_into(end + 'HHII', changed, at, 0xFFFF, 1, 1, 0)
    # Nothing is read of the images behind the first.
    struct.pack_into(end + 'I', changed, first + 2 + 12 * count, 0)
    return bytes(changed)


_STRIPPED: dict[bytes, Callable[[bytes], bytes]] = {
    _PNG: _png,
    b'\xff\xd8': _jpeg,
    b'RIFF': _webp,
    b'II*\0': _tiff,
    b'MM\0*': _tiff,
}
