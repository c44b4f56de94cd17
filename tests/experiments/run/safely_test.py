"""Whatever fails after training: the network is there, the line says where, and going on trains nothing anew."""

import pathlib

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval, side_by_side
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import is_finished, read_result
from jtransfer.experiments.run.safely import noted
from jtransfer.pretrained.model import load_model
from jtransfer.train.lane import FitResult
from jtransfer.train.logs.log import MetricLog

pytestmark = pytest.mark.usefixtures('compile_once')


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_a_failing_evaluation_loses_no_network_and_going_on_trains_nothing(tiny_config, nowhere, monkeypatch):
    config = tiny_config(**{'data.validation_fraction': 0.2, 'run_dir': 'run'})
    with monkeypatch.context() as patch:
        patch.setattr(finetune, 'score', failing(UserError('nothing can be measured')))
        with pytest.raises(UserError) as caught:
            finetune.run(config)
    assert str(caught.value) == (
        'nothing can be measured; the trained network is saved in run/model.safetensors; the same command with '
        '--config.train.resume=auto evaluates it without training again'
    )
    path = pathlib.Path('run')
    assert not is_finished(path)
    saved = load_model(path / 'model.safetensors').variables['params']['head']['kernel']
    config.train.resume = 'auto'
    with monkeypatch.context() as patch:
        patch.setattr(MetricLog, 'write', failing(AssertionError('a step was made')))
        result = finetune.run(config)
    assert is_finished(path)
    np.testing.assert_array_equal(load_model(path).variables['params']['head']['kernel'], saved)
    assert result.metrics.examples == 15


def test_an_unexpected_failure_keeps_its_traceback_and_says_where_the_network_is(tiny_config, nowhere, monkeypatch):
    monkeypatch.setattr(finetune, 'write_evaluation', failing(MemoryError('too large')))
    with pytest.raises(MemoryError) as caught:
        finetune.run(tiny_config(**{'run_dir': 'run', 'train.resume': 'auto'}))
    assert caught.value.__notes__ == [
        'the trained network is saved in run/model.safetensors; the same command evaluates it without training again'
    ]
    assert load_model('run/model.safetensors').class_names == ('ant', 'bee', 'cat')


def test_a_failing_page_leaves_a_finished_run(tiny_config, nowhere, monkeypatch):
    monkeypatch.setattr(finetune, 'write_page', failing(UserError('a picture is gone')))
    with pytest.raises(UserError, match=r'a picture is gone; run is finished but for its page \(report\.html\)'):
        finetune.run(tiny_config(run_dir='run'))
    assert read_result('run')['examples'] == 15
    assert load_model('run').class_names == ('ant', 'bee', 'cat')


def test_one_fold_side_by_side_that_cannot_be_scored_loses_no_other(tiny_config, nowhere, monkeypatch):
    config = tiny_config(
        **{'crossval.folds': 2, 'crossval.side_by_side': True, 'train.steps': 1, 'data.duplicates': 'ignore'}
    )
    config.run_dir = 'folds'
    with monkeypatch.context() as patch:
        patch.setattr(finetune, 'score', failing(UserError('nothing can be measured')))
        with pytest.raises(UserError, match=r'the trained network is saved in folds/fold-0/model\.safetensors; the'):
            crossval.run(config)
    for fold in (0, 1):
        assert load_model(f'folds/fold-{fold}/model.safetensors').class_names == ('ant', 'bee', 'cat')
    fit = side_by_side.fit_lanes
    lengths = []

    def counted(*args, **kwargs) -> list[FitResult]:
        fits = fit(*args, **kwargs)
        lengths.extend(len(result.history) for result in fits)
        return fits

    monkeypatch.setattr(side_by_side, 'fit_lanes', counted)
    with monkeypatch.context() as patch:
        patch.setattr(MetricLog, 'write', failing(AssertionError('a step was made')))
        assert crossval.run(config) is not None
    assert lengths == [1, 1]


def test_what_goes_well_is_left_alone():
    with noted('a note'):
        pass
