"""A second kind of input runs through all that images do, without a line of the library: see `waves.py`."""

import jax
import numpy as np
import pytest

import jtransfer as jt
from jtransfer.train.logs.log import MetricLog
from tests import waves
from tests.waves import SETTINGS, Tones, Waves, save


@pytest.fixture(scope='module', autouse=True)
def _known():
    with pytest.MonkeyPatch.context() as patch:
        waves.add(patch)
        yield


@pytest.mark.usefixtures('compile_once')
@pytest.mark.parametrize('placement', ['device', 'stream'])
def test_it_trains_stops_resumes_and_predicts(nowhere, placement, monkeypatch):
    start, source, write = save(), Tones(), MetricLog.write
    settings = {**SETTINGS, 'data.placement': placement, 'resume': 'auto'}
    whole = jt.fine_tune('ear.safetensors', source, **settings, run_dir='whole')

    def interrupted(log, step, values):
        if step > 20:
            raise KeyboardInterrupt
        write(log, step, values)

    with monkeypatch.context() as patch:
        patch.setattr(MetricLog, 'write', interrupted)
        with pytest.raises(KeyboardInterrupt):
            jt.fine_tune('ear.safetensors', source, **settings, run_dir='run')
    result = jt.fine_tune('ear.safetensors', source, **settings, run_dir='run')
    jax.tree.map(np.testing.assert_array_equal, result.model.variables, whole.model.variables)
    before, after = (model.variables['params']['backbone'] for model in (start, result.model))
    np.testing.assert_array_equal(before['stage1']['kernel'], after['stage1']['kernel'])
    assert not np.array_equal(before['stage2']['kernel'], after['stage2']['kernel'])
    assert result.metrics.score > 0.8
    assert 'Accuracy' in (nowhere / 'run/report.html').read_text()
    model = jt.load_model('run')
    assert model.preprocessing == Waves()
    probabilities = jt.predict(model, source)
    assert (probabilities.argmax(1) == source.labels['']).mean() > 0.8
    np.testing.assert_allclose(jt.predict(model, [source.waves[4]])[0], probabilities[4], rtol=1e-4)
    assert jt.extract_features(model, source.waves)['pooled'].shape == (60, 8)
    assert jt.evaluate_model(model, source).score == (probabilities.argmax(1) == source.labels['']).mean()


@pytest.mark.usefixtures('compile_once')
@pytest.mark.parametrize('side_by_side', [False, True])
def test_it_is_cross_validated(nowhere, side_by_side):
    save()
    settings = {**SETTINGS, 'folds': 4, 'run_dir': 'folds', 'side_by_side': side_by_side, 'afterwards': 'ensemble'}
    assert jt.cross_validate('ear.safetensors', Tones(), **settings).score.value > 0.8
    assert 'ccuracy' in (nowhere / 'folds/report.html').read_text()
