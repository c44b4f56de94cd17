"""What comes after folds is a checkpoint for prediction and evaluation, whatever its data are called."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.predict import predict
from jtransfer.pretrained.model import load_model

pytestmark = pytest.mark.usefixtures('compile_once')


@pytest.fixture(scope='module')
def made(tiny_config, tmp_path_factory):
    """Cross-validations of a table with columns of its own, and what came afterwards, by its kind."""
    folder = tmp_path_factory.mktemp('table')
    random = np.random.default_rng(0)
    with open(folder / 'table.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(('picture', 'what'))
        for index in range(30):
            pixels = random.integers(0, 200, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f'{index}.png')
            writer.writerow((f'{index}.png', 'ab'[index % 2]))
    results = {}
    for kind in ('ensemble', 'soup', 'refit'):
        config = tiny_config(
            **{
                'data.source': f'csv:{folder / "table.csv"}',
                'data.image_column': 'picture',
                'data.label_columns': ('what',),
                'data.duplicates': 'ignore',
                'data.batch_size': 8,
                'data.examples_per_class': 4,
                'train.steps': 1,
                'crossval.folds': 2,
                'crossval.test_fraction': 0.2 if kind == 'ensemble' else 0.0,
                'crossval.soup_fraction': 0.2,
                'crossval.afterwards': kind,
                'run_dir': str(folder / kind),
            }
        )
        crossval.run(config)
        results[kind] = folder / kind / kind
    return folder, results


# The cross-validations stand beside the images.
@pytest.mark.filterwarnings(r'ignore:\d+ (hidden )?files? in .* left out:jtransfer.errors.DataWarning')
@pytest.mark.parametrize('kind', ['ensemble', 'soup', 'refit'])
def test_the_columns_mean_what_they_meant(made, tmp_path, kind):
    folder, results = made
    metrics, part = predict.evaluate_checkpoint(
        str(results[kind]), tmp_path / 'out', source=f'csv:{folder / "table.csv"}'
    )
    assert (metrics.examples, part) == (30, 'all')
    count, _ = predict.predict_folder(str(results[kind]), folder, tmp_path / 'p.csv')
    assert count == 30


def test_its_own_images_are_those_that_no_fold_has_seen(made, tmp_path):
    _, results = made
    metrics, part = predict.evaluate_checkpoint(str(results['ensemble']), tmp_path / 'out')
    assert (metrics.examples, part) == (6, 'test')
    stored = json.loads((results['ensemble'] / 'result.json').read_text())
    assert metrics.score == stored['score']


@pytest.mark.parametrize('kind', ['soup', 'refit'])
def test_images_it_was_trained_on_are_not_taken_for_others(made, tmp_path, kind):
    _, results = made
    with pytest.raises(UserError, match='has no images of its own that it was not trained on'):
        predict.evaluate_checkpoint(str(results[kind]), tmp_path / 'out')


def test_few_images_are_few_in_the_refit_too(made):
    _, results = made
    assert json.loads((results['refit'] / 'result.json').read_text())['train_examples'] == 8


def test_several_networks_are_not_taken_for_one(made):
    folder, results = made
    with pytest.raises(UserError, match='is a cross-validation, of several networks: name a fold in it'):
        load_model(folder / 'soup')
    with pytest.raises(UserError, match='is an ensemble of several networks'):
        load_model(results['ensemble'])
