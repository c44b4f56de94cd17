"""Tests of jtransfer/data/split/fold_file.py."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from jtransfer.data.split.fold_file import FORMAT, fold_record, is_digest_of, labels_digest, read_folds
from jtransfer.data.split.folds import Fold, make_folds
from jtransfer.errors import UserError
from jtransfer.experiments.run.directory import write_json

IDS = tuple(f'katze {number}/größe.jpg' for number in range(12))
LABELS = (np.arange(12) % 2).astype(np.int32)


def _folds(repeats=2):
    return make_folds(LABELS, splitter='stratified', folds=3, repeats=repeats, seed=0)


def _record(folds=None, ids=IDS):
    return fold_record(folds or _folds(), ids, splitter='stratified', seed=0, class_names=('a', 'b'))


def _named(folds, ids):
    return [(f.repeat, f.number, {ids[i] for i in f.train}, {ids[i] for i in f.test}) for f in folds]


def _signed(record):
    record = {key: value for key, value in record.items() if key != 'sha256'}
    text = json.dumps(record, sort_keys=True, separators=(',', ':'))
    return {**record, 'sha256': hashlib.sha256(text.encode()).hexdigest()}


def changed(text, name, value):
    """The record with another value of a field, or without it, and the hash of that."""
    record = {key: old for key, old in json.loads(text).items() if key != name}
    return _signed(record if value is None else {**record, name: value})


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'folds 1.json'


def test_what_is_written_is_read_whatever_the_order_of_the_examples(path):
    record = _record()
    write_json(path, record)
    assert json.loads(path.read_text()) == record
    same = read_folds(path, IDS)
    for before, after in zip(_folds(), same, strict=True):
        np.testing.assert_array_equal(after.train, before.train)
        np.testing.assert_array_equal(after.test, before.test)
    others = tuple(np.random.default_rng(0).permutation(IDS).tolist())
    again = read_folds(path, others)
    assert _named(again, others) == _named(same, IDS)
    assert all((np.diff(fold.train) > 0).all() and (np.diff(fold.test) > 0).all() for fold in again)
    assert _record(again, others) == record


def test_a_record_says_what_made_it():
    record = _record()
    assert _signed(record) == record
    assert {key: record[key] for key in ('format', 'splitter', 'seed', 'repeats', 'folds', 'examples')} == {
        'format': FORMAT,
        'splitter': 'stratified',
        'seed': 0,
        'repeats': 2,
        'folds': 3,
        'examples': 12,
    }
    assert record['class_names'] == ['a', 'b']
    assert all(set(each) == {'repeat', 'fold', 'test'} for each in record['divisions'])


def test_training_parts_are_written_where_they_are_not_the_rest(path):
    first, *others = _folds(1)
    folds = (dataclasses.replace(first, train=first.train[1:]), *others)
    record = _record(folds)
    assert [len(each.get('train', ())) for each in record['divisions']] == [7, 0, 0]
    write_json(path, record)
    assert _named(read_folds(path, IDS), IDS) == _named(folds, IDS)


def test_what_cannot_be_recorded():
    with pytest.raises(ValueError, match='two examples have the same id'):
        _record(ids=(*IDS[:11], IDS[0]))
    with pytest.raises(ValueError, match=r'example katze 11/größe.jpg is in no fold'):
        _record([Fold(0, 0, np.arange(5), np.arange(5, 11))])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda text: text.replace('katze 3', 'katze 33', 1),
            'was changed after it was written .its sha256 is another',
        ),
        (lambda text: text.replace('"seed": 0', '"seed": 1'), 'was changed after it was written'),
        (
            lambda text: text[: len(text) // 2],
            'is damaged: no JSON at line .*; take the original, or make the folds again',
        ),
        (lambda text: text.replace('folds/1', 'folds/9'), "its format is 'jtransfer-folds/9', not 'jtransfer-folds/1'"),
        (lambda text: '[1, 2]', 'is not a file of folds: its format is None'),
        (lambda text: json.dumps(_signed({'format': FORMAT})), 'but not its fields'),
        (lambda text: json.dumps(_signed({**json.loads(text), 'examples': 13})), 'but not its fields'),
        (lambda text: json.dumps(_signed({**json.loads(text), 'divisions': [[]]})), 'but not its fields'),
        *(
            (lambda text, name=name, value=value: json.dumps(changed(text, name, value)), 'but not its fields')
            for name, value in (
                ('seed', None),
                ('seed', '0'),
                ('splitter', None),
                ('class_names', 'ab'),
                ('repeats', 10**30),
                ('repeats', -2),
                ('folds', 2),
                ('divisions', {}),
            )
        ),
    ],
)
def test_a_damaged_file_is_one_line(path, change, message):
    write_json(path, _record())
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message) as error:
        read_folds(path, IDS)
    assert 'folds 1.json' in str(error.value)
    assert '\n' not in str(error.value)


def test_an_example_twice_in_a_fold_is_refused(path):
    record = _record(_folds(1))
    record['divisions'][0]['test'][1] = record['divisions'][0]['test'][0]
    write_json(path, _signed(record))
    with pytest.raises(UserError, match='but not its fields'):
        read_folds(path, IDS)


@pytest.mark.parametrize(
    ('ids', 'message'),
    [
        (IDS[2:], '2 of its 12 examples are not in the data, such as katze 0/größe.jpg$'),
        ((*IDS, 'new'), 'is of other examples: 1 of the 13 in the data are not in it, such as new$'),
        ((*IDS[1:], 'new'), '1 of its 12 .* such as katze 0/größe.jpg; 1 of the 12 in the data are not in it, such as'),
    ],
)
def test_other_examples_are_refused(path, ids, message):
    write_json(path, _record())
    with pytest.raises(UserError, match=message):
        read_folds(path, ids)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r'there is no file of folds .*folds\.json'):
        read_folds(tmp_path / 'folds.json', IDS)
    with pytest.raises(UserError, match=r'cannot be read: Is a directory|is no regular file'):
        read_folds(tmp_path, IDS)


def test_the_digest_of_labels_knows_them_in_any_order_and_no_others():
    ids, labels = ('b', 'a', 'c'), np.array([0, 1, 2], np.int32)
    order = [1, 2, 0]
    same = labels_digest({'': labels[order]}, [ids[i] for i in order])
    assert labels_digest({'': labels}, ids) == same
    assert labels_digest({'': np.array([0, 1, 1], np.int32)}, ids) != same
    heads = {'kind': labels, 'age': np.zeros((3, 1), np.float32)}
    assert labels_digest(heads, ids) == labels_digest(dict(reversed(heads.items())), ids)
    assert labels_digest({**heads, 'age': np.ones((3, 1), np.float32)}, ids) != labels_digest(heads, ids)


def test_a_digest_of_numbers_that_were_kept_as_float32_is_known():
    numbers, ids = np.array([[0.1], [0.2]]), ('a', 'b')
    for digest in (labels_digest({'': numbers}, ids), labels_digest({'': numbers.astype(np.float32)}, ids)):
        assert is_digest_of(digest, {'': numbers}, ids)
        assert not is_digest_of(digest, {'': numbers + 1}, ids)
