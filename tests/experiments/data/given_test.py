"""What a run was given, and that every door says what it set aside."""

import dataclasses
import json

import pytest

from jtransfer.config import Config, CrossVal, Optim, Train
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.data.given import differing, in_words, shared
from jtransfer.experiments.inspect import lr_find, plan
from jtransfer.experiments.run import finetune
from jtransfer.experiments.search import search
from jtransfer.experiments.search.judge import Judge

pytestmark = pytest.mark.usefixtures('compile_once')

SLOW = {'transfer.strategy': 'scratch', 'transfer.backbone_learning_rate_scale': 0.3, 'train.steps': 1}
LINE = 'scratch: transfer.backbone_learning_rate_scale=0.3 is for pretrained weights and was set aside'


class ReachedError(Exception):
    """Far enough."""


def stop(*args, **kwargs):
    raise ReachedError


def test_a_run_says_it_on_the_way_in_its_plan_its_record_and_its_page(tiny_config, nowhere):
    said = []
    result = finetune.run(tiny_config(**SLOW, run_dir='run'), say=said.append)
    assert said.count(LINE) == 1
    assert LINE in (nowhere / 'run' / 'plan.txt').read_text()
    assert LINE in (nowhere / 'run' / 'report.html').read_text()
    record = json.loads((nowhere / 'run' / 'result.json').read_text())
    assert record['set_aside'] == [LINE]
    assert record['backbone_learning_rate_scales'] == [1.0, 1.0]
    assert record['steps'] == 1
    assert result.plan.notes == (LINE,)
    assert in_words(result.config, record) == {
        'network': result.config.model.checkpoint,
        'learning rate': '0.05',
        'backbone ×': '1',
        'trains': '100.0%',
        'steps': '1',
        'train images': f'{record["train_examples"]}',
        'set aside': LINE,
    }


def crossed(config, say, monkeypatch):
    monkeypatch.setattr(crossval, '_run', stop)
    crossval.run(dataclasses.replace(config, crossval=CrossVal(folds=2)), say=say)


def searched(config, say, monkeypatch):
    pytest.importorskip('optuna')
    monkeypatch.setattr(search, 'open_study', stop)
    config.search.space = ('optim.learning_rate=log(1e-4, 1e-2)',)
    config.data.validation_fraction = 0.3
    search.run(config, say=say)


def searched_for_the_strategy(config, say, monkeypatch):
    pytest.importorskip('optuna')
    monkeypatch.setattr(search, 'open_study', stop)
    monkeypatch.setattr(Judge, 'check', lambda self, config, parts: ())
    config.search.space = ('transfer.strategy=choice(scratch, fine_tune)',)
    config.transfer.strategy = 'fine_tune'
    config.data.validation_fraction = 0.3
    search.run(config, say=say)


def ranged(config, say, monkeypatch):
    monkeypatch.setattr(lr_find, 'measure', stop)
    lr_find.find(config, say=say)


def planned(config, say, monkeypatch):
    say(str(plan.plan_report(config)).splitlines()[2])
    raise ReachedError


@pytest.mark.parametrize('door', [crossed, searched, searched_for_the_strategy, ranged, planned])
def test_every_door_says_it(tiny_config, nowhere, monkeypatch, door):
    said = []
    with pytest.raises(ReachedError):
        door(tiny_config(**SLOW), said.append, monkeypatch)
    assert said.count(LINE) == 1 or LINE in said


def test_what_is_the_same_is_told_from_what_differs():
    config = Config(optim=Optim(learning_rate=0.01), train=Train(steps=3))
    old = in_words(config, {'trainable_parameters': 5, 'parameters': 1000})
    assert old == {'learning rate': '0.01', 'trains': '0.5%'}
    probe = in_words(config, {'backbone_learning_rate_scales': None, 'steps': 1500})
    assert (probe['backbone ×'], probe['steps']) == ('frozen', '1,500')
    spread = in_words(config, {'backbone_learning_rate_scales': [0.01, 1.0]})
    assert spread['backbone ×'] == '0.01–1'
    assert differing([probe, spread]) == ['backbone ×', 'steps']
    assert shared([{'steps': '3', 'trains': '1%'}, {'steps': '4', 'trains': '1%'}]) == {
        'steps': '3 | 4',
        'trains': '1%',
    }
