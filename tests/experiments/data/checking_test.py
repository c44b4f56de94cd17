"""What would stop a run at its end is told before it begins, whichever door one comes by, and nothing is written."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

import jtransfer as jt
from jtransfer.config import Search
from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.data.checking import reported
from jtransfer.experiments.inspect import lr_find, plan
from jtransfer.experiments.run import finetune, pretrain, train
from jtransfer.experiments.search import search
from jtransfer.experiments.sweep import sweep
from jtransfer.pretrained.model import load_model

pytestmark = pytest.mark.usefixtures('compile_once')


@pytest.fixture(scope='module')
def tagged(tmp_path_factory):
    """A table of two labels an image, none of which an image of the test part has."""
    folder = tmp_path_factory.mktemp('tagged')
    random = np.random.default_rng(0)
    rows = []
    for index in range(40):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f'{index}.png')
        part = 'train' if index < 28 else 'validation' if index < 36 else 'test'
        rows.append([f'{index}.png', part, *((index % 2, index % 3 > 0) if part != 'test' else (0, 0))])
    with open(folder / 'tags.csv', 'w', newline='') as file:
        csv.writer(file).writerows(
            [['path', 'split', 'red', 'striped'], *[[*row[:2], *map(int, row[2:])] for row in rows]]
        )
    return folder / 'tags.csv'


def test_every_door_refuses_a_test_part_without_positives_before_training(tiny_config, tagged, nowhere, monkeypatch):
    monkeypatch.setattr(train, 'fit', lambda *args, **kwargs: pytest.fail('a network was trained'))
    settings = {
        'data.source': f'csv:{tagged}',
        'data.task': 'multi_label',
        'data.label_columns': ('red', 'striped'),
        'data.duplicates': 'ignore',
    }
    config = tiny_config(**settings)
    parts = load_parts(config.data, 0)
    model = load_model(architecture='resnet_tiny', tasks=parts.tasks)
    searched = dataclasses.replace(config, search=Search(space=('optim.learning_rate=log(0.01, 1)',)))
    afterwards = tiny_config(**settings, **{'crossval.afterwards': 'ensemble', 'crossval.folds': 2})
    random = tiny_config(**settings, **{'transfer.strategy': 'scratch'})
    named = {'task': 'multi_label', 'label_columns': ('red', 'striped'), 'batch_size': 8, 'steps': 1}
    doors = {
        'finetune': lambda: finetune.run(config),
        'sweep': lambda: sweep.run(config, {'seed': ['0', '1']}),
        'search': lambda: search.run(searched),
        'crossval': lambda: crossval.run(afterwards),
        'pretrain': lambda: pretrain.run(random, nowhere / 'out.safetensors'),
        'plan': lambda: plan.plan_report(config),
        'lr_find': lambda: lr_find.find(config),
        'fit': lambda: jt.fit(model, parts, batch_size=8, steps=1),
        'fine_tune': lambda: jt.fine_tune(config.model.checkpoint, f'csv:{tagged}', **named),
        'cross_validate': lambda: jt.cross_validate(
            config.model.checkpoint, f'csv:{tagged}', folds=2, afterwards='refit', **named
        ),
    }
    for name, door in doors.items():
        with pytest.raises(UserError, match='none of the 4 examples of the test part has any of the labels'):
            pytest.fail(f'{name} went on: {door()}')
    assert not list(nowhere.iterdir())


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'evaluate.temperature': True}, 'evaluate.temperature changes the head, which is frozen'),
        ({'evaluate.scales': (1.0, 1.001)}, 'two of them make inputs of'),
        ({'data.test_fraction': 0.0, 'data.validation_fraction': 0.0}, 'there is nothing to evaluate on'),
    ],
)
def test_a_search_and_a_sweep_refuse_what_would_stop_the_last_run(tiny_config, nowhere, monkeypatch, settings, message):
    monkeypatch.setattr(train, 'fit', lambda *args, **kwargs: pytest.fail('a network was trained'))
    frozen = {'transfer.strategy': 'fine_tune', 'transfer.rules': (('head/.*', 'freeze'),)}
    config = tiny_config(**{'data.validation_fraction': 0.2, **frozen, **settings})
    searched = dataclasses.replace(config, search=Search(space=('optim.learning_rate=log(0.01, 1)',)))
    for door in (lambda: search.run(searched), lambda: sweep.run(config, {'seed': ['0', '1']})):
        with pytest.raises(UserError, match=message):
            door()
    assert not list(nowhere.iterdir())


def test_the_test_part_is_reported_or_else_the_validation_part(tiny_config):
    config = tiny_config(**{'data.validation_fraction': 0.2})
    parts = load_parts(config.data, 0)
    assert reported(parts) == ('test', parts.test)
    assert reported(dataclasses.replace(parts, test=None)) == ('validation', parts.validation)
    with pytest.raises(UserError, match='there is nothing to evaluate on'):
        reported(dataclasses.replace(parts, test=None, validation=None))
