"""What a run directory says of its run, read again: `result.json`, `split.json`, and the metrics before a resume."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jtransfer.data.parts import NAMES
from jtransfer.errors import UserError
from jtransfer.files.reading import read_json_object
from jtransfer.files.record_types import (
    LINE,
    NUMBER,
    NUMBERS,
    OBJECT,
    SCHEMA,
    TEXTS,
    WHOLE,
    Kind,
    check_fields,
    listing,
    optional,
)
from jtransfer.tasks.metrics.figure import INDEX, SHARE, Figure
from jtransfer.text.outside import printable_path

# The first runs were of one label an image, and had no name for their score.
_FIRST = 'accuracy'
# Before schema 2, the unit went with the name.
_SHARES = ('accuracy', 'mean average precision')
# What a cross-validation reads of every fold, and a sweep of every run.
NEEDED_OF_FOLDS = ('train_examples', 'examples', 'chosen_step', 'score_name', 'score', 'loss', 'seconds')
NEEDED_OF_RUNS = ('part', 'score', 'loss', 'seconds')
_ENDS = Kind('two numbers', lambda value: NUMBERS.holds(value) and len(value) == 2)
_VALIDATION = Kind(
    'an object with score and loss',
    lambda of: OBJECT.holds(of) and NUMBER.holds(of.get('score')) and optional(NUMBER).holds(of.get('loss')),
)
_RESULT = {
    'schema': WHOLE,
    'part': LINE,
    'score_name': LINE,
    'score_unit': LINE,
    'score_interval': optional(_ENDS),
    'confidence': NUMBER,
    'accuracy_interval': _ENDS,
    'interval': _ENDS,
    'validation': optional(_VALIDATION),
    'test_time_augmentation': LINE,
    'examples': WHOLE,
    'train_examples': WHOLE,
    'chosen_step': WHOLE,
    'steps': WHOLE,
    'trainable_parameters': WHOLE,
    'parameters': WHOLE,
    'skipped_images': WHOLE,
    'score': NUMBER,
    'accuracy': NUMBER,
    'loss': NUMBER,
    'seconds': NUMBER,
    'test_train_ratio': NUMBER,
    'best_validation_accuracy': optional(NUMBER),
    'best_validation_score': optional(NUMBER),
    'best_validation_loss': optional(NUMBER),
    'backbone_learning_rate_scales': optional(NUMBERS),
    'fold_scores': NUMBERS,
    'set_aside': listing(LINE, 'a list of lines'),
    'thresholds': Kind('lists of numbers', lambda of: OBJECT.holds(of) and all(map(NUMBERS.holds, of.values()))),
}
_SPLIT_PART = {'ids': TEXTS}


class Validation(NamedTuple):
    """The best that a run had on its validation part."""

    score: Figure
    loss: float


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A `result.json` of whichever schema; a field that was not asked for when it was read may be missing.

    Attributes:
        values: as they were written.
    """

    values: Mapping[str, Any]

    @property
    def tested(self) -> bool:
        """Whether there is a score. The first runs told the accuracy alone."""
        return 'score' in self.values or 'accuracy' in self.values

    @property
    def score(self) -> Figure:
        """The score of what was tested."""
        value = self.values.get('score', self.values.get('accuracy'))
        return self._figure(None if value is None else float(value), self._interval())

    @property
    def validation(self) -> Validation | None:
        """The best on the validation part; None where there was none."""
        if 'validation' in self.values:
            found = self.values['validation'] or {}
            score, loss = found.get('score'), found.get('loss')
        else:
            score = self.values.get('best_validation_accuracy', self.values.get('best_validation_score'))
            loss = self.values.get('best_validation_loss')
        if score is None:
            return None
        return Validation(self._figure(float(score), None), math.nan if loss is None else float(loss))

    def __getitem__(self, name: str) -> Any:
        """A field that is told in the same way in every schema."""
        return self.values[name]

    def _figure(self, value: float | None, interval: tuple[float, float] | None) -> Figure:
        name = self.values.get('score_name', _FIRST)
        unit = self.values.get('score_unit', SHARE if name in _SHARES else INDEX)
        return Figure(name, value, unit, interval, float(self.values.get('confidence', 0.95)))

    def _interval(self) -> tuple[float, float] | None:
        names = ('score_interval', 'accuracy_interval', 'interval')
        ends = next((self.values[name] for name in names if name in self.values), None)
        return None if ends is None else (float(ends[0]), float(ends[1]))


def read_result_file(file: Path, needs: Collection[str] = ()) -> dict[str, Any]:
    """A `result.json`, its fields checked.

    Args:
        file: that is there.
        needs: fields that must be in it.

    Raises:
        UserError: it is damaged, or of a newer schema.
    """
    remedy = 'delete it: the same command with train.resume=auto writes it again'
    record = read_json_object(file, remedy=remedy)
    schema = record.get('schema', 1)
    if WHOLE.holds(schema) and schema > SCHEMA:
        raise UserError(
            f'{printable_path(os.fspath(file))} was written by a newer version of jtransfer (schema {schema}; this one '
            f'reads up to {SCHEMA}): update jtransfer'
        )
    if 'score' in needs and 'accuracy' in record:
        record.setdefault('score', record['accuracy'])  # of runs before there were other tasks
    check_fields(record, _RESULT, file, needs=needs, remedy=remedy)
    return record


def read_split_file(file: Path) -> dict[str, Any]:
    """A `split.json`, its fields checked.

    Raises:
        UserError: it is missing or damaged.
    """
    remedy = 'a new run with the same config.py writes it again'
    record = read_json_object(file, remedy=remedy)
    for name in NAMES:
        if name in record:
            check_fields(record, {name: OBJECT}, file, remedy=remedy)
            check_fields(record[name], _SPLIT_PART, file, needs=_SPLIT_PART, remedy=remedy)
    return record
