"""The command that makes soups: what it prints, what it writes, and one line for every mistake."""

import io
import json

import pytest
from rich.console import Console

from jtransfer.tasks.metrics.figure import Figure
from launch.soup import scored, table
from tests.launch.process import launch


@pytest.fixture(scope='module')
def here(tmp_path_factory, tiny_config, compile_once):
    """A folder with two finished runs in it."""
    from jtransfer.experiments.run import finetune

    folder = tmp_path_factory.mktemp('here')
    for seed in range(2):
        settings = {'data.validation_fraction': 0.2, 'data.split_seed': 0, 'train.steps': 2}
        finetune.run(tiny_config(**settings, seed=seed, run_dir=str(folder / 'runs' / f'seed{seed}')))
    return folder


def test_a_soup_of_two_runs(here):
    done = launch(here, 'soup', '--run=runs/seed0', '--run=runs/seed1', '--recipe=uniform', '--output=soup', alone=True)
    record = json.loads((here / 'soup' / 'soup.json').read_text())
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.split()}
    for member in record['members']:
        percent = [f'{member[f"{part}_accuracy"]:.1%}' for part in ('validation', 'test')]
        assert rows[member['run']] == [member['run'], 'yes', *percent]
    percent = [f'{record[part]["score"]:.1%}' for part in ('validation', 'test')]
    assert rows['uniform'] == ['uniform', 'soup', *percent]
    low, high = record['test']['score_interval']
    assert f'test accuracy {percent[1]} (95% interval {low:.1%} to {high:.1%}) on 15 examples' in done.stdout
    assert done.stdout.endswith('soup: model.safetensors, soup.json\n')
    assert (here / 'soup' / 'model.safetensors').is_file()
    assert done.stderr == ''


def test_shares_of_one_run(here):
    done = launch(here, 'soup', '--run=runs/seed0', '--recipe=wise', '--alpha=0.25', '--alpha=1', '--output=wise')
    assert 'alpha 0.25 ' in done.stdout
    assert 'alpha 1 ' in done.stdout
    record = json.loads((here / 'wise' / 'soup.json').read_text())
    assert f'alpha {record["alpha"]:g}, chosen' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--output=new'], '--run is missing'),
        (['--run=runs/seed0', '--run=runs/seed1'], '--output is missing'),
        (['--run=runs/seed0', '--output=new', '--alpha=0.3'], '--alpha is for --recipe=wise, not greedy'),
        (['--run=runs/seed0', '--output=new'], 'name two or more, not 1'),
        (['runs/seed0', '--output=new'], "'runs/seed0' is not a flag"),
        (['--run=runs/seed0', '--recipe=wise', '--alpha=much', '--output=new'], 'flag --alpha=much'),
    ],
)
def test_a_mistake_is_one_line(here, arguments, message):
    done = launch(here, 'soup', *arguments, status=2)
    assert message in done.stderr
    assert done.stderr.count('\n') == 1
    assert not (here / 'new').exists()


def test_the_table_of_runs_that_had_neither_part():
    record = {
        'recipe': 'greedy',
        'score_name': 'accuracy',
        'score_unit': 'share',
        'members': [{'run': '[a]', 'used': False, 'validation_score': None, 'test_score': 0.5}],
        'validation': {'score': 0.25},
        'test': None,
    }
    assert shown(table(record))[-2:] == [['[a]', 'no', '–', '50.0%'], ['greedy', 'soup', '25.0%', '–']]


def test_the_table_of_runs_that_predict_numbers():
    part = {**Figure('R²', -0.25, interval=(-0.5, 0.125), confidence=0.9).record(), 'examples': 1200}
    record = {
        'recipe': 'wise',
        'score_name': 'R²',
        'score_unit': 'index',
        'members': [{'run': 'a', 'used': True, 'validation_score': 0.5, 'test_score': None}],
        'alphas': [{'alpha': 0.3, 'validation_score': 0.75, 'validation_loss': 1.0}],
        'alpha': 0.3,
        'validation': None,
        'test': part,
    }
    lines = shown(table(record))
    assert lines[0] == ['in', 'it', 'validation', 'R²', 'test', 'R²']
    assert lines[-3:] == [
        ['a', 'yes', '0.500', '–'],
        ['alpha', '0.3', '0.750', '–'],
        ['alpha', '0.3,', 'chosen', '–', '-0.250'],
    ]
    assert scored('test', part) == 'test R² -0.250 (90% interval -0.500 to 0.125) on 1,200 examples'
    whole = {**part, 'score_name': 'mean score', 'score_interval': None}
    assert scored('test', whole) == 'test mean score -0.250 on 1,200 examples'


def shown(grid):
    console = Console(file=io.StringIO(), width=80)
    console.print(grid)
    return [line.split() for line in console.file.getvalue().splitlines() if line.split()]
