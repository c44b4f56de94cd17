"""What is changed in a run while it is under way, as after a divergence: what may be, how it is said and recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from jtransfer.files.reading import read_json

CHANGES = 'changes.json'
# What train.resume=changed may change: the form of the optimiser's state is the same.
CHANGEABLE = (
    'optim.learning_rate',
    'optim.warmup',
    'optim.schedule',
    'optim.final_learning_rate_scale',
    'optim.step_milestones',
    'optim.step_factor',
    'optim.clip_norm',
)

# A field, its value so far, and the value from now on.
Change: TypeAlias = tuple[str, Any, Any]


def changeable(changes: Sequence[Change]) -> bool:
    """Whether a run may go on so, with all that was computed before."""
    return all(field in CHANGEABLE for field, _, _ in changes)


def how_to_change(path: Path, changes: Sequence[Change]) -> str:
    """How an unfinished run goes on with these values, for the end of a line; empty where it cannot."""
    if not changeable(changes) or last_step(path) is None:
        return ''
    return f', or continue it after step {last_step(path)} with --config.train.resume=changed'


def in_words(path: Path, changes: Sequence[Change]) -> str:
    """What is changed in a run that is resumed, for the end of a line; empty where nothing is."""
    what = [f'{field} {new!r} instead of {old!r}' for field, old, new in changes]
    return f' after step {last_step(path) or 0} with {", ".join(what)}' if what else ''


def read_changes(path: Path) -> list[dict[str, Any]]:
    """What was changed while a run was under way, in order: `after_step`, `field`, `from`, `to`.

    Raises:
        UserError: the record is damaged.
    """
    return read_json(path / CHANGES) if (path / CHANGES).exists() else []


def changed_in_words(path: Path) -> str:
    """What was changed while a run was under way, on one line; empty where nothing was."""
    return '; '.join(
        f'{each["field"]} from {each["from"]!r} to {each["to"]!r} after step {each["after_step"]}'
        for each in read_changes(path)
    )


def with_changes(path: Path, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The record of `read_changes` with what is changed now."""
    there, step = read_changes(path), last_step(path) or 0
    new = [{'after_step': step, 'field': field, 'from': old, 'to': value} for field, old, value in changes]
    # As JSON has them; and a kill may have come between the record and the configuration.
    return [*there, *(change for change in json.loads(json.dumps(new)) if change not in there)]


def last_step(path: Path) -> int | None:
    """The step of a run's last whole checkpoint, by the names of its folders; None where there is none."""
    folder = path / 'checkpoints' / 'last'
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=None)
