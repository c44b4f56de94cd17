"""Sweeps: every combination once, what is finished kept, what fails recorded."""

import csv
import dataclasses
import pathlib
import shutil

import jax
import pytest

from jtransfer import stopping
from jtransfer.data.parts import load_parts
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.experiments.data.split import split_of
from jtransfer.experiments.run import finetune, start
from jtransfer.experiments.run.directory import NOT_IDENTITY, read_config, read_result
from jtransfer.experiments.sweep import sweep
from jtransfer.experiments.sweep.summary import summarise, write_tables
from jtransfer.train.logs.log import MetricLog

pytestmark = pytest.mark.usefixtures('compile_once')


@pytest.mark.parametrize(
    ('texts', 'expected'),
    [
        (['seed=0,1'], {'seed': ['0', '1']}),
        (['seed= 0 , 1 '], {'seed': ['0', '1']}),
        (['augment.crop_scale=(0.5,1),(1,1)', 'seed=3'], {'augment.crop_scale': ['(0.5,1)', '(1,1)'], 'seed': ['3']}),
        (['transfer.rules=(),(("head/.*","train"),)'], {'transfer.rules': ['()', '(("head/.*","train"),)']}),
        (["data.source='folder:a,b',digits"], {'data.source': ['folder:a,b', 'digits']}),
        (['data.source="folder:it\'s, mine"'], {'data.source': ["folder:it's, mine"]}),
        (['data.source=folder:a=b'], {'data.source': ['folder:a=b']}),
    ],
)
def test_over_is_parsed(texts, expected):
    assert sweep.parse_fields(texts, '--over') == expected


@pytest.mark.parametrize(
    ('texts', 'message'),
    [
        (['seed'], 'not of the form'),
        (['seed='], 'not of the form'),
        (['=1'], 'not of the form'),
        (['seed=0,0'], 'the value 0 twice'),
        (["seed='0',0"], 'the value 0 twice'),
        (['seed=0,'], 'empty value'),
        (['seed=0', 'seed=1'], 'names seed twice'),
        *(([f'{field}=x'], f'the sweep sets {field} itself') for field in NOT_IDENTITY),
    ],
)
def test_over_is_refused(texts, message):
    with pytest.raises(UserError, match=message):
        sweep.parse_fields(texts, '--over')


def test_combinations_are_all_of_them_in_order(tiny_config):
    over = {'transfer.strategy': ['scratch', 'fine_tune'], 'seed': ['0', '1', '2']}
    variants = sweep.combinations(tiny_config(), over)
    assert [fields for fields, _ in variants] == [
        {'transfer.strategy': s, 'seed': n} for s in ('scratch', 'fine_tune') for n in (0, 1, 2)
    ]
    assert all(config.seed == fields['seed'] for fields, config in variants)
    assert all(config.transfer.strategy == fields['transfer.strategy'] for fields, config in variants)


@pytest.mark.parametrize(
    ('over', 'message'),
    [
        ({'optim.learning_rate': ['0.1', '0']}, r'optim\.learning_rate=0\.0 must be above 0'),
        ({'optim.learning_rate': ['0.1', '1e-1']}, r'^over=optim\.learning_rate=… has the value 1e-1 twice'),
        ({'seed': ['1.5']}, r'seed=1\.5 is not of type int'),
        ({'sed': ['0']}, "Did you mean 'seed'"),
        ({'optim.lr': ['0']}, r"Did you mean 'optim\.learning_rate'"),
        ({'transfer.strategy': ['scratch', 'fine-tune']}, "Did you mean 'fine_tune'"),
        ({'optim.accumulate_steps': ['1', '3']}, 'does not divide'),
    ],
)
def test_all_combinations_are_checked_before_the_first_runs(tiny_config, nowhere, over, message):
    with pytest.raises(UserError, match=message):
        sweep.run(tiny_config(), over)
    assert not list(nowhere.iterdir())


@pytest.fixture
def quick_runs(monkeypatch):
    """Runs that take no time: a directory with a result that tells the configuration; some fail."""
    started = []

    def run(config, title, say):
        assert title == f'{config.name} {pathlib.Path(config.run_dir).name}'  # which of the runs it is
        say(f'data of {config.data.source}')
        started.append(config)
        if config.seed == 13:
            raise UserError('thirteen is unlucky')
        if config.seed == 14:
            raise TrainingDivergedError('and so is fourteen')
        if config.seed == 15:
            raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory\nallocating')
        directory = finetune.RunDirectory.find(config)
        directory.create(config)
        accuracy = config.optim.learning_rate + config.seed / 100
        directory.finish({'part': 'test', 'accuracy': accuracy, 'loss': 1 - accuracy, 'seconds': 1.5})

    monkeypatch.setattr(finetune, 'run', run)
    monkeypatch.setattr(sweep, 'check_all', lambda variants: {})
    return started


def test_settings_that_look_alike_get_their_own_directories(tiny_config, nowhere, quick_runs):
    long = ['(("head/.*","' + f'learning_rate=0.{"1" * length}' + '"),)' for length in (300, 301)]
    over = {'data.data_dir': ['a b', 'a/b', 'a_b'], 'transfer.rules': ['()', *long]}
    folder, records = sweep.run(tiny_config(), over)
    assert [record['error'] for record in records] == [None] * 9
    directories = {record['run_dir'] for record in records}
    assert len(directories) == 9
    assert all(pathlib.Path(path).parent == folder for path in directories)
    for record in records:
        config = read_config(record['run_dir'])
        assert (config.data.data_dir, config.transfer.rules) == tuple(record['fields'].values())


def test_what_would_stop_a_run_is_told_before_the_first_and_data_and_networks_are_opened_once(
    tiny_config, nowhere, monkeypatch
):
    opened = {'load_parts': 0, 'make_model': 0}

    def counted(module, name):
        function = getattr(module, name)

        def call(*args, **kwargs):
            opened[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    counted(sweep, 'load_parts')
    counted(start, 'make_model')
    over = {
        'optim.learning_rate': ['0.1', '0.2'],
        'seed': ['0', '1'],
        'transfer.rules': ['()', '(("hed/.*","freeze"),)'],
    }
    with pytest.raises(UserError, match=r"^optim\.learning_rate=0\.1,seed=0,transfer.*: .*'hed/\.\*'"):
        sweep.run(tiny_config(), over)
    assert not list(nowhere.iterdir())
    opened.update(load_parts=0, make_model=0)
    config = tiny_config()
    sweep.check_all([(nowhere / str(n), sweep.combinations(config, {'seed': [str(n % 2)]})[0][1]) for n in range(4)])
    assert opened == {'load_parts': 2, 'make_model': 1}


def test_failures_are_recorded_and_the_others_go_on(tiny_config, nowhere, quick_runs):
    lines = []
    over = {'seed': ['13', '1', '14', '15', '2'], 'optim.learning_rate': ['0.5']}
    _, records = sweep.run(tiny_config(), over, 'out', say=lines.append)
    errors = ['thirteen is unlucky', None, 'and so is fourteen', 'RESOURCE_EXHAUSTED: out of memory', None]
    assert [record['error'] for record in records] == errors
    assert [record['metrics'].get('test accuracy') for record in records] == [None, 0.51, None, None, 0.52]
    assert lines[0].startswith('data of folder:')
    assert 'data of' not in ''.join(lines[1:])
    assert lines[1] == '[1/5] seed=13, learning_rate=0.5: thirteen is unlucky'
    assert lines[2] == '[2/5] seed=1, learning_rate=0.5: test accuracy 51.0%'
    quick_runs.clear()
    sweep.run(tiny_config(), over, 'out')
    assert [config.seed for config in quick_runs] == [13, 14, 15]  # what failed is tried again, what finished is kept


def test_the_tables_hold_what_the_runs_wrote(tiny_config, nowhere, quick_runs):
    over = {'optim.learning_rate': ['0.5', '0.6'], 'seed': ['0', '1', '2']}
    folder, records = sweep.run(tiny_config(), over, 'out')
    write_tables(folder, records, summarise(records, list(over)))
    with open(folder / 'runs.csv', newline='') as file:
        runs = list(csv.DictReader(file))
    assert [float(run['test accuracy']) for run in runs] == [read_result(run['run_dir'])['accuracy'] for run in runs]
    assert len(runs) == 6
    with open(folder / 'summary.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [float(row['test accuracy mean']) for row in rows] == pytest.approx([0.51, 0.61])
    assert [float(row['test accuracy sd']) for row in rows] == pytest.approx([0.01, 0.01])


def test_the_runs_go_where_they_are_told_to(tiny_config, nowhere, quick_runs, monkeypatch):
    monkeypatch.setenv('HOME', str(nowhere / 'home'))
    config = tiny_config(run_dir='~/mine')
    assert sweep.run(config, {'seed': ['0']}, '~/out')[0] == nowhere / 'home' / 'out'
    folder, [record] = sweep.run(config, {'seed': ['0']})
    assert folder == nowhere / 'home' / 'mine'
    assert record['run_dir'] == str(folder / 'seed=0')
    with pytest.raises(UserError, match='seed=0 holds a run, no sweep; name another folder'):
        sweep.run(config, {'seed': ['0']}, folder / 'seed=0')
    assert [path.name for path in nowhere.iterdir()] == ['home']


def test_what_scratch_sets_aside_is_said_once_before_the_first_run(tiny_config, nowhere, quick_runs):
    config, said = tiny_config(**{'transfer.backbone_learning_rate_scale': 0.3}), []
    over = {'transfer.strategy': ['fine_tune', 'scratch'], 'seed': ['0', '1']}
    sweep.run(config, over, 'out', say=said.append)
    line = 'scratch: transfer.backbone_learning_rate_scale=0.3 is for pretrained weights and was set aside'
    assert (said[0], said.count(line), len(said)) == (line, 1, 6)  # and one about the data, four about the runs
    # The results of these runs do not say that anything was set aside: they are of an earlier version.
    with pytest.raises(UserError, match=r'scratch,seed=0 was run when settings for .* delete it to run it again'):
        sweep.run(config, over, 'out')


def test_what_is_in_the_way_is_refused_before_the_first_run(tiny_config, nowhere, quick_runs):
    over = {'seed': ['0', '1']}
    sweep.run(tiny_config(), over, 'out')
    quick_runs.clear()
    (nowhere / 'out' / 'seed=0').rename(nowhere / 'elsewhere')
    with pytest.raises(
        UserError, match=r'seed=1 holds a finished run .*train\.steps is 4 there and 2 here.*name another'
    ):
        sweep.run(tiny_config(**{'train.steps': 2}), over, 'out')
    (nowhere / 'out' / 'seed=0').mkdir()
    (nowhere / 'out' / 'seed=0' / 'notes.txt').touch()
    with pytest.raises(UserError, match='seed=0 is not empty and holds no run'):
        sweep.run(tiny_config(), over, 'out')
    assert not quick_runs


def test_runs_of_other_images_or_labels_are_not_summarised_together(tiny_config, photos, nowhere):
    shutil.copytree(photos, 'mine')
    files = sorted(pathlib.Path('mine').rglob('*.png'))
    lines = [f'{file.relative_to("mine")},{file.parent.name}' for file in files]

    def write(lines):
        pathlib.Path('mine/table.csv').write_text('\n'.join(['path,label', *lines]))

    write(lines)
    config = tiny_config(**{'data.source': 'csv:mine/table.csv', 'data.split_seed': 0})
    done, begun = (dataclasses.replace(config, seed=seed, run_dir=str(nowhere / f'seed={seed}')) for seed in range(2))
    for variant in (done, begun):
        directory = finetune.RunDirectory.find(variant)
        directory.create(variant)
        directory.write_split(split_of(load_parts(variant.data, variant.seed)))
    finetune.RunDirectory(nowhere / 'seed=0', resumes=False).finish({'part': 'test'})
    planned = [(pathlib.Path(variant.run_dir), variant) for variant in (done, begun)]
    assert {len(parts.train) for parts in sweep.check_all(planned).values()} == {21}
    write([lines[0].replace('ant', 'bee').replace('bee/', 'ant/'), *lines[1:]])
    for changed in planned:
        with pytest.raises(UserError, match=r'^(seed=.): it was run with its images in other parts .*delete .*\1 to'):
            sweep.check_all([changed])
    write(lines[1:])
    for changed in planned:
        with pytest.raises(UserError, match=r'^(seed=.): it was run with other images than there are now \(see .*\1'):
            sweep.check_all([changed])


def test_real_runs_are_kept_and_one_that_a_signal_ended_continues(tiny_config, nowhere, monkeypatch, signalled):
    over = {'seed': ['0', '1']}
    write = MetricLog.write

    def interrupt(self, step, values):
        if 'seed=1' in str(self.path) and step == 3:
            signalled()
        write(self, step, values)

    monkeypatch.setattr(MetricLog, 'write', interrupt)
    with pytest.raises(stopping.Stopped) as stopped:
        sweep.run(tiny_config(), over)
    assert str(stopped.value) == (
        f'stopped by SIGTERM: step 3 of 4 is saved in {pathlib.Path("runs/sweep-tiny/seed=1")}; '
        'the same command goes on from there'
    )
    signalled.over()
    monkeypatch.undo()
    monkeypatch.chdir(nowhere)
    folder = pathlib.Path('runs/sweep-tiny')
    kept = (folder / 'seed=0' / 'model.safetensors').stat().st_mtime_ns
    began = (folder / 'seed=1' / 'config.json').stat().st_mtime_ns
    where, records = sweep.run(tiny_config(), over)
    assert where == folder
    assert (folder / 'seed=0' / 'model.safetensors').stat().st_mtime_ns == kept
    assert (folder / 'seed=1' / 'config.json').stat().st_mtime_ns == began
    for record in records:
        assert record['metrics']['test accuracy'] == read_result(record['run_dir'])['score']
        assert record['seconds'] == read_result(record['run_dir'])['seconds']
