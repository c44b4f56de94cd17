"""Copies of the pictures of one part in another, by the pixels that are kept of them for a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt64
from PIL import Image

from jtransfer.data.duplicates import perceptual_hash as ph

# Pictures whose hashes are made or compared at a time.
_CHUNK = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprints:
    """What pictures are compared by.

    Attributes:
        hashes: perceptual, under the symmetries of a square.
        kept: thumbnails.
        detailed: which pictures are more than a plain colour, whose hash means something.
    """

    hashes: UInt64[np.ndarray, 'n 8']
    kept: UInt8[np.ndarray, 'n 16 16 3']
    detailed: Bool[np.ndarray, ' n']


def fingerprints(
    images: Iterable[UInt8[np.ndarray, 'h w 3']], boxes: Float[np.ndarray, 'n 4'] | None = None
) -> Fingerprints:
    """The fingerprints of pictures, or of a part of each.

    Args:
        images: RGB, at least 32 pixels a side.
        boxes: the part of each that counts, (left, top, width, height) in shares of its sides. None: all of it.
    """
    hashes, kept = [np.zeros((0, ph.SYMMETRIES), np.uint64)], [np.zeros((0, ph.KEPT, ph.KEPT, 3), np.uint8)]
    for chunk in _chunks(_thumbnails(images, boxes)):
        hashes.append(ph.hash_thumbnails(chunk))
        kept.append(ph.kept_thumbnail(chunk))
    every = np.concatenate(kept)
    return Fingerprints(np.concatenate(hashes), every, ph.has_detail(every))


def find_copies(one: Fingerprints, other: Fingerprints, distance: int) -> list[tuple[int, int]]:
    """Each picture of the first that has a copy in the second, with the first of those.

    Args:
        one: of the pictures that copies are looked for of.
        other: of the pictures they are looked for among.
        distance: largest number of bits, of 64, in which the hashes of two copies may differ.
    """
    found: dict[int, int] = {}
    for start in range(0, len(one.hashes), _CHUNK):
        own = one.hashes[start : start + _CHUNK, :1]
        for symmetry in range(ph.SYMMETRIES):
            hits = np.argwhere(np.bitwise_count(own ^ other.hashes[:, symmetry]) <= distance)
            hits[:, 0] += start
            first, second = hits[one.detailed[hits[:, 0]] & other.detailed[hits[:, 1]]].T
            # Plain grounds make many hashes alike: not all thumbnails of such pairs at once.
            for begin in range(0, len(first), _CHUNK):
                some = slice(begin, begin + _CHUNK)
                same = ph.alike(one.kept[first[some]], other.kept[second[some]], symmetry)
                for a, b in zip(first[some][same].tolist(), second[some][same].tolist(), strict=True):
                    found[a] = min(b, found.get(a, b))
    return sorted(found.items())


def _thumbnails(images: Iterable[np.ndarray], boxes: np.ndarray | None) -> Iterator[np.ndarray]:
    size = (ph.THUMBNAIL, ph.THUMBNAIL)
    for index, pixels in enumerate(images):
        box = None
        if boxes is not None:
            height, width = pixels.shape[:2]
            left, top, across, down = boxes[index].tolist()
            box = (left * width, top * height, (left + across) * width, (top + down) * height)
        small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
        yield np.asarray(small)


def _chunks(thumbnails: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    chunk: list[np.ndarray] = []
    for one in thumbnails:
        chunk.append(one)
        if len(chunk) == _CHUNK:
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)
