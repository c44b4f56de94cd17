"""A whole part decoded once, to be kept in memory or on the device."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from jtransfer.data.images import UnreadableImageError
from jtransfer.data.part import Part
from jtransfer.data.targets import Labels
from jtransfer.errors import UserError
from jtransfer.preprocessing import Pixels

Progress = Callable[[int, int], None]
T = TypeVar('T')


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """All images of a part at the size they are kept in.

    Attributes:
        images: RGB pixels.
        labels: class numbers, or whatever the tasks have.
        ids: names of the examples.
        aspects: width / height of the original pictures.
        skipped: ids of unreadable images that were left out.
        class_names: in label order.
    """

    images: UInt8[np.ndarray, 'n s s 3']
    labels: Labels
    ids: tuple[str, ...]
    aspects: Float32[np.ndarray, ' n']
    skipped: tuple[str, ...]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)


def decode_part(
    part: Part,
    pixels: Pixels,
    workers: int = 0,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
) -> Decoded:
    """Decodes every image of a part.

    Args:
        part: what to decode.
        pixels: from a picture to the square that is kept (`training_pixels`, `evaluation_pixels`).
        workers: decoding threads. 0: decode in the calling thread.
        skip_unreadable: leave unreadable images out and list them, instead of stopping at the first.
        progress: called with (images done, images in all).

    Raises:
        UnreadableImageError: the first unreadable image, unless they are skipped.
        UserError: skipping left a class without images.
    """
    images: np.ndarray | None = None
    aspects = np.empty(len(part), np.float32)
    kept: list[int] = []
    for i, result in enumerate(_each(lambda i: _square(part, pixels, i), len(part), workers)):
        if isinstance(result, UnreadableImageError):
            if not skip_unreadable:
                raise result
        else:
            square, aspect = result
            if images is None:
                images = np.empty((len(part), *square.shape), np.uint8)
            images[len(kept)], aspects[len(kept)] = square, aspect
            kept.append(i)
        if progress:
            progress(i + 1, len(part))
    if images is None:
        raise UserError(f'none of {len(part)} images can be read, the first of them {part.ids[0]}')
    readable, skipped = _without(part, np.array(kept, np.int64))
    n = len(kept)
    return Decoded(images[:n], readable.labels, readable.ids, aspects[:n], skipped, part.class_names)


def readable_part(
    part: Part, workers: int = 0, skip_unreadable: bool = False, progress: Progress | None = None
) -> tuple[Part, tuple[str, ...]]:
    """Decodes every image once and keeps none: for streaming, so that nothing unreadable turns up while training.

    Args:
        part: what to look through.
        workers: decoding threads. 0: decode in the calling thread.
        skip_unreadable: leave unreadable images out, instead of stopping at the first.
        progress: called with (images done, images in all).

    Returns:
        The part without its unreadable images, and their ids.

    Raises:
        UnreadableImageError: the first unreadable image, unless they are skipped.
        UserError: skipping left a class without images.
    """
    kept: list[int] = []
    for i, result in enumerate(_each(lambda i: part[i]['label'], len(part), workers)):
        if not isinstance(result, UnreadableImageError):
            kept.append(i)
        elif not skip_unreadable:
            raise result
        if progress:
            progress(i + 1, len(part))
    return _without(part, np.array(kept, np.int64))


def _square(part: Part, pixels: Pixels, index: int) -> tuple[np.ndarray, float]:
    image = part[index]['image']
    return pixels(image), image.shape[1] / image.shape[0]


def _without(part: Part, kept: Int64[np.ndarray, ' n']) -> tuple[Part, tuple[str, ...]]:
    readable = Part(part.source, part.indices[kept])
    if len(kept) < len(part):
        # Only a class that was there can be lost: a test part need not have them all.
        lost = np.setdiff1d(np.asarray(part.labels), np.asarray(readable.labels))
        if len(lost):
            raise UserError(f"every image of class '{part.class_names[lost[0]]}' is unreadable")
    missing = np.setdiff1d(np.arange(len(part)), kept)
    ids = part.ids
    return readable, tuple(ids[i] for i in missing)


def _each(function: Callable[[int], T], count: int, workers: int) -> Iterator[T | UnreadableImageError]:
    """Results in order; an unreadable image is a result like any other."""

    def guarded(index: int) -> T | UnreadableImageError:
        try:
            return function(index)
        except UnreadableImageError as error:
            return error

    if not workers:
        yield from map(guarded, range(count))
        return
    # A bounded queue: results wait for their turn, and all pictures of a large part would not fit into memory.
    with ThreadPoolExecutor(workers) as pool:
        waiting: collections.deque[Future[T | UnreadableImageError]] = collections.deque()
        try:
            for index in range(count):
                waiting.append(pool.submit(guarded, index))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
