"""The temperature against a search by hand, and what it does to a network, a run and a fold."""

import dataclasses

import numpy as np
import pytest
from scipy.special import log_softmax

from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_result
from jtransfer.experiments.run.outputs import OUTPUTS, read_outputs
from jtransfer.experiments.run.score import logits_of
from jtransfer.experiments.run.temperature import calibrate, fit_temperature
from jtransfer.pretrained.model import load_model

pytestmark = pytest.mark.usefixtures('compile_once')

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, 200)
LOGITS = RANDOM.normal(0, 3, (200, 3)) + 2 * np.eye(3)[LABELS]
RUN = {'data.validation_fraction': 0.3, 'data.test_fraction': 0.3, 'evaluate.temperature': True}


def loss(logits):
    return -log_softmax(logits, axis=1)[np.arange(len(LABELS)), LABELS].mean()


def test_it_is_the_best_of_a_fine_grid():
    found = fit_temperature(LOGITS, LABELS)
    grid = np.geomspace(0.1, 10, 2001)
    assert found == pytest.approx(grid[np.argmin([loss(LOGITS / value) for value in grid])], rel=5e-3)
    assert loss(LOGITS / found) < loss(LOGITS)


@pytest.mark.parametrize('factor', [0.2, 7.0])
def test_it_undoes_a_factor(factor):
    assert fit_temperature(LOGITS * factor, LABELS) == pytest.approx(factor * fit_temperature(LOGITS, LABELS), rel=1e-3)


def test_a_run_is_calibrated_on_its_validation_part(tiny_config, tmp_path):
    config = tiny_config(**RUN, run_dir=str(tmp_path / 'run'))
    result = finetune.run(config)
    (temperature,) = read_result(tmp_path / 'run')['temperatures'].values()
    plain = finetune.run(tiny_config(**{**RUN, 'evaluate.temperature': False}, run_dir=str(tmp_path / 'plain')))
    parts = load_parts(config.data, config.seed)
    model, found = calibrate(plain.model, parts.validation, config)
    assert found[''] == pytest.approx(temperature, rel=1e-5)
    assert result.metrics.top1 == plain.metrics.top1
    before, after = (read_outputs(tmp_path / name / 'evaluation' / OUTPUTS) for name in ('plain', 'run'))
    np.testing.assert_allclose(after.outputs[''], before.outputs[''] / temperature, rtol=1e-4, atol=1e-5)
    examples = read_examples(parts.test, model.preprocessing, config)
    stored, _ = logits_of(load_model(tmp_path / 'run'), examples, config)
    np.testing.assert_allclose(stored[''], after.outputs[''], rtol=1e-5, atol=1e-6)


def test_every_fold_has_its_own(tiny_config, tmp_path):
    changes = {**RUN, 'crossval.folds': 2, 'data.duplicates': 'ignore', 'run_dir': str(tmp_path / 'cv')}
    crossval.run(tiny_config(**changes))
    found = [read_result(tmp_path / 'cv' / f'fold-{number}')['temperatures'][''] for number in range(2)]
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'data.validation_fraction': 0.0}, 'fitted on a validation part and judged on a test part'),
        ({'transfer.rules': (('head/.*', 'freeze'),), 'transfer.strategy': 'fine_tune'}, 'the head, which is frozen'),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tiny_config, nowhere, changes, message):
    config = tiny_config(**{**RUN, **changes})
    if 'transfer.rules' in changes:
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, head_init='normal'))
    with pytest.raises(UserError, match=message):
        finetune.run(config)
    assert not any(nowhere.iterdir())
