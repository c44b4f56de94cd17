"""Choosing settings for each side of a sweep, by the validation part: a comparison at rates that suit one side is none.

For every setting of the swept fields, all values of the tuned ones are run with every seed. What is best on validation,
in the mean over the seeds, is reported, and of it alone the test part: the others' test results are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.experiments.run.directory import is_finished, read_record
from jtransfer.experiments.run.records import RunRecord
from jtransfer.experiments.sweep.summary import SEED, Record, short_names
from jtransfer.tasks.better import rank
from jtransfer.tasks.metrics.figure import told

Tune = Mapping[str, Sequence[str]]


def check_fields(over: Tune, tune: Tune) -> None:
    """Raises `UserError` for a field that is swept and tuned, and for the seed, which is no setting to choose."""
    for field in tune:
        if field == SEED:
            raise UserError('tune=seed would choose a lucky draw; over=seed=0,1,2 runs several and shows their mean')
        if field in over:
            raise UserError(f'{field} is in over and in tune: either every value is shown, or one is chosen')


def check_parts(planned: Mapping[Path, Parts]) -> None:
    """Raises `UserError` where runs have no validation part to choose by, or no test part that had no say in it.

    Args:
        planned: the data of the runs, by their directories.
    """
    for path, parts in planned.items():
        if is_finished(path):
            result = read_record(path, ('part',))
            validated, tested = validation_of(result) is not None, result['part'] == 'test'
        else:
            validated, tested = parts.validation is not None, parts.test is not None
        if not validated:
            raise UserError('tune chooses on the validation part: set data.validation_fraction above 0')
        if not tested:
            raise UserError('tune reports what is chosen on the test part: set data.test_fraction above 0')


def validation_of(result: RunRecord) -> dict[str, float] | None:
    """Score and loss of a finished run on the validation part, by name; None where it had none.

    Args:
        result: its `result.json`.
    """
    best = result.validation
    if best is None or best.score.value is None:
        return None
    return {f'validation {best.score.name}': best.score.value, 'validation loss': best.loss}


def choose(
    records: Sequence[Record],
    over: Sequence[str],
    tune: Sequence[str],
    say: Callable[[str], None] = lambda line: None,
) -> list[Record]:
    """Marks the runs with the values that are best on validation, for each setting of the swept fields.

    The best values have the largest mean score over the seeds, of equal ones the smallest mean loss, then the later
    ones. Values that could not be run with every seed count as the worst.

    Args:
        records: of all runs, with `validation`.
        over: the swept fields.
        tune: the tuned fields.
        say: told about values that could not be run.

    Returns:
        The records with `chosen`; those that are not chosen without their results on the test part.
    """
    settings: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        side, values = (_named(record, names) for names in ([name for name in over if name != SEED], tune))
        settings.setdefault(side, {}).setdefault(values, []).append(record)
    chosen = []
    for side, tried in settings.items():
        for values, members in tried.items():
            if failed := [record['error'] for record in members if record['error'] is not None]:
                runs = f'{len(failed)} of {len(members)} runs'
                at = f'{side}: ' if side else ''
                say(f'{at}{values} counts as the worst, for {runs} failed: {failed[0]}')
        chosen.append(max(enumerate(tried.values()), key=lambda item: (*_worth(item[1]), item[0]))[1])
    kept = {id(record) for members in chosen for record in members}
    return [_marked(record, id(record) in kept) for record in records]


def in_words(metrics: Mapping[str, float], unit: str) -> str:
    """A run's score in a few words.

    Args:
        metrics: the score, then the loss, by name (`test accuracy`).
        unit: of the score.
    """
    name, score = next(iter(metrics.items()))
    return f'{name} {told(score, unit)}'


def _named(record: Record, names: Sequence[str]) -> str:
    short = short_names(names)
    return ', '.join(f'{short[name]}={record["fields"][name]}' for name in names)


def _worth(members: Sequence[Record]) -> tuple[float, float, float]:
    """Fewest failures first: what diverges with one seed may do so with the next."""
    found = [record['validation'] for record in members if record['error'] is None]
    failed = float(len(found) - len(members))
    if not found:
        return failed, *rank(None, None)
    score, loss = (float(np.mean([list(values.values())[index] for values in found])) for index in (0, 1))
    return failed, *rank(score, loss)


def _marked(record: Record, chosen: bool) -> Record:
    marked: Record = {**record, 'chosen': chosen}
    return marked if chosen else {**marked, 'metrics': {}}
