"""Test-time augmentation as a person asks for it: evaluate and predict with flips, crops and scales."""

import csv
import json

import numpy as np
import pytest

from jtransfer.experiments.run import finetune
from tests.launch.process import launch


@pytest.fixture(scope='module')
def here(tmp_path_factory, tiny_config, compile_once):
    """A folder with a finished run in it."""
    folder = tmp_path_factory.mktemp('here')
    finetune.run(tiny_config(**{'train.steps': 2, 'run_dir': str(folder / 'run')}))
    return folder


def rows(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def test_evaluate_and_predict_with_flips(here, photos):
    done = launch(here, 'evaluate', '--checkpoint=run', '--flips', '--output=flips')
    metrics = json.loads((here / 'flips' / 'metrics.json').read_text())
    plain = json.loads((here / 'run' / 'evaluation' / 'metrics.json').read_text())
    assert metrics['examples'] == plain['examples'] == 15
    assert metrics['loss'] != plain['loss']
    assert (metrics['test_time_augmentation'], plain['test_time_augmentation']) == ('flips', 'none')
    assert 'test-time augmentation: flips' in done.stdout
    assert f'accuracy {metrics["top1"]:.1%}' in done.stdout
    launch(here, 'predict', '--checkpoint=run', f'--images={photos}', '--flips', '--output=flips.csv')
    predicted = {row['file'].removeprefix(f'{photos}/'): row for row in rows(here / 'flips.csv')}
    assert len(predicted) == 36
    for row in rows(here / 'flips' / 'predictions.csv'):
        assert predicted[row['id']]['class'] == row['predicted']
        assert float(predicted[row['id']]['probability']) == pytest.approx(float(row['probability']), abs=2e-6)


def test_crops_and_scales_are_flags(here, photos):
    views = ['--crops=5', '--scales=1,1.5']
    launch(here, 'predict', '--checkpoint=run', f'--images={photos}', *views, '--output=views.csv')
    launch(here, 'predict', '--checkpoint=run', f'--images={photos}', '--output=plain.csv')
    probability = [[float(row['probability']) for row in rows(here / name)] for name in ('views.csv', 'plain.csv')]
    assert np.shape(probability) == (2, 36)
    assert probability[0] != probability[1]


@pytest.mark.parametrize(
    ('flag', 'message'),
    [
        ('--crops=10', 'crops=10 must be 1 (the centre) or 5 (four corners and the centre)'),
        ('--scales=1,big', 'scales=1,big must be numbers'),
    ],
)
def test_what_cannot_be_is_one_line(here, photos, flag, message):
    done = launch(here, 'predict', '--checkpoint=run', f'--images={photos}', flag, '--output=no.csv', status=2)
    assert message in done.stderr
    assert done.stderr.count('\n') == 1
    assert not (here / 'no.csv').exists()
