"""Folds as a small JSON file of example ids with a hash, so that a colleague reruns the very same ones."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.data.split.folds import Fold
from jtransfer.errors import UserError
from jtransfer.files.reading import read_json
from jtransfer.files.record_types import OBJECT, TEXT, TEXTS, WHOLE, Kind, listing
from jtransfer.tasks.labels import Labels

FORMAT = 'jtransfer-folds/1'
_MAX_BYTES = 2**30
_FIELDS = {
    'splitter': TEXT,
    'seed': WHOLE,
    'repeats': WHOLE,
    'folds': WHOLE,
    'examples': WHOLE,
    'class_names': TEXTS,
    'divisions': listing(OBJECT, 'a list of objects'),
    'labels': TEXT,
}
_DIVISION = {'repeat': WHOLE, 'fold': WHOLE, 'test': TEXTS, 'train': TEXTS}
_MAY_LACK = {'labels', 'train'}


def fold_record(
    folds: Sequence[Fold], ids: Sequence[str], *, splitter: str, seed: int, class_names: Sequence[str], labels: str = ''
) -> dict[str, Any]:
    """The folds as JSON values.

    A fold says which ids it tests, in alphabetical order; it trains on the rest, and says on which ids only where that
    is not so. `sha256` is of everything else, written as JSON in ASCII with sorted keys and without spaces.

    Args:
        folds: of `make_folds`, positions among `ids`.
        ids: of every example, each once.
        splitter: that made them.
        seed: that made them.
        class_names: in label order.
        labels: a digest of the labels, of `labels_digest`. Empty: nothing is said of them.

    Raises:
        ValueError: an example is in no fold, or two have one id.
    """
    if len(set(ids)) < len(ids):
        raise ValueError('two examples have the same id')
    used = np.zeros(len(ids), bool)
    divisions = []
    for fold in folds:
        division = {'repeat': fold.repeat, 'fold': fold.number, 'test': _named(fold.test, ids)}
        used[fold.test] = used[fold.train] = True
        if len(fold.train) + len(fold.test) < len(ids):
            division['train'] = _named(fold.train, ids)
        divisions.append(division)
    if not used.all():
        raise ValueError(f'example {ids[int(np.argmin(used))]} is in no fold')
    repeats = 1 + max(fold.repeat for fold in folds)
    record = {
        'format': FORMAT,
        'splitter': splitter,
        'seed': seed,
        'repeats': repeats,
        'folds': len(folds) // repeats,
        'examples': len(ids),
        'class_names': list(class_names),
        'divisions': divisions,
    }
    if labels:
        record['labels'] = labels
    return {**record, 'sha256': _digest(record)}


def is_digest_of(digest: str, labels: Labels, ids: Sequence[str]) -> bool:
    """Whether it is what `labels_digest` gives of these labels, or gave when numbers were kept as float32."""
    as_kept = {name: values.astype(np.float32) if values.ndim > 1 else values for name, values in labels.items()}
    known = (labels, as_kept)
    return any(digest == labels_digest(each, ids) for each in known)


def labels_digest(labels: Labels, ids: Sequence[str]) -> str:
    """SHA-256 of the labels, whatever order the examples are listed in."""
    order = np.argsort(np.asarray(ids, object), kind='stable')
    digest = hashlib.sha256()
    for name in sorted(labels):
        digest.update(name.encode() + b'\0' + np.ascontiguousarray(labels[name][order]).tobytes())
    return digest.hexdigest()


def read_folds(path: str | os.PathLike[str], ids: Sequence[str]) -> tuple[Fold, ...]:
    """The folds of a file, as positions among the ids; their order may be another than when it was written.

    Args:
        path: of the file.
        ids: of every example, each once.

    Raises:
        UserError: no such file, not one of folds, changed since it was written, or of other examples.
    """
    record = read_fold_record(path)
    divisions = [(each['repeat'], each['fold'], each['test'], each.get('train')) for each in record['divisions']]
    known = {name for *_, test, train in divisions for name in (*test, *(train or ()))}
    position = {name: index for index, name in enumerate(ids)}
    _check_same(path, known, position)

    folds = []
    for repeat, number, test, train in divisions:
        tested = _positions(test, position)
        trained = np.setdiff1d(np.arange(len(ids)), tested) if train is None else _positions(train, position)
        folds.append(Fold(repeat, number, trained, tested))
    return tuple(folds)


def read_fold_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The record of a file of folds, its hash and its fields checked.

    Raises:
        UserError: no such file, not one of folds, or changed since it was written.
    """
    if not pathlib.Path(path).exists():
        raise UserError(f'there is no file of folds {path}')
    record = read_json(path, limit=_MAX_BYTES, remedy='take the original, or make the folds again')
    form = record.get('format') if isinstance(record, dict) else None
    if form != FORMAT:
        raise UserError(f'{path} is not a file of folds: its format is {form!r}, not {FORMAT!r}')
    if record.get('sha256') != _digest({name: value for name, value in record.items() if name != 'sha256'}):
        raise UserError(f'{path} was changed after it was written (its sha256 is another): take the original')
    if not _is_whole(record):
        raise UserError(f'{path} has the format {FORMAT}, but not its fields: make the folds again')
    return record


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Whether a record has all fields, of their types, that agree with each other."""
    if not _has(record, _FIELDS) or not all(_has(each, _DIVISION) for each in record['divisions']):
        return False
    numbers = sorted((each['repeat'], each['fold']) for each in record['divisions'])
    if len(numbers) != record['repeats'] * record['folds'] or not numbers:
        return False
    if numbers != [(repeat, fold) for repeat in range(record['repeats']) for fold in range(record['folds'])]:
        return False
    named = [(*each['test'], *each.get('train', ())) for each in record['divisions']]
    return len(set().union(*named)) == record['examples'] and all(len(set(names)) == len(names) for names in named)


def _has(values: Any, kinds: Mapping[str, Kind]) -> bool:
    return isinstance(values, dict) and all(
        kind.holds(values[name]) if name in values else name in _MAY_LACK for name, kind in kinds.items()
    )


def _check_same(path: str | os.PathLike[str], known: set[str], position: Mapping[str, int]) -> None:
    missing, more = sorted(known - position.keys()), [name for name in position if name not in known]
    reasons = []
    if missing:
        reasons.append(f'{len(missing):,} of its {len(known):,} examples are not in the data, such as {missing[0]}')
    if more:
        reasons.append(f'{len(more):,} of the {len(position):,} in the data are not in it, such as {more[0]}')
    if reasons:
        raise UserError(f'{path} is of other examples: {"; ".join(reasons)}')


def _named(positions: np.ndarray, ids: Sequence[str]) -> list[str]:
    return sorted(ids[position] for position in positions)


def _positions(names: Sequence[str], position: Mapping[str, int]) -> np.ndarray:
    return np.sort(np.array([position[name] for name in names], np.int64))


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(',', ':'))
    return hashlib.sha256(text.encode('ascii')).hexdigest()
