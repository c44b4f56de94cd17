"""Command lines: what is wrong is said in one line, with status 2, before JAX starts."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


def launch(script, *arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, '-m', f'launch.{script}', *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'PYTHONPATH': str(ROOT), **environment},
    )


QUICKSTART = '--config=configs/quickstart.py'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([QUICKSTART, '--config.optim.learning_rat=1'], "Did you mean 'optim.learning_rate'?"),
        ([QUICKSTART, '--config.optim.lr=1'], "Did you mean 'optim.learning_rate'?"),
        ([QUICKSTART, '--config.optim=1'], 'optim is a group of fields'),
        ([QUICKSTART, '--config.train.steps=abc'], "train.steps='abc' is not of type int"),
        ([QUICKSTART, '--config.optim.learning_rate=0'], 'optim.learning_rate=0.0 must be above 0'),
        ([QUICKSTART, '--config.transfer.strategy=finetune'], "Did you mean 'fine_tune'?"),
        ([QUICKSTART, '--config.train.steps=5'], 'exactly one of train.epochs and train.steps'),
        (['--config=configs/quickstart.py:vgg'], "no variant 'vgg'"),
        (['--config=configs/quickstar.py'], "Did you mean 'configs/quickstart.py'?"),
        (['--config='], 'names no file'),
        ([], '--config is missing'),
        (['--config.seed=1'], '--config.seed=1 needs a --config'),
        ([QUICKSTART, '--confg=1'], "there is no flag '--confg'. Did you mean '--config'?"),
        ([QUICKSTART, 'rubbish'], "'rubbish' is not a flag"),
        (['--config=tests'], 'not a run of ours'),
    ],
)
def test_a_mistake_is_one_line_before_jax_starts(arguments, message):
    # A platform that does not exist: had JAX started, the error would be another.
    done = launch('finetune', *arguments, JAX_PLATFORMS='nonsense')
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert done.stdout == ''


@pytest.mark.parametrize(
    ('program', 'message'),
    [
        ('def get_config(:', 'line 1: invalid syntax'),
        ('x = 1', 'does not define get_config()'),
        ('\ndef get_config():\n  return 1 / 0', 'line 3: ZeroDivisionError'),
        ('def get_config():\n  return {}', 'must return a jtransfer.config.Config'),
    ],
)
def test_a_broken_configuration_file_is_named_with_its_line(tmp_path, program, message):
    file = tmp_path / 'broken.py'
    file.write_text(program)
    done = launch('finetune', f'--config={file}', JAX_PLATFORMS='nonsense')
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count('\n') == 1


@pytest.mark.parametrize(
    'arguments',
    [
        ['--config.seed=7', QUICKSTART],
        ['--config', 'configs/quickstart.py', '--config.seed=7'],
        ['-config=configs/quickstart.py', '-config.seed=7'],
    ],
)
def test_the_ways_to_write_it(arguments):
    program = 'import sys; from launch import app; c = app.define_config(); app.parse(sys.argv); print(c().seed)'
    done = subprocess.run(
        [sys.executable, '-c', program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, '7\n'), done.stderr


def test_help_lists_the_flags_of_the_script():
    done = launch('sweep', '--help')
    assert '--over' in done.stdout
    assert '--config' in done.stdout
