"""The leak guard: pictures that are the same, or nearly, stay on one side of a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer import config
from jtransfer.data.derive.combine import concatenate
from jtransfer.data.duplicates.find import Duplicates, Pair, find_duplicates, merge_groups
from jtransfer.data.source import Source
from jtransfer.errors import UserError
from jtransfer.files.reading import read_json_object
from jtransfer.files.record_types import NUMBER, TEXT, TEXTS

FORMAT = 'jtransfer-duplicates/1'
_MAX_BYTES = 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Guard:
    """What is known about duplicates in the parts of a source.

    Attributes:
        everything: the examples of all parts, one part after another, as one source.
        parts: the part of every example of `everything`, by name.
        found: the duplicates among them.
    """

    everything: Source
    parts: tuple[str, ...]
    found: Duplicates

    def groups(self, part: str, groups: Sequence[str] | None) -> tuple[str, ...] | None:
        """What a split of one part must keep together: its own groups, united where duplicates join them.

        None where there are neither groups nor duplicates.

        Args:
            part: its name.
            groups: its own, if it has any.
        """
        of = np.flatnonzero(np.asarray(self.parts) == part)
        components = np.asarray(self.found.groups)[of]
        if groups is None and len(np.unique(components)) == len(components):
            return None
        if groups is None:
            first = {int(component): index for index, component in reversed(list(enumerate(components)))}
            return tuple(self.everything.ids[of[first[int(component)]]] for component in components)
        return merge_groups(components, groups)

    def across(self) -> list[Pair]:
        """The pairs whose pictures are in two different parts, which no grouping mends."""
        return [pair for pair in self.found.pairs if self.parts[pair.first] != self.parts[pair.second]]

    def lines(self) -> list[str]:
        """What a person should know."""
        pairs = self.found.pairs
        if not pairs:
            return ['no duplicates were found']
        ids, exact = self.everything.ids, sum(pair.kind == 'exact' for pair in pairs)
        lines = [
            f'duplicates: {_number(pairs)} of pictures, {exact:,} of them exact, such as {ids[pairs[0].first]} and '
            f'{ids[pairs[0].second]}'
        ]
        if across := self.across():
            ends = across[0].first, across[0].second
            one, other = (f'{ids[end]} ({self.parts[end]})' for end in ends)
            verb = 'is' if len(across) == 1 else 'are'
            lines.append(f'{_number(across)} of duplicates {verb} in two parts of the data, such as {one} and {other}')
        return lines


def look(data: config.Data, sources: Mapping[str, Source], **options: Any) -> Guard:
    """Decodes every picture of every part once and compares them.

    Args:
        data: how pictures are read.
        sources: by part.
        **options: of `find_duplicates`, but for what `data` says.
    """
    everything, parts = joined(sources)
    found = find_duplicates(
        everything,
        distance=data.duplicate_distance,
        workers=data.workers,
        skip_unreadable=data.skip_unreadable,
        **options,
    )
    return Guard(everything, parts, found)


def joined(sources: Mapping[str, Source]) -> tuple[Source, tuple[str, ...]]:
    """The examples of all parts as one source, and the part of each."""
    parts = tuple(part for part, source in sources.items() for _ in range(len(source.ids)))
    several = list(sources.values())
    return (several[0] if len(several) == 1 else concatenate(several, names=list(sources))), parts


def guard_parts(
    data: config.Data, sources: Mapping[str, Source], groups: Sequence[str] | None
) -> tuple[Sequence[str] | None, Sequence[str]]:
    """What a hold-out from the training part must keep together by `data.duplicates`, and lines about it."""
    guard = look(data, sources)
    if data.duplicates == 'report':
        return groups, guard.lines()
    return guard.groups('train', groups), guard.lines()


def _number(pairs: Sequence[Pair]) -> str:
    return '1 pair' if len(pairs) == 1 else f'{len(pairs):,} pairs'


def to_record(guard: Guard) -> dict[str, Any]:
    """The pairs by the ids of their examples, as JSON values."""
    ids = guard.everything.ids
    pairs = [[ids[p.first], ids[p.second], p.kind, p.distance] for p in guard.found.pairs]
    return {'format': FORMAT, 'examples': len(ids), 'pairs': pairs, 'unreadable': list(guard.found.unreadable)}


def read_record(path: Path, sources: Mapping[str, Source]) -> Guard:
    """What `to_record` wrote of the same sources.

    Raises:
        UserError: the file is damaged, or of other examples.
    """
    everything, parts = joined(sources)
    position = {example: index for index, example in enumerate(everything.ids)}
    record = read_json_object(path, limit=_MAX_BYTES, remedy='delete it, or name a new run_dir')
    listed, unreadable = record.get('pairs'), record.get('unreadable')
    fine = record.get('format') == FORMAT and record.get('examples') == len(position) and TEXTS.holds(unreadable)
    if not fine or not isinstance(listed, list) or not all(_is_pair(each, position) for each in listed):
        raise UserError(
            f'{path} does not list the duplicates among these {len(position):,} images: they changed since it was '
            'written, or it is damaged; name a new run_dir'
        )
    pairs = tuple(Pair(position[first], position[second], kind, distance) for first, second, kind, distance in listed)
    return Guard(everything, parts, Duplicates.of(pairs, len(position), tuple(record['unreadable'])))


def _is_pair(value: Any, position: Mapping[str, int]) -> bool:
    if not isinstance(value, list) or len(value) != 4:
        return False
    first, second, kind, distance = value
    named = TEXT.holds(first) and TEXT.holds(second) and first in position and second in position
    return named and TEXT.holds(kind) and NUMBER.holds(distance)
