"""Pictures that are in a source twice: the same pixels, or copies resized, encoded again, turned or flipped."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, Int64, UInt8, UInt64

from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.duplicates import perceptual_hash as ph
from jtransfer.data.part import Part
from jtransfer.data.source import Source
from jtransfer.inputs.image import IMAGE
from jtransfer.inputs.prepare import NOT_READ

# Rows and columns that are compared at a time: their hashes fit into a processor's cache.
_ROWS, _COLUMNS = 64, 4096
_CANDIDATES = 4096
# Of what is no image; it is compared with none.
_NO_HASH = np.zeros(8, np.uint64), np.zeros((ph.KEPT, ph.KEPT, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two pictures that are the same.

    Attributes:
        first: index of an example.
        second: index of another, above `first`.
        kind: `exact` (the same pixels), `near` (by perceptual hash and thumbnail) or `embedding` (by a network).
        distance: 0 of exact ones; of hashes in bits; of embeddings 1 - cosine similarity.
    """

    first: int
    second: int
    kind: Literal['exact', 'near', 'embedding']
    distance: float


@dataclasses.dataclass(frozen=True, eq=False)
class Duplicates:
    """The duplicates among the examples of a source.

    Of many exact copies, each is paired with the first alone, and only the first with near ones: whatever is joined by
    pairs belongs together, so that examples of one component in two parts always have a pair that says so.

    Attributes:
        pairs: in order of their examples.
        groups: component of every example; examples of one component are duplicates, directly or through others.
        unreadable: ids of the examples that could not be looked at.
    """

    pairs: tuple[Pair, ...]
    groups: Int64[np.ndarray, ' n']
    unreadable: tuple[str, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pair], examples: int, unreadable: Sequence[str] = ()) -> Duplicates:
        """What follows from the pairs among a number of examples."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ordered = tuple(sorted(pairs, key=lambda pair: (pair.first, pair.second)))
        ends = np.array([(pair.first, pair.second) for pair in ordered], np.int64).reshape(-1, 2)
        graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(examples, examples))
        groups = connected_components(graph, directed=False)[1].astype(np.int64)
        return cls(ordered, groups, tuple(unreadable))

    def components(self) -> list[Int64[np.ndarray, ' size']]:
        """The examples of every component of two or more, in order of their first ones."""
        order = np.argsort(self.groups, kind='stable')
        _, starts, sizes = np.unique(self.groups[order], return_index=True, return_counts=True)
        found = [order[start : start + size] for start, size in zip(starts, sizes, strict=True) if size > 1]
        return sorted(found, key=lambda component: int(component[0]))


def find_duplicates(
    source: Source,
    *,
    distance: int = 8,
    workers: int = 0,
    skip_unreadable: bool = False,
    progress: Callable[[int, int], None] | None = None,
    further: Callable[[Source], Sequence[Pair]] | None = None,
) -> Duplicates:
    """Decodes every picture once and compares each with each; keeps under a kilobyte of each.

    Found are copies that were resized, encoded again at a quality of 50 and above, made a little lighter, darker or
    flatter, mirrored or turned by quarters. Not found are copies that were cropped by more than a few pixels in a
    hundred. Pictures under 32 pixels a side, and those of nothing but a plain colour, are duplicates only if their
    pixels are the same: a handwritten digit is like many others.

    Args:
        source: labelled images.
        distance: largest number of bits, of 64, in which the hashes of two near duplicates may differ.
        workers: threads that decode and compare. 0: the calling thread alone.
        skip_unreadable: pass over unreadable images and list them, instead of stopping at the first.
        progress: called with (images decoded, images in all).
        further: from the readable examples, as a source, to more pairs of them, such as `embedding_pairs`.

    Raises:
        UnreadableImageError: the first unreadable image, unless they are skipped.
    """
    examples, threads = len(source.ids), max(workers, 1)
    hashes = np.zeros((examples, ph.SYMMETRIES), np.uint64)
    kept = np.zeros((examples, ph.KEPT, ph.KEPT, 3), np.uint8)
    first_of: dict[bytes, int] = {}
    found: dict[tuple[int, int], Pair] = {}
    readable, comparable = [], []
    for index, result in enumerate(_each(lambda i: _describe(source, i), examples, threads)):
        if isinstance(result, UnreadableImageError):
            if not skip_unreadable:
                raise result
        else:
            digest, hashes[index], kept[index], large = result
            readable.append(index)
            first = first_of.setdefault(digest, index)
            if first != index:
                found[first, index] = Pair(first, index, 'exact', 0.0)
            elif large:
                comparable.append(index)
        if progress:
            progress(index + 1, examples)
    candidates = np.array(comparable, np.int64)
    detailed = [ph.has_detail(kept[some]) for some in _chunks(candidates, _CANDIDATES)]
    chosen = candidates[np.concatenate(detailed)] if detailed else candidates
    for one, other, bits in _near(hashes[chosen], kept[chosen], distance, threads):
        pair = Pair(int(chosen[one]), int(chosen[other]), 'near', float(bits))
        found[pair.first, pair.second] = pair
    if further is not None and readable:
        for pair in further(Part(source, np.array(readable, np.int64))):
            moved = dataclasses.replace(pair, first=readable[pair.first], second=readable[pair.second])
            found.setdefault((moved.first, moved.second), moved)
    seen = set(readable)
    return Duplicates.of(list(found.values()), examples, [source.ids[i] for i in range(examples) if i not in seen])


def merge_groups(components: Int[np.ndarray, ' n'], groups: Sequence[str] | None) -> tuple[str, ...]:
    """What a split must keep together: groups and duplicates, united wherever they meet.

    Args:
        components: of every example (`Duplicates.groups`).
        groups: the source's own, one an example; None: it has none.

    Returns:
        A name an example. Groups that duplicates join have the name of the one that comes first.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if groups is None:
        return tuple(f'picture {component}' for component in components)
    names, own = np.unique(np.asarray(groups), return_inverse=True)
    _, component = np.unique(components, return_inverse=True)
    size = len(names) + len(components)
    # A graph of groups and components, joined by the examples that are in both.
    graph = coo_array((np.ones(len(own), np.int8), (own, component + len(names))), shape=(size, size))
    together = connected_components(graph, directed=False)[1][own]
    _, first = np.unique(together, return_index=True)
    return tuple(str(groups[first[number]]) for number in np.unique(together, return_inverse=True)[1])


def across(pairs: Sequence[Pair], assignment: Sequence[Hashable]) -> list[Pair]:
    """The pairs whose examples are in two different parts or folds.

    Args:
        pairs: of duplicates.
        assignment: part or fold of every example; None: in none, which is not against any.
    """
    return [
        pair
        for pair in pairs
        if None not in (sides := (assignment[pair.first], assignment[pair.second])) and sides[0] != sides[1]
    ]


def _describe(source: Source, index: int) -> tuple[bytes, np.ndarray, np.ndarray, bool]:
    example = source[index]
    if IMAGE not in example:
        return _digest_of_fields(example), *_NO_HASH, False
    picture = np.ascontiguousarray(example[IMAGE])
    # Files of the same bytes have the same pixels, so that the pixels are enough.
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    digest.update(picture.data)
    small = ph.thumbnail(picture)
    large = min(picture.shape[:2]) >= ph.THUMBNAIL
    return digest.digest(), ph.hash_thumbnails(small[None])[0], ph.kept_thumbnail(small), large


def _digest_of_fields(example: Mapping[str, Any]) -> bytes:
    """Of whatever is no image: copies of it are told where they are the same to the last bit."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(set(example) - NOT_READ):
        values = np.ascontiguousarray(example[name])
        digest.update(repr((name, values.shape, values.dtype.str)).encode())
        digest.update(values.tobytes())
    return digest.digest()


def _each(
    function: Callable[[int], tuple[bytes, np.ndarray, np.ndarray, bool]], examples: int, threads: int
) -> Iterator[tuple[bytes, np.ndarray, np.ndarray, bool] | UnreadableImageError]:
    """Results in order; an unreadable image is a result like any other."""

    def guarded(index: int) -> tuple[bytes, np.ndarray, np.ndarray, bool] | UnreadableImageError:
        try:
            return function(index)
        except UnreadableImageError as error:
            return error

    if threads == 1:
        yield from map(guarded, range(examples))
        return
    with ThreadPoolExecutor(threads) as pool:
        # A limited number at a time: when one cannot be read, the others are not all waited for.
        for start in range(0, examples, 32 * threads):
            yield from pool.map(guarded, range(start, min(start + 32 * threads, examples)))


def _near(
    hashes: UInt64[np.ndarray, 'n 8'], kept: UInt8[np.ndarray, 'n 16 16 3'], distance: int, threads: int
) -> Iterator[tuple[int, int, int]]:
    """Positions of near duplicates and the bits between them."""

    def rows(start: int) -> dict[tuple[int, int], int]:
        return _near_rows(hashes, kept, distance, start)

    with ThreadPoolExecutor(threads) as pool:
        starts = range(0, len(hashes), _ROWS)
        for found in map(rows, starts) if threads == 1 else pool.map(rows, starts):
            for (one, other), bits in found.items():
                yield one, other, bits


def _near_rows(
    hashes: UInt64[np.ndarray, 'n 8'], kept: UInt8[np.ndarray, 'n 16 16 3'], distance: int, start: int
) -> dict[tuple[int, int], int]:
    """Near duplicates of `_ROWS` pictures among themselves and those after them."""
    own = hashes[start : start + _ROWS, :1]
    found: dict[tuple[int, int], int] = {}
    for column in range(start, len(hashes), _COLUMNS):
        for symmetry in range(ph.SYMMETRIES):
            bits = np.bitwise_count(own ^ hashes[column : column + _COLUMNS, symmetry])
            hits = np.argwhere(bits <= distance)
            ends = hits + np.array([start, column])
            for some in _chunks(np.flatnonzero(ends[:, 0] < ends[:, 1]), _CANDIDATES):
                one, other = ends[some].T
                like = ph.alike(kept[one], kept[other], symmetry)
                apart = bits[tuple(hits[some].T)]
                for first, second, value in zip(one[like], other[like], apart[like], strict=True):
                    pair = int(first), int(second)
                    found[pair] = min(found.get(pair, 64), int(value))
    return found


def _chunks(values: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
