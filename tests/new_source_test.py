"""A kind of source of one's own, in a package of its own: `data.source=lines:FILE` opens it at every door."""

import importlib
import json
import pickle
import sys

import numpy as np
import pytest

import jtransfer as jt
from jtransfer.config import Data
from jtransfer.data.parts import load_parts
from jtransfer.data.sources import add_source, kinds
from jtransfer.data.sources.opening import open_source
from jtransfer.errors import UserError
from jtransfer.experiments.predict.predict import evaluate_checkpoint
from jtransfer.experiments.run import finetune

MODULE = '''
"""Images of 2 x 2 pixels as lines of a file: part, class, patient, four numbers."""

from pathlib import Path

import numpy as np

from jtransfer.data.source import Source


class Lines(Source):
    def __init__(self, rows, class_names):
        self.class_names = class_names
        self.labels = np.array([class_names.index(row[1]) for row in rows])
        self.ids = [f'{row[0]}/{number}' for number, row in enumerate(rows)]
        self.groups = [row[2] for row in rows]
        self.notes = ('lines: their second word is the class',)
        self.rows = rows

    def __getitem__(self, index):
        grey = np.array(self.rows[index][3:], np.uint8).reshape(2, 2, 1)
        return {'image': np.repeat(grey, 3, axis=2), 'label': self.labels[index], 'id': self.ids[index]}

    def content(self, index):
        return ' '.join(self.rows[index]).encode()


def open_lines(path, data, known):
    rows = [line.split() for line in Path(data.data_dir, path).read_text().splitlines()]
    names = tuple(sorted({row[1] for row in rows}))
    parts = {part: [row for row in rows if row[0] == part] for part in ('train', 'test')}
    return {part: Lines(own, names) for part, own in parts.items() if own}
'''


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
    """The package, its source known while this file is tested; a folder with data of it."""
    folder = tmp_path_factory.mktemp('package')
    (folder / 'my_lines.py').write_text(MODULE)
    rng = np.random.default_rng(0)
    labels = [
        (('test', 'train')[index % 4 > 0], ('ant', 'bee')[index // 2 % 2], f'p{index // 8}') for index in range(64)
    ]
    rows = [(*words, *rng.integers(0, 256, 4)) for words in labels]
    (folder / 'images.lines').write_text('\n'.join(' '.join(map(str, row)) for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(kinds, '_KINDS', dict(kinds._KINDS))
        package = importlib.import_module('my_lines')
        add_source('lines', package.open_lines, takes='FILE', reads=['data_dir'], suffixes=['.lines'])
        yield folder
    del sys.modules['my_lines']


def test_it_is_divided_streamed_and_said_like_any_other(mine):
    data = Data(source='lines:images.lines', data_dir=str(mine), validation_fraction=0.25, batch_size=4)
    parts = load_parts(data, 0)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [36, 12, 16]
    assert not set(parts.train.groups) & set(parts.validation.groups)
    assert 'lines: their second word is the class' in parts.notes
    again = pickle.loads(pickle.dumps(parts.train))
    assert again.content(0) == parts.train.content(0)


def test_a_run_of_it_is_measured_at_home_and_on_another_file(mine, tiny_config, tmp_path):
    settings = {'data.source': 'lines:images.lines', 'data.data_dir': str(mine), 'data.test_fraction': 0.0}
    config = tiny_config(**settings, **{'data.placement': 'stream', 'train.steps': 1, 'run_dir': str(tmp_path / 'run')})
    result = finetune.run(config)
    assert json.loads((tmp_path / 'run' / 'split.json').read_text())['test']['count'] == 16
    at_home, _ = evaluate_checkpoint(str(tmp_path / 'run'), output=tmp_path / 'home')
    elsewhere = jt.evaluate_model(jt.load_model(tmp_path / 'run'), mine / 'images.lines')
    assert at_home.top1 == result.metrics.top1 == elsewhere.top1


def test_what_it_does_not_read_is_refused_and_what_is_meant_is_told(mine):
    with pytest.raises(
        UserError, match=r"data\.group_column='x' has no meaning for data\.source=lines:a: csv, parquet"
    ):
        open_source(Data(source='lines:a', group_column='x'))
    with pytest.raises(UserError, match=r"data\.data_dir='x' has no meaning for .*: csv, parquet, tfds, lines sources"):
        open_source(Data(source='digits', data_dir='x'))
    with pytest.raises(UserError, match=r"tfds:NAME, lines:FILE\. Did you mean 'lines:a'\?"):
        open_source(Data(source='line:a'))
    with pytest.raises(UserError, match=r"Did you mean 'lines:photos\.lines'\?"):
        open_source(Data(source='photos.lines'))
    with pytest.raises(UserError, match=r"data\.source='lines' names no data: write lines:FILE"):
        open_source(Data(source='lines'))


def open_nothing(argument, data, known):
    return {'train': object()}


def test_what_cannot_be_added_is_told(monkeypatch):
    monkeypatch.setattr(kinds, '_KINDS', dict(kinds._KINDS))
    for name, options, message in (
        ('folder', {}, "there is a source 'folder' already"),
        ('memory', {}, "there is a source 'memory' already"),
        ('my source', {}, "a source is called 'my source', but must be letters"),
        ('own', {'reads': ['workers']}, r"source 'own' reads data\.workers, which is for every source"),
        ('own', {'suffixes': ['.PQ']}, r"source 'own': files that end in \.pq are parquet sources already"),
    ):
        with pytest.raises(UserError, match=message):
            add_source(name, open_nothing, **options)
    for _ in range(2):  # the second time changes nothing
        add_source('own', open_nothing)
    with pytest.raises(UserError, match='train is a object, and no source of images'):
        open_source(Data(source='own:a'))
