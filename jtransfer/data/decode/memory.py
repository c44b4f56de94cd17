"""A whole part decoded once, to be kept in memory, on the device, or in a file that is mapped into memory."""

from __future__ import annotations

import collections
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Int64

from jtransfer.data.decode.decode_cache import DecodeCache, Row, digest_of, open_cache
from jtransfer.data.decode.describe import describe
from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.decode.mapped import Rows, map_rows
from jtransfer.data.decode.narrow import Narrow, narrow_in, narrow_note
from jtransfer.data.part import Part
from jtransfer.errors import DataWarning, UserError
from jtransfer.inputs.prepare import Prepare, nbytes
from jtransfer.out_of_memory import check_room, memory_told
from jtransfer.tasks.base import Task, labelled
from jtransfer.tasks.labels import Labels
from jtransfer.text.outside import count_of

# What needs less memory than pictures that are kept in it.
ELSEWHERE = (
    'data.placement=stream decodes while training, data.placement=host keeps them in a file, and '
    'data.device_budget_mib says what auto takes for too large'
)

Progress = Callable[[int, int], None]
T = TypeVar('T')


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """All examples of a part, as they are held.

    Attributes:
        inputs: by field, one row an example: an array, or rows of a mapped file.
        labels: by task, class numbers or whatever the task has.
        ids: names of the examples.
        skipped: ids of unreadable images that were left out.
        class_names: in label order.
        tasks: what the labels are of.
        weights: how much every example counts in the training loss, where the source says so.
        digests: of the encoded bytes of every picture, where a cache keeps them by it.
    """

    inputs: dict[str, Rows]
    labels: Labels
    ids: tuple[str, ...]
    skipped: tuple[str, ...]
    class_names: tuple[str, ...]
    tasks: tuple[Task, ...]
    weights: Float32[np.ndarray, ' n'] | None
    digests: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is held."""
        return sum(rows.nbytes for rows in self.inputs.values())


def decode_part(
    part: Part,
    prepare: Prepare,
    workers: int = 0,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Decoded:
    """Decodes every image of a part, or finds it in the cache.

    Args:
        part: what to decode.
        prepare: from an example to what is held of it (`Preprocessor.prepare`).
        workers: decoding threads. 0: decode in the calling thread.
        skip_unreadable: leave unreadable images out and list them, instead of stopping at the first.
        progress: called with (images done, images in all).
        cache: folder of decoded examples; what has not been decoded before is added. It is not used for a source
            without `content`, nor for a `prepare` that `jtransfer.data.decode.describe` cannot describe. None: decode
            into memory.

    Raises:
        UnreadableImageError: the first unreadable image, unless they are skipped.
        UserError: skipping left a class without images, the cache cannot be read or written, the disk is full.
    """
    opened = None
    if cache is not None and part.content is not None:
        opened = open_cache(cache, prepare, part.pixel_range)
    decode = _decode_into_memory if opened is None else functools.partial(_decode_into_cache, opened)
    kept, inputs, digests = decode(part, prepare, workers, skip_unreadable, progress)
    readable, skipped = _without(part, np.array(kept, np.int64))
    return Decoded(
        inputs, readable.labels, readable.ids, skipped, part.class_names, part.tasks, readable.weights, digests
    )


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
    narrow: dict[int, Narrow] = {}
    for i, found in _readable(lambda i: narrow_in(part[i]), part, workers, skip_unreadable, progress):
        kept.append(i)
        if found is not None:
            narrow[i] = found
    _tell(part, narrow, len(kept))
    return _without(part, np.array(kept, np.int64))


def can_be_cached(part: Part, prepare: Prepare) -> bool:
    """Whether a cache of decoded pictures is of use to a part."""
    return part.content is not None and describe(prepare) is not None


_MOST_REASONS = 3
_Result = tuple[list[int], dict[str, Rows], tuple[bytes, ...]]


def _decode_into_memory(
    part: Part, prepare: Prepare, workers: int, skip_unreadable: bool, progress: Progress | None
) -> _Result:
    check_room(nbytes(prepare.spec) * len(part), f'the {len(part):,} images, decoded', ELSEWHERE)
    inputs: dict[str, np.ndarray] | None = None
    kept: list[int] = []
    narrow: dict[int, Narrow] = {}
    for i, row in _readable(lambda i: _row(part, prepare, i), part, workers, skip_unreadable, progress):
        if inputs is None:
            with memory_told('for the decoded images', ELSEWHERE):
                inputs = {
                    name: np.empty((len(part), *np.shape(values)), np.asarray(values).dtype)
                    for name, values in row.held.items()
                }
        for name, values in row.held.items():
            inputs[name][len(kept)] = values
        kept.append(i)
        if row.narrow is not None:
            narrow[i] = row.narrow
    if inputs is None:
        raise _none_readable(part)
    _tell(part, narrow, len(kept))
    return kept, {name: values[: len(kept)] for name, values in inputs.items()}, ()


def _decode_into_cache(
    cache: DecodeCache,
    part: Part,
    prepare: Prepare,
    workers: int,
    skip_unreadable: bool,
    progress: Progress | None,
) -> _Result:
    content = part.content
    assert content is not None
    cache.check_space(len(part))

    def read(index: int) -> tuple[bytes, Row | None]:
        digest = digest_of(content(index))
        if digest in cache:
            if cache.is_whole(digest):
                return digest, None
            cache.forget(digest)
            changed.append(index)
        row = _row(part, prepare, index)
        if digest_of(content(index)) != digest:
            raise UserError(f'{part.ids[index]} was changed while it was read: try again when the data are complete')
        return digest, row

    kept, digests, added = [], [], False
    changed: list[int] = []
    try:
        for i, (digest, row) in _readable(read, part, workers, skip_unreadable, progress):
            if row is not None:
                cache.add(digest, row)
                added = True
            kept.append(i)
            digests.append(digest)
    finally:
        # What is decoded stays so, whatever stopped the rest.
        cache.commit()
    if not kept:
        raise _none_readable(part)
    if changed:
        warnings.warn(
            f'{len(changed):,} cached image{"s" * (len(changed) > 1)} in {cache.folder} had changed on the disk: '
            'decoded again',
            DataWarning,
            stacklevel=3,
        )
    if cache.damaged and added:
        warnings.warn(
            f'{count_of(cache.damaged, "record")} of the index in {cache.folder} had changed on the disk: their images '
            'are decoded again',
            DataWarning,
            stacklevel=3,
        )
    known = {i: cache.narrow(digest) for i, digest in zip(kept, digests, strict=True)}
    _tell(part, {i: narrow for i, narrow in known.items() if narrow is not None}, len(kept))
    rows = cache.rows(digests)
    # Single numbers are read into memory: they take little, and are looked up one by one.
    inputs: dict[str, Rows] = {
        name: map_rows(values, rows) if values.ndim > 1 else np.array(values[rows])
        for name, values in cache.held().items()
    }
    return kept, inputs, tuple(digests)


def _none_readable(part: Part) -> UserError:
    return UserError(f'none of {len(part)} images can be read, the first of them {part.ids[0]}')


def _row(part: Part, prepare: Prepare, index: int) -> Row:
    example = part[index]
    return Row(prepare(example), narrow_in(example))


def _tell(part: Part, narrow: dict[int, Narrow], total: int) -> None:
    """Warns of images, by their places in the part, that were not decoded as they were probably meant."""
    if narrow:
        ids = part.ids
        note = narrow_note({ids[i]: found for i, found in narrow.items()}, total)
        warnings.warn(note, DataWarning, stacklevel=3)


def _without(part: Part, kept: Int64[np.ndarray, ' n']) -> tuple[Part, tuple[str, ...]]:
    readable = Part(part.source, part.indices[kept])
    if len(kept) < len(part):
        # Only a class that was there can be lost: a test part need not have them all.
        for task in part.tasks:
            if task.has_classes:
                before, after = (_present(each.labels[task.name]) for each in (part, readable))
                if lost := sorted(before - after):
                    raise UserError(f"every image of class '{task.class_names[lost[0]]}' is unreadable")
    missing = np.setdiff1d(np.arange(len(part)), kept)
    ids = part.ids
    return readable, tuple(ids[i] for i in missing)


def _present(labels: np.ndarray) -> set[int]:
    """The classes that an example has."""
    known = labels[labelled(labels)]
    return set((np.unique(known) if known.ndim == 1 else np.flatnonzero(known.any(axis=0))).tolist())


def _readable(
    function: Callable[[int], T],
    part: Part,
    workers: int,
    skip_unreadable: bool,
    progress: Progress | None,
) -> Iterator[tuple[int, T]]:
    """The function's result for every example that can be read, with the index of the example, in order.

    Why the others cannot be read is said in a warning: a missing decoder is no damage.
    """
    unread: list[UnreadableImageError] = []
    for i, result in enumerate(_each(function, part, workers)):
        if not isinstance(result, UnreadableImageError):
            yield i, result
        elif not skip_unreadable:
            raise result
        else:
            unread.append(result)
        if progress:
            progress(i + 1, len(part))
    if unread:
        warnings.warn(_left_out(unread), DataWarning, stacklevel=4)


def _left_out(unread: Sequence[UnreadableImageError]) -> str:
    """A line about images that were left out: the first of every reason."""
    found: dict[str, list[str]] = {}
    for error in unread:
        said = error.skipped()
        found.setdefault(said.partition(' is ')[2] or said, []).append(said)
    shown = [
        f'{same[0]}{f" ({len(same):,} such)" if len(same) > 1 else ""}' for same in list(found.values())[:_MOST_REASONS]
    ]
    more = '; …' if len(found) > _MOST_REASONS else ''
    return f'{count_of(len(unread), "unreadable image")} left out: {"; ".join(shown)}{more}'


def _each(function: Callable[[int], T], part: Part, workers: int) -> Iterator[T | UnreadableImageError]:
    """Results in order; an unreadable image is a result like any other."""
    count = len(part)

    def guarded(index: int) -> T | UnreadableImageError:
        try:
            return function(index)
        except UnreadableImageError as error:
            return error
        except MemoryError:
            # Of a strip of millions of pixels, resizing alone takes gigabytes.
            name = part.ids[index]
            return UnreadableImageError(f'{name} takes more memory than there is for one image', skip=True)

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
