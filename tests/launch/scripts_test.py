"""The scripts as a person runs them: fine-tune, rerun, evaluate, predict, sweep, pretrain."""

import csv
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.launch.process import launch

CONFIG = """
from jtransfer import config

def get_config():
    return config.Config(
        name='tiny',
        model=config.Model(checkpoint={checkpoint!r}, head_init='normal'),
        data=config.Data(source='folder:{photos}', batch_size=8, test_fraction=0.4),
        transfer=config.Transfer(strategy='linear_probe'),
        optim=config.Optim(learning_rate=0.05),
        train=config.Train(steps=4, log_every=1),
        evaluate=config.Evaluate(batch_size=8, most_wrong=2),
    )
"""


@pytest.fixture(scope='module')
def here(tmp_path_factory, photos, checkpoints):
    folder = tmp_path_factory.mktemp('here')
    (folder / 'tiny.py').write_text(CONFIG.format(checkpoint=checkpoints['resnet'], photos=photos))
    return folder


@pytest.fixture(scope='module')
def finished(here):
    return launch(here, 'finetune', '--config=tiny.py', alone=True)


def test_finetune_says_how_it_ended(finished, here):
    result = json.loads((here / 'runs' / 'tiny' / 'result.json').read_text())
    low, high = result['score_interval']
    said = f'test accuracy {result["score"]:.1%}  (95% interval {low:.1%} to {high:.1%}, 15 examples)'
    assert said in finished.stdout
    assert 'trained   head (' in finished.stdout
    assert 'frozen    backbone' in finished.stdout
    assert 'Run directory runs/tiny' in finished.stdout
    for name in ('report.html', 'model.safetensors', 'metrics.jsonl', 'tensorboard/', 'checkpoints/'):
        assert name in finished.stdout
    assert 'tiny 4/4  loss' in finished.stderr  # the progress, where there is no terminal
    assert 'INFO' not in finished.stderr
    assert 'Warning' not in finished.stderr


@pytest.mark.parametrize('saved', ['runs/tiny/config.py', 'runs/tiny/config.json', 'runs/tiny', 'runs/tiny/'])
def test_the_saved_configuration_is_the_one_that_ran(finished, here, saved):
    assert finished.returncode == 0
    program = 'import sys; from launch import app; from jtransfer.experiments.run.directory import read_config; '
    program += 'c = app.define_config(); app.parse(sys.argv); print(c() == read_config("runs/tiny"))'
    done = launch(here, 'finetune', f'--config={saved}', code=program)
    assert done.stdout == 'True\n', done.stderr


def test_the_saved_configuration_runs_it_again(finished, here):
    assert finished.returncode == 0
    done = launch(here, 'finetune', '--config=runs/tiny')
    assert 'Run directory runs/tiny-2' in done.stdout
    first = load_file(here / 'runs' / 'tiny' / 'model.safetensors')
    again = load_file(here / 'runs' / 'tiny-2' / 'model.safetensors')
    assert first.keys() == again.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)


def test_a_finished_run_is_refused_in_one_line(finished, here):
    assert finished.returncode == 0
    done = launch(here, 'finetune', '--config=tiny.py', '--config.run_dir=runs/tiny', status=2)
    assert done.stderr == (
        'error: run_dir=runs/tiny holds a finished run of this configuration; name another directory\n'
    )


def test_a_truncated_picture_is_named_in_one_line(here, photos, tmp_path):
    import shutil

    folder = tmp_path / 'photos'
    shutil.copytree(photos, folder)
    victim = folder / 'bee' / '03.png'
    victim.write_bytes(victim.read_bytes()[:200])
    flag = f'--config.data.source=folder:{folder}'
    done = launch(here, 'finetune', '--config=tiny.py', flag, '--config.name=cut', status=2)
    assert done.stderr.startswith('error: ')
    assert 'bee/03.png' in done.stderr
    assert 'skip_unreadable' in done.stderr
    assert done.stderr.count('\n') == 1
    assert not (here / 'runs' / 'cut').exists()


def test_evaluate_gives_the_accuracy_of_the_run_again(finished, here):
    assert finished.returncode == 0
    done = launch(here, 'evaluate', '--checkpoint=runs/tiny', '--output=evaluation', alone=True)
    result = json.loads((here / 'runs' / 'tiny' / 'result.json').read_text())
    metrics = json.loads((here / 'evaluation' / 'metrics.json').read_text())
    assert metrics['top1'] == result['score']
    assert metrics['loss'] == pytest.approx(result['loss'], abs=1e-6)
    assert f'accuracy {result["score"]:.1%}' in done.stdout
    assert done.stdout.startswith('runs/tiny: 3 classes (ant, bee, cat); images: 15 of the test part\n')
    assert (here / 'evaluation' / 'report.html').exists()
    done = launch(here, 'evaluate', '--checkpoint=runs/tiny', '--output=evaluation', status=2)
    assert 'name a new folder' in done.stderr


def test_predict_writes_class_probability_file(finished, here, photos):
    assert finished.returncode == 0
    launch(here, 'predict', '--checkpoint=runs/tiny', f'--images={photos}', '--output=table.csv', alone=True)
    with open(here / 'table.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ['class', 'probability', 'file']
    assert [row['file'] for row in rows] == sorted(str(path) for path in photos.rglob('*.png'))
    with open(here / 'runs' / 'tiny' / 'evaluation' / 'predictions.csv', newline='') as file:
        evaluated = {row['id']: row for row in csv.DictReader(file)}
    predicted = {row['file'].removeprefix(f'{photos}/'): row for row in rows}
    for name, row in evaluated.items():
        assert predicted[name]['class'] == row['predicted']
        assert float(predicted[name]['probability']) == pytest.approx(float(row['probability']), abs=2e-6)


@pytest.mark.parametrize(
    ('script', 'arguments', 'message'),
    [
        ('evaluate', [], '--checkpoint is missing'),
        ('evaluate', ['--checkpoint=nowhere', '--output=new'], 'no catalogue name'),
        ('predict', ['--checkpoint=jtransfer/resnet_glyphs'], '--images is missing'),
        ('predict', ['--checkpoint=jtransfer/resnet_glyphs', '--images=nowhere'], 'there is no such folder'),
        ('sweep', ['--config=tiny.py'], '--over is missing'),
        ('sweep', ['--config=tiny.py', '--over=sed=0,1'], "Did you mean 'seed'?"),
        ('pretrain', ['--config=tiny.py'], 'transfer.strategy=scratch'),
    ],
)
def test_what_is_missing_is_one_line(here, script, arguments, message):
    done = launch(here, script, *arguments, status=2)
    assert message in done.stderr
    assert done.stderr.count('\n') == 1


def test_sweep_prints_and_saves_a_table_and_says_when_a_run_failed(here):
    flags = ['--config=tiny.py', '--config.train.tensorboard=false', '--over=transfer.strategy=scratch,linear_probe']
    # 24 are more than there are to train on, which is known before the first run.
    done = launch(here, 'sweep', *flags, '--over=data.batch_size=8,24', status=2)
    assert 'batch_size=24 is larger than the training part of 21' in done.stderr
    assert not (here / 'runs' / 'sweep-tiny').exists()
    done = launch(here, 'sweep', *flags, '--over=optim.learning_rate=0.01,1e30', status=1)
    assert 'learning_rate=1e+30: the loss' in done.stdout
    assert 'linear_probe' in done.stdout
    assert 'gain' in done.stdout
    folder = here / 'runs' / 'sweep-tiny'
    with open(folder / 'runs.csv', newline='') as file:
        runs = list(csv.DictReader(file))
    assert [(run['transfer.strategy'], run['optim.learning_rate'], bool(run['error'])) for run in runs] == [
        (strategy, rate, rate == '1e+30') for strategy in ('scratch', 'linear_probe') for rate in ('0.01', '1e+30')
    ]
    for run in runs:
        if not run['error']:
            result = json.loads((here / run['run_dir'] / 'result.json').read_text())
            assert float(run['test accuracy']) == result['score']
    with open(folder / 'summary.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['failed'] for row in rows] == ['0', '1', '0', '1']
    gain = float(rows[2]['test accuracy mean']) - float(rows[0]['test accuracy mean'])
    assert float(rows[2]['gain over scratch']) == pytest.approx(gain)
    assert (folder / 'summary.png').read_bytes().startswith(b'\x89PNG')

    before = {path: path.stat().st_mtime_ns for path in folder.rglob('model.safetensors')}
    assert len(before) == 2
    done = launch(here, 'sweep', *flags, '--over=optim.learning_rate=0.01', alone=True)
    assert '[2/2]' in done.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('model.safetensors')} == before


def test_pretrain_writes_weights_and_their_record(here):
    flags = ['--config.transfer.strategy=scratch', '--output=mine.safetensors']
    done = launch(here, 'pretrain', '--config=tiny.py', *flags, alone=True)
    record = json.loads((here / 'mine.json').read_text())
    assert record['architecture'] == 'resnet_tiny'
    assert record['seed'] == 0
    assert 0 <= record['score'] <= 1
    assert {'jax', 'flax', 'optax', 'python', 'device'} <= set(record['versions'])
    assert record['config']['train']['steps'] == 4
    assert load_file(here / 'mine.safetensors')['params/head/bias'].shape == (3,)
    assert 'weights mine.safetensors, record mine.json' in done.stdout
