"""The script as a person runs it."""

import json
import re

import pytest
from PIL import Image

from tests.launch.process import ROOT, launch

QUICKSTART = f'--config={ROOT}/configs/quickstart.py'
# The quickstart, with the strategy that compiles fastest.
PROBE = """
from configs import quickstart

def get_config():
    config = quickstart.get_config()
    config.transfer.strategy = 'linear_probe'
    return config
"""


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    here = tmp_path_factory.mktemp('here')
    (here / 'probe.py').write_text(PROBE)
    return here, launch(
        here, 'lr_find', '--config=probe.py', '--config.seed=1', '--lowest=1e-4', '--highest=1', '--steps=20'
    )


def test_it_prints_the_suggestion_and_where_the_picture_is(finished):
    here, done = finished
    folder = here / 'runs' / 'quickstart-lr_find'
    record = json.loads((folder / 'lr_find.json').read_text())
    suggestion, where = done.stdout.splitlines()[-2:]
    assert re.match(r'suggestion: optim\.learning_rate=\S+ \(smoothed loss falls from \S+ to \S+ at ', suggestion)
    assert f'={record["suggestion"]:.1e} ' in suggestion
    assert where == 'runs/quickstart-lr_find: lr_find.png, lr_find.json, lr_find.csv'
    assert 1e-4 < record['suggestion'] < 1
    with Image.open(folder / 'lr_find.png') as image:
        assert image.format == 'PNG'
    assert record['config']['seed'] == 1


def test_it_overwrites_nothing(finished):
    here, _ = finished
    before = {path: path.read_bytes() for path in (here / 'runs').rglob('*') if path.is_file()}
    done = launch(here, 'lr_find', QUICKSTART, status=2)
    assert done.stderr == 'error: output=runs/quickstart-lr_find exists already; name a new folder\n'
    assert before == {path: path.read_bytes() for path in (here / 'runs').rglob('*') if path.is_file()}


def test_a_range_that_is_none_is_refused_in_one_line(tmp_path):
    done = launch(tmp_path, 'lr_find', QUICKSTART, '--lowest=1', '--highest=0.1', status=2, alone=True)
    assert done.stderr == 'error: lowest=1 and highest=0.1 must be two learning rates, 0 < lowest < highest\n'
    assert not (tmp_path / 'runs').exists()
