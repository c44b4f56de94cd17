"""Which example is in which part, and a digest of the labels, as a run directory says it: to compare with data now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jtransfer.data.parts import NAMES, Parts, split_record
from jtransfer.data.split.fold_file import labels_digest
from jtransfer.experiments.run.records import read_split_file

LABELS = 'labels_sha256'
_CHANGED = {
    'images': 'other images than there are now',
    'parts': 'its images in other parts than now, for their labels, groups or splits have changed',
    'labels': 'other labels than there are now',
}


def split_of(parts: Parts) -> dict[str, Any]:
    """What `split.json` holds: the ids by part, in order, with a hash of them and one of their labels."""
    record = split_record(parts)
    for name in NAMES:
        if name in record:
            part = getattr(parts, name)
            record[name][LABELS] = labels_digest(part.labels, part.ids)
    return record


def what_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two splits differ in: `images` (which there are), `parts` (where they are), `labels`, or nothing: ''.

    Args:
        before: of `split.json`; those of earlier versions say nothing of labels, which are then not compared.
        now: of `split_of`.
    """
    if _without_labels(before) != _without_labels(now):
        return 'parts' if _all_ids(before) == _all_ids(now) else 'images'
    digests = [(before[name].get(LABELS), now[name].get(LABELS)) for name in NAMES if name in before]
    return 'labels' if any(old and new and old != new for old, new in digests) else ''


def other_data(file: Path, now: Mapping[str, Any]) -> str:
    """How the data of a run differ from what there is now, in words; '' when they are the same, or were not saved yet.

    Args:
        file: the `split.json` of the run.
        now: of `split_of`.

    Raises:
        UserError: the file is damaged.
    """
    changed = what_changed(read_split_file(file), now) if file.exists() else ''
    return f'{_CHANGED[changed]} (see {file})' if changed else ''


def same_examples(before: Mapping[str, Any], now: Mapping[str, Any], part: str) -> bool:
    """Whether a part has the same examples in two splits, in the same order; or is in neither."""
    return _without_labels({part: before.get(part)}) == _without_labels({part: now.get(part)})


def _all_ids(split: Mapping[str, Any]) -> list[str]:
    return sorted(example for name in NAMES if name in split for example in split[name]['ids'])


def _without_labels(split: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: each for key, each in value.items() if key != LABELS} if isinstance(value, Mapping) else value
        for name, value in split.items()
    }
