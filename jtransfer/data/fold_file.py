"""Folds as a small JSON file of example ids with a hash, so that a colleague reruns the very same ones."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.data.folds import Fold
from jtransfer.data.targets import Labels, map_labels
from jtransfer.errors import UserError
from jtransfer.writing import atomic_text

FORMAT = 'jtransfer-folds/1'


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
    known = (labels, map_labels(lambda values: values.astype(np.float32) if values.ndim > 1 else values, labels))
    return any(digest == labels_digest(each, ids) for each in known)


def labels_digest(labels: Labels, ids: Sequence[str]) -> str:
    """SHA-256 of the labels, whatever order the examples are listed in."""
    order = np.argsort(np.asarray(ids, object), kind='stable')
    named = labels if isinstance(labels, Mapping) else {'': labels}
    digest = hashlib.sha256()
    for name in sorted(named):
        digest.update(name.encode() + b'\0' + np.ascontiguousarray(np.asarray(named[name])[order]).tobytes())
    return digest.hexdigest()


def write_folds(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Writes the record of `fold_record`; the file appears whole or not at all, missing folders above it are made.

    Raises:
        WritingError: it cannot be written.
    """
    with atomic_text(path) as file:
        file.write(json.dumps(record, indent=1) + '\n')


def read_folds(path: str | os.PathLike[str], ids: Sequence[str]) -> tuple[Fold, ...]:
    """The folds of a file, as positions among the ids; their order may be another than when it was written.

    Args:
        path: of the file.
        ids: of every example, each once.

    Raises:
        UserError: no such file, not one of folds, changed since it was written, or of other examples.
    """
    record = _read(path)
    try:
        divisions = [
            (int(each['repeat']), int(each['fold']), each['test'], each.get('train')) for each in record['divisions']
        ]
        known = {name for *_, test, train in divisions for name in (*test, *(train or ()))}
        fine = len(known) == record['examples'] and all(
            len({*test, *(train or ())}) == len(test) + len(train or ()) for *_, test, train in divisions
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        fine = False
    if not fine:
        raise UserError(f'{path} has the format {FORMAT}, but not its fields: make the folds again')
    position = {name: index for index, name in enumerate(ids)}
    _check_same(path, known, position)

    folds = []
    for repeat, number, test, train in divisions:
        tested = _positions(test, position)
        trained = np.setdiff1d(np.arange(len(ids)), tested) if train is None else _positions(train, position)
        folds.append(Fold(repeat, number, trained, tested))
    return tuple(folds)


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        record = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise UserError(f'there is no file of folds {path}') from None
    except OSError as error:
        raise UserError(f'{path}: the folds cannot be read: {error.strerror}') from None
    except ValueError:
        raise UserError(f'{path} is no JSON: it is not a file of folds, or is damaged') from None
    form = record.get('format') if isinstance(record, dict) else None
    if form != FORMAT:
        raise UserError(f'{path} is not a file of folds: its format is {form!r}, not {FORMAT!r}')
    if record.pop('sha256', None) != _digest(record):
        raise UserError(f'{path} was changed after it was written (its sha256 is another): take the original')
    return record


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
