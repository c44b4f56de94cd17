"""Command lines: what is wrong is said in one line, with status 2, before JAX starts."""

import functools
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from jtransfer.errors import DataWarning
from launch import app

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
        ([QUICKSTART, '--config.learning_rate=1'], "Did you mean 'optim.learning_rate'?"),
        ([QUICKSTART, '--config.optm.learning_rate=1'], "Did you mean 'optim.learning_rate'?"),
        ([QUICKSTART, '--noconfig.data.skip_unreadabel'], "Did you mean 'data.skip_unreadable'?"),
        ([QUICKSTART, '--config.data.batch_size=2.5'], "data.batch_size='2.5' is not of type int"),
        ([QUICKSTART, '--config.data.skip_unreadable=perhaps'], "data.skip_unreadable='perhaps' is not of type bool"),
        ([QUICKSTART, '--config.data.split_seed=x'], "data.split_seed='x' is not of type int | None"),
        ([QUICKSTART, '--config.augment.crop_scale=1'], 'is not of type tuple[float, float]'),
        ([QUICKSTART, '--config.transfer.rules=head'], 'is not of type tuple[str, str]'),
        ([QUICKSTART, '--config.seed'], 'Missing value for flag --config.seed'),
        ([QUICKSTART, '--config.seed=-1'], 'seed=-1 must be at least 0'),
        ([QUICKSTART, '--config.name=../x'], "name='../x' must be fit for naming a directory"),
        ([QUICKSTART, '--config.optim.accumulate_steps=3'], 'does not divide data.batch_size=20'),
        ([QUICKSTART, '--config.model.checkpoint='], 'model.checkpoint and model.name are both empty'),
        ([QUICKSTART, '--config.optim=1'], 'optim is a group of fields'),
        ([QUICKSTART, '--config.train.steps=abc'], "train.steps='abc' is not of type int"),
        ([QUICKSTART, '--config.optim.learning_rate=0'], 'optim.learning_rate=0.0 must be above 0'),
        ([QUICKSTART, '--config.transfer.strategy=finetune'], "Did you mean 'fine_tune'?"),
        ([QUICKSTART, '--config.train.steps=5'], 'exactly one of train.epochs and train.steps'),
        (['--config=configs/quickstart.py:vgg'], "no variant 'vgg'"),
        (['--config=configs/quickstar.py'], "Did you mean 'configs/quickstart.py'?"),
        (['--config=configs/pretrain_glyphs.py:vgg'], 'takes 0 positional arguments'),
        (['--config='], 'names no file'),
        (['--config'], 'Missing value for flag --config'),
        (['--config=nowhere.json'], 'nowhere.json cannot be read: No such file'),
        (['--config=pyproject.toml'], 'pyproject.toml, line'),
        ([], '--config is missing'),
        (['--noconfig.train.progress'], '--noconfig.train.progress needs a --config'),
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
        ('def get_config(): pass', 'get_config() returned nothing; is a return missing?'),
        ('import jtransfr\ndef get_config(): pass', "line 1: ModuleNotFoundError: No module named 'jtransfr'"),
        ('def get_config():\n  return {}["a"]', "line 2: KeyError: 'a'"),
        ('def get_config():\n\n  return open("nowhere.txt")', 'line 3: FileNotFoundError'),
        (
            'from jtransfer.config import *\ndef get_config(): return Config(optim=Optim(lerning_rate=1))',
            "line 2: TypeError: Optim.__init__() got an unexpected keyword argument 'lerning_rate'",
        ),
        (
            'from jtransfer.errors import UserError\ndef get_config(): raise UserError("choose a network")',
            'error: choose a network',
        ),
    ],
)
@pytest.mark.parametrize('more', [[], ['--config.seed=1']])
def test_a_broken_configuration_file_is_named_with_its_line(tmp_path, program, message, more):
    file = tmp_path / 'broken.py'
    file.write_text(program)
    done = launch('finetune', f'--config={file}', *more, JAX_PLATFORMS='nonsense')
    assert done.returncode == 2
    assert (message if not more or ' return' not in message else f'{file} could not be read') in done.stderr
    assert done.stderr.count('\n') == 1


@pytest.mark.parametrize(
    'arguments',
    [
        ['--config.seed=7', QUICKSTART],
        ['--config', 'configs/quickstart.py', '--config.seed=7'],
        ['-config=configs/quickstart.py', '-config.seed=7'],
        ['-config', 'configs/quickstart.py:vit', '--config.seed', '7'],
        ['--config.seed=3', '--config', 'configs/quickstart.py', '--config.seed=7', '--noconfig.train.progress'],
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


def run(program, *arguments, **environment):
    return subprocess.run(
        [sys.executable, '-c', program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**{name: value for name, value in os.environ.items() if 'JAX' not in name}, **environment},
    )


def test_overrides_of_every_type_arrive():
    values = {
        'run_dir': 'a b=c',
        'data.split_seed': '0',
        'data.skip_unreadable': 'true',
        'train.epochs': '3',
        'augment.crop_scale': '(0.5,1)',
        'transfer.rules': "(('backbone/stem/.*','freeze'),('head/.*','learning_rate=2,weight_decay=0'))",
    }
    rules = (('backbone/stem/.*', 'freeze'), ('head/.*', 'learning_rate=2,weight_decay=0'))
    program = 'import sys; from launch import app; from jtransfer.config.fields import get_field; '
    program += 'c = app.define_config(); app.parse(sys.argv); '
    program += f'print([get_field(c(), field) for field in {list(values)}])'
    done = run(program, QUICKSTART, *(f'--config.{field}={value}' for field, value in values.items()))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'{["a b=c", 0, True, 3.0, (0.5, 1.0), rules]}\n'


def test_a_configuration_in_the_home_directory(tmp_path):
    (tmp_path / 'mine.py').write_text((ROOT / 'configs' / 'quickstart.py').read_text())
    done = launch('finetune', '--config=~/mine.py:vgg', HOME=str(tmp_path))
    assert "has no variant 'vgg'" in done.stderr


@pytest.mark.parametrize(
    ('failure', 'status', 'message'),
    [
        ("UserError('one\\n two')", 2, 'error: one two\n'),
        ("TrainingDivergedError('NaN')", 3, 'training stopped: NaN\n'),
        ("PermissionError(13, 'Permission denied', 'a.csv')", 2, 'error: a.csv: Permission denied\n'),
        (
            "OSError(28, 'No space left on device', 'a.csv')",
            2,
            'error: a.csv cannot be written: No space left on device; make room, or name a folder on another disk\n',
        ),
        (
            "MemoryError('Unable to allocate 9 GiB')",
            2,
            'error: memory ran out on the way (Unable to allocate 9 GiB): smaller batches, smaller images, fewer '
            'data.workers or a smaller network need less\n',
        ),
    ],
)
def test_what_ends_a_script_has_its_status(failure, status, message):
    program = 'from launch import app\nfrom jtransfer.errors import *\n'
    done = run(program + f'def main(): raise {failure}\napp.run(main)')
    assert (done.returncode, done.stderr) == (status, message)


def test_a_signal_during_the_imports_is_one_line():
    command = [sys.executable, '-X', 'importtime', '-m', 'launch.finetune', QUICKSTART]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'nonsense'}
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment) as process:
        seen = next(line for line in process.stderr if 'absl.flags' in line)
        process.send_signal(signal.SIGTERM)  # Ctrl-C is ignored where the tests run in the background
        rest = [line for line in process.stderr if not line.startswith('import time:')]
        assert (process.wait(timeout=60), rest) == (143, ['stopped by SIGTERM: nothing to save yet\n']), seen


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({'XDG_CACHE_HOME': '/cache'}, '/cache/jtransfer/xla'),
        ({'XDG_CACHE_HOME': '/cache', 'JAX_COMPILATION_CACHE_DIR': '/mine'}, '/mine'),
    ],
)
def test_compiled_programs_are_kept_where_the_user_says(environment, expected):
    program = 'import os; from launch import app; app.cache_compilations(); '
    done = run(program + 'print(os.environ["JAX_COMPILATION_CACHE_DIR"])', **environment)
    assert done.stdout.strip() == expected


_TALKS = """
from launch import app
from jtransfer.errors import UserError
from rich.panel import Panel
def main():
    app.say('81 % ± 2 ★\\x1b[31m\\nGrün')
    app.show(Panel('[a-z]/.* – \\x07'))
    raise UserError('Grün\\x1b – \\n 1')
app.run(main)
"""


@pytest.mark.parametrize(
    ('encoding', 'said', 'error'),
    [
        ('ascii', '81 % +/- 2 *\\x1b[31m\nGr\\xfcn\n', 'error: Gr\\xfcn\\x1b - 1\n'),
        ('utf-8', '81 % ± 2 ★\\x1b[31m\nGrün\n', 'error: Grün\\x1b – 1\n'),
    ],
)
def test_whatever_the_terminal_can_write_is_written(encoding, said, error):
    done = run(_TALKS, PYTHONIOENCODING=encoding, PYTHONUTF8='1')
    assert done.returncode == 2
    assert done.stdout.startswith(said)
    assert '[a-z]/.* ' in done.stdout
    assert '\\x07' in done.stdout
    assert done.stderr == error


def test_a_script_goes_on_when_nobody_reads_what_it_says(tmp_path):
    program = f"""
from launch import app
def main():
    for _ in range(9999): app.say('a line')
    app.show('the end')
    open({str(tmp_path / 'done')!r}, 'w').close()
app.run(main)
"""
    words = [sys.executable, '-c', program]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'a line\n'
        process.stdout.close()
        assert process.stderr.read() == ''
    assert process.returncode == 0
    assert (tmp_path / 'done').exists()


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='there is no /dev/full')
def test_a_full_disk_under_the_output_is_one_line():
    program = "from launch import app\ndef main(): app.say('a line')\napp.run(main)"
    with open('/dev/full', 'w') as full:
        words = [sys.executable, '-c', program]
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        'error: what the script writes or prints cannot be written: No space left on device; '
        'make room, or name a folder on another disk\n'
    )


def test_what_the_data_are_warned_of_is_a_line(capsys):
    others = []
    show = functools.partial(app._show, lambda *given: others.append(given))
    show(DataWarning('2 images are dark'), DataWarning, 'file.py', 3)
    assert capsys.readouterr().err == 'note: 2 images are dark\n'
    show(UserWarning('else'), UserWarning, 'file.py', 3, None, None)
    assert [given[0].args for given in others] == [('else',)]
