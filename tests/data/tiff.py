"""TIFF files written by hand, tag by tag: what no library here writes."""

import struct

import numpy as np

_TYPES = {np.dtype(np.uint16): 3, np.dtype(np.uint32): 4, np.dtype(np.float32): 11, np.dtype(np.uint8): 1}


def tiff(pixels, end='<', **tags):
    """An uncompressed TIFF of an array, [height, width] or [height, width, samples].

    Args:
        pixels: whose dtype says bits and sample format.
        end: byte order.
        **tags: values by `t` and the tag's number, over those that follow from the pixels; a text becomes ASCII.
    """
    height, width, samples = (*pixels.shape, 1)[:3]
    form = {'u': 1, 'i': 2, 'f': 3}[pixels.dtype.kind]
    values = {
        256: np.uint32(width),
        257: np.uint32(height),
        258: np.full(samples, pixels.dtype.itemsize * 8, np.uint16),
        259: np.uint16(1),
        262: np.uint16(2 if samples == 3 else 1),
        273: np.uint32(0),
        277: np.uint16(samples),
        278: np.uint32(height),
        279: np.uint32(pixels.nbytes),
        339: np.full(samples, form, np.uint16),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    data, entries, start = b'', [], 8 + 2 + 12 * len(values) + 4
    for tag in sorted(values):
        value = values[tag]
        if isinstance(value, bytes):
            kind, count, raw = 2, len(value), value
        else:
            array = np.atleast_1d(value)
            kind, count, raw = _TYPES[array.dtype], array.size, array.astype(array.dtype.newbyteorder(end)).tobytes()
        if len(raw) > 4:
            data, raw = data + raw + b'\0' * (len(raw) % 2), struct.pack(end + 'I', start + len(data))
        entries.append((tag, kind, count, raw.ljust(4, b'\0')))
    stored = pixels.astype(pixels.dtype.newbyteorder(end)).tobytes()
    body = struct.pack(end + 'H', len(entries))
    for tag, kind, count, raw in entries:
        raw = struct.pack(end + 'I', start + len(data)) if tag == 273 else raw
        body += struct.pack(end + 'HHI', tag, kind, count) + raw
    head = (b'II*\0' if end == '<' else b'MM\0*') + struct.pack(end + 'I', 8)
    return head + body + b'\0\0\0\0' + data + stored
