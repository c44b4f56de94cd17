"""Sweeps: every combination once, what is finished kept, what fails recorded."""

import pytest

from jtransfer.errors import UserError
from jtransfer.experiments import sweep
from jtransfer.experiments.run_dir import read_result

pytestmark = pytest.mark.usefixtures('compile_once')


@pytest.mark.parametrize(
    ('texts', 'expected'),
    [
        (['seed=0,1'], {'seed': ['0', '1']}),
        (['augment.crop_scale=(0.5,1),(1,1)', 'seed=3'], {'augment.crop_scale': ['(0.5,1)', '(1,1)'], 'seed': ['3']}),
        (["data.source='a,b',c"], {'data.source': ['a,b', 'c']}),
    ],
)
def test_over_is_parsed(texts, expected):
    assert sweep.parse_over(texts) == expected


@pytest.mark.parametrize(
    ('texts', 'message'),
    [
        ([], '--over is missing'),
        (['seed'], 'not of the form'),
        (['seed='], 'not of the form'),
        (['seed=0,0'], 'the value 0 twice'),
        (['seed=0,'], 'empty value'),
        (['seed=0', 'seed=1'], 'names seed twice'),
    ],
)
def test_over_is_refused(texts, message):
    with pytest.raises(UserError, match=message):
        sweep.parse_over(texts)


def test_combinations_are_checked_before_the_first_runs(tiny_config, nowhere):
    over = {'transfer.strategy': ['scratch', 'fine_tune'], 'seed': ['0', '1', '2']}
    variants = sweep.combinations(tiny_config(), over)
    assert [fields for fields, _ in variants] == [
        {'transfer.strategy': s, 'seed': n} for s in ('scratch', 'fine_tune') for n in (0, 1, 2)
    ]
    assert all(config.seed == fields['seed'] for fields, config in variants)
    with pytest.raises(UserError, match=r'optim\.learning_rate=0\.0 must be above 0'):
        sweep.run(tiny_config(), {'optim.learning_rate': ['0.1', '0']})
    with pytest.raises(UserError, match="Did you mean 'seed'"):
        sweep.run(tiny_config(), {'sed': ['0']})
    assert not list(nowhere.iterdir())


def test_finished_runs_are_kept_and_failures_recorded(tiny_config, nowhere):
    lines = []
    over = {'data.batch_size': ['8', '12'], 'seed': ['0']}  # twelve do not share out over eight devices
    folder, records = sweep.run(tiny_config(**{'train.steps': 1}), over, say=lines.append)
    good, bad = records
    assert good['error'] is None
    assert good['metrics']['test accuracy'] == read_result(good['run_dir'])['accuracy']
    assert 'data.batch_size=12 must be a multiple of 8' in bad['error']
    assert bad['metrics'] == {}
    assert len(lines) == 2
    model = folder / 'data.batch_size=8,seed=0' / 'model.safetensors'
    before = model.stat().st_mtime_ns
    _, again = sweep.run(tiny_config(**{'train.steps': 1}), over)
    assert again[0] == good
    assert model.stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r'another configuration \(train.steps is 1 there and 2 here\)'):
        sweep.run(tiny_config(**{'train.steps': 2}), over)
