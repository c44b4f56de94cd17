"""Fingerprints of pictures that outlast resizing, re-encoding and flipping, and whether two pictures are alike.

The hash is the one known as pHash (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010):
signs of the lowest frequencies of a small grey thumbnail. Two things differ from the usual form. A frequency counts as
positive only above a small share of the picture's contrast, so that those that are nothing but rounding (half of them
in a symmetric picture) are 0 in every copy. And the hashes of the turned picture come from the same transform.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8, UInt64
from PIL import Image

# Side of the thumbnail that is hashed, pixels; what is smaller than that has too few pixels to be told from its like.
THUMBNAIL = 32
# Side of the thumbnail that is kept to compare two pictures by, pixels.
KEPT = 16
SYMMETRIES = 8

_FREQUENCIES = 8
# Over the root mean square of the frequencies.
_NOTHING = 0.02
# Grey levels, root mean square, of what `_detail` leaves of a plain picture: rounding and noise.
_PLAIN = 1.0
# How many times the contrast of a copy may be that of the original, or the other way round.
_CONTRAST = 1.6
# How far below 1 the correlation of the detail of two copies may be, where it is made of many frequencies, and how many
# these are. Chosen on photographs of insects and of everyday things (copies 0.98 and above, different ones 0.71 and
# below) and on enlarged handwritten digits; `benchmarks/duplicates.py` tries it on other photographs.
_APART, _MANY = 0.1, 64
_LUMA = np.array([0.299, 0.587, 0.114])


def perceptual_hashes(pictures: Iterable[UInt8[np.ndarray, 'h w 3']]) -> UInt64[np.ndarray, 'n 8']:
    """The 64-bit hashes of pictures of any size.

    The Hamming distance (`np.bitwise_count` of the exclusive or) of two unrelated photographs is about 32; of a picture
    and a resized, re-encoded or slightly brightened copy of it, 0 to 6.

    Args:
        pictures: RGB, 0 to 255.

    Returns:
        A row a picture: its own hash, and those of its images under the other seven symmetries of a square, in the
        order of `turned`.
    """
    thumbnails = [thumbnail(picture) for picture in pictures]
    return hash_thumbnails(np.stack(thumbnails)) if thumbnails else np.zeros((0, SYMMETRIES), np.uint64)


def thumbnail(picture: UInt8[np.ndarray, 'h w 3']) -> UInt8[np.ndarray, '32 32 3']:
    """The picture squeezed into a square of 32 pixels, antialiased, whatever its aspect."""
    # Pillow's resampling would need gigabytes for a strip of millions of pixels; a first reduction does not.
    small = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small)


def hash_thumbnails(thumbnails: UInt8[np.ndarray, 'n 32 32 3']) -> UInt64[np.ndarray, 'n 8']:
    """The hashes of what `thumbnail` returns; see `perceptual_hashes`."""
    from scipy.fft import dctn

    grey = thumbnails.astype(np.float64) @ _LUMA
    lowest = dctn(grey, axes=(1, 2), norm='ortho')[:, :_FREQUENCIES, :_FREQUENCIES]
    # The mean brightness says nothing about which picture it is.
    lowest[:, 0, 0] = 0
    size = np.sqrt((lowest**2).mean(axis=(1, 2), keepdims=True))
    # To reverse an axis is to change the sign of every other frequency along it.
    sign = (-1.0) ** np.arange(_FREQUENCIES)
    every = [
        _pack(turn * down[:, None] * across > _NOTHING * size)
        for turn in (lowest, lowest.transpose(0, 2, 1))
        for down in (sign**2, sign)
        for across in (sign**2, sign)
    ]
    return np.stack(every, axis=1)


def _pack(bits: np.ndarray) -> UInt64[np.ndarray, ' n']:
    return np.packbits(bits.reshape(len(bits), 64), axis=1).view(np.uint64)[:, 0]


def turned(pictures: np.ndarray, symmetry: int) -> np.ndarray:
    """Pictures [n, h, w, 3] under one of the symmetries of a square.

    Args:
        pictures: of one size.
        symmetry: 0: as they are; 1: mirrored left to right; 2: top to bottom; 3: both (turned by 180°); 4 to 7: the
            same of the transposed pictures.
    """
    if symmetry >= 4:
        pictures = pictures.swapaxes(1, 2)
    if symmetry & 2:
        pictures = pictures[:, ::-1]
    return pictures[:, :, ::-1] if symmetry & 1 else pictures


def kept_thumbnail(thumbnail: UInt8[np.ndarray, '*n 32 32 3']) -> UInt8[np.ndarray, '*n 16 16 3']:
    """What is kept of a thumbnail, or of several, to compare two pictures by."""
    factor = THUMBNAIL // KEPT
    squares = thumbnail.reshape(*thumbnail.shape[:-3], KEPT, factor, KEPT, factor, 3)
    return np.round(squares.mean(axis=(-4, -2))).astype(np.uint8)


def has_detail(kept: UInt8[np.ndarray, 'n 16 16 3']) -> Bool[np.ndarray, ' n']:
    """Which pictures are more than a plain colour: the hash of one without detail means nothing."""
    result: np.ndarray = _size(_detail(kept)) >= _PLAIN
    return result


def alike(
    first: UInt8[np.ndarray, 'n 16 16 3'], second: UInt8[np.ndarray, 'n 16 16 3'], symmetry: int
) -> Bool[np.ndarray, ' n']:
    """Whether pictures are the same in colour and in detail, pair by pair.

    Correlated is what is left of the thumbnails once each pixel's surroundings are subtracted; the thumbnails
    themselves would say of any two garments of one cut on the same ground that they are the same. The fewer frequencies
    a picture consists of, the more easily another one agrees with it, and the nearer to 1 the correlation has to be.

    Args:
        first: thumbnails of `kept_thumbnail`.
        second: likewise.
        symmetry: under which the second of each pair is to be seen, see `turned`.
    """
    one, other = _detail(first), _detail(turned(second, symmetry))
    sizes = _size(one), _size(other)
    with np.errstate(divide='ignore', invalid='ignore'):
        correlation = (one * other).mean(axis=(1, 2, 3)) / (sizes[0] * sizes[1])
        contrast = np.abs(np.log(sizes[0] / sizes[1]))
        frequencies = np.minimum(_frequencies(one), _frequencies(other))
    allowed = _APART * np.clip(frequencies / _MANY, 0.2, 1)
    result: np.ndarray = (contrast <= np.log(_CONTRAST)) & (correlation >= 1 - allowed)
    return result


def _detail(kept: UInt8[np.ndarray, 'n 16 16 3']) -> Float32[np.ndarray, 'n 16 16 3']:
    """The thumbnails less the mean of the nine pixels around each, and less what is then left of each colour's mean."""
    pixels = kept.astype(np.float32)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), 'edge')
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    detail: np.ndarray = pixels - (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    return detail - detail.mean(axis=(1, 2), keepdims=True)


def _size(detail: np.ndarray) -> Float64[np.ndarray, ' n']:
    size: np.ndarray = np.sqrt((detail.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    return size


def _frequencies(detail: np.ndarray) -> Float64[np.ndarray, ' n']:
    """How many frequencies share the power: (sum of powers)² / sum of squared powers, 1 to 256."""
    from scipy.fft import dctn

    power = (dctn(detail, axes=(1, 2), norm='ortho').astype(np.float64) ** 2).sum(axis=3)
    shared: np.ndarray = power.sum(axis=(1, 2)) ** 2 / (power**2).sum(axis=(1, 2))
    return shared
