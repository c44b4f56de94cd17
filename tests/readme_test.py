"""The README does what it says: its set-up lines are those that CI runs, its commands parse, its Python runs."""

import importlib
import json
import pathlib
import re
import shlex
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jtransfer import config as config_lib
from jtransfer import models
from jtransfer.experiments.sweep import sweep
from jtransfer.transfer.plan import make_plan
from tests.launch.process import launch

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text()
SETUP = (
    'pip install -e . && python -m launch.finetune --config=configs/quickstart.py',
    "pip install -e '.[test]' && pytest",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```$', README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = [line for block in blocks('bash') for line in block.splitlines()]
    return [line[line.index('python -m') :] for line in lines if 'python -m' in line]


def test_the_set_up_is_two_lines_and_ci_runs_them():
    assert blocks('bash')[0].splitlines() == list(SETUP)
    script = (ROOT / '.ci' / 'run').read_text()
    assert '/^```bash$/' in script
    assert 'for line in "${lines[@]}"' in script


@pytest.mark.parametrize('command', commands())
def test_every_command_parses(command, tmp_path):
    _, _, module, *flags = shlex.split(command)
    assert (ROOT / f'{module.replace(".", "/")}.py').exists()
    program = f'import {module} as m, sys; from absl import flags; from launch import app; '
    program += "app.parse(sys.argv, arguments=getattr(m, 'ARGUMENTS', ())); "
    program += "print('parsed'); "
    program += "print('_CONFIG' in vars(m) and m._CONFIG().name)"
    done = launch(ROOT, module, *flags, code=program, XDG_CACHE_HOME=str(tmp_path))
    assert done.stdout.startswith('parsed')


def test_the_sweep_it_shows_gives_each_strategy_the_rate_that_suits_it():
    command, plain = (c for c in commands() if 'launch.sweep' in c)
    assert '--tune' not in plain
    over, tune = (
        sweep.parse_fields([part.removeprefix(f'{flag}=') for part in shlex.split(command) if flag in part], flag)
        for flag in ('--over', '--tune')
    )
    config = importlib.import_module('configs.quickstart').get_config()
    assert len(sweep.combinations(config, over)) == 15
    assert len(sweep.combinations(config, over, tune)) == 90
    assert [*tune] == ['optim.learning_rate']


def test_the_rules_it_shows_are_valid():
    [block] = [b for b in blocks('python') if 'Transfer(' in b]
    names: dict = {}
    expression = block.rpartition('\n\n')[2]
    exec(block.rpartition('\n\n')[0], names)
    config = importlib.import_module('configs.quickstart').get_config()
    config.transfer = eval(expression, names)
    assert config_lib.validate(config).transfer.rules[0] == ('backbone/(stem|stage1)/.*', 'freeze')


def test_the_rules_of_the_guide_are_valid():
    [block] = re.findall(
        r'^```python\n(.*?)^```$', (ROOT / 'docs' / 'transfer.md').read_text(), re.DOTALL | re.MULTILINE
    )
    names: dict = {}
    exec(block.replace('\nTransfer(', '\ntransfer = Transfer('), names)
    network = models.create('resnet_small', num_classes=3)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))['params']
    plan = make_plan(network, params, names['transfer'])
    assert plan.phases == 3
    assert {group.optimizer for group in plan.groups} == {'', 'muon'}


@pytest.mark.parametrize('index', range(2))
def test_its_python_runs_as_printed(index, tmp_path):
    block = [b for b in blocks('python') if 'jt.' in b][index]
    done = subprocess.run(
        [sys.executable, '-c', block], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(re.search(r'[\d.]+', done.stdout)[0])
    assert (accuracy > 85) if index == 0 else (accuracy > 0.85), done.stdout


def test_its_accuracies_of_the_shipped_networks_are_the_recorded_ones():
    for name in ('resnet_glyphs', 'vit_glyphs'):
        record = json.loads((ROOT / 'jtransfer' / 'pretrained' / 'weights' / f'{name}.json').read_text())
        row = next(line for line in README.splitlines() if line.startswith(f'| `jtransfer/{name}`'))
        assert f'{record["parameters"]:,}' in row
        assert f'{record["test_accuracy"]:.1%}' in row


def environment() -> dict[str, str]:
    import os

    return {**os.environ, 'PYTHONPATH': str(ROOT), 'XLA_FLAGS': ''}
