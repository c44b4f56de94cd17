"""Pretraining: refused unless from scratch, recorded beside the weights."""

import json

import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.run import pretrain
from jtransfer.pretrained.model import load_model

pytestmark = pytest.mark.usefixtures('compile_once')


def test_it_writes_a_network_that_loads_and_its_record(tiny_config, nowhere):
    config = tiny_config(**{'transfer.strategy': 'scratch', 'train.steps': 1, 'seed': 5})
    result, record = pretrain.run(config, 'mine.safetensors')
    model = load_model('mine.safetensors')
    assert model.class_names == ('ant', 'bee', 'cat')
    assert not model.load_report.re_initialised
    values = json.loads(record.read_text())
    assert values['seed'] == 5
    assert values['score'] == pytest.approx(result.metrics.top1, abs=1e-5)
    assert values['config']['transfer']['strategy'] == 'scratch'
    assert not list(nowhere.glob('*.partial'))


@pytest.mark.parametrize(
    ('strategy', 'output', 'message'),
    [
        ('fine_tune', 'mine.safetensors', 'set transfer.strategy=scratch'),
        ('scratch', 'mine.npz', 'must be a .safetensors file'),
        ('scratch', 'mine/', 'output=mine/ is a folder; name a file in it: mine/weights.safetensors'),
    ],
)
def test_what_it_refuses(tiny_config, nowhere, strategy, output, message):
    with pytest.raises(UserError, match=message):
        pretrain.run(tiny_config(**{'transfer.strategy': strategy}), output)
    assert not list(nowhere.iterdir())
