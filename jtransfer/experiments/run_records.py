"""What a run directory says of its run, read again: `result.json`, `split.json`, and the metrics before a resume."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from jtransfer.data.parts import NAMES
from jtransfer.reading import read_json_object
from jtransfer.record_types import LINE, NUMBER, NUMBERS, OBJECT, TEXTS, WHOLE, Kind, check_fields, listing, optional

# What a cross-validation reads of every fold, and a sweep of every run.
NEEDED_OF_FOLDS = ('train_examples', 'examples', 'chosen_step', 'score_name', 'score', 'loss', 'seconds')
NEEDED_OF_RUNS = ('part', 'score', 'loss', 'seconds')
_RESULT = {
    'part': LINE,
    'score_name': LINE,
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


def read_result_file(file: Path, needs: Collection[str] = ()) -> dict[str, Any]:
    """A `result.json`, its fields checked.

    Args:
        file: that is there.
        needs: fields that must be in it.

    Raises:
        UserError: it is damaged.
    """
    remedy = 'delete it: the same command with train.resume=auto writes it again'
    record = read_json_object(file, remedy=remedy)
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
