"""A run before it runs: what the report says, that nothing is read for it, and that waste makes it fail."""

import dataclasses

import jax
import pytest

from jtransfer.config import Config, Data, Loss, Model, Train, Transfer
from jtransfer.data.sources.folder import FolderSource
from jtransfer.errors import UserError
from jtransfer.experiments.inspect.plan import count_data, plan_report
from jtransfer.experiments.run.start import abstract_model
from jtransfer.pretrained.catalogue import locate
from jtransfer.pretrained.catalogue.entries import find
from jtransfer.rules import flatten

pytestmark = pytest.mark.usefixtures('compile_once')


def report(config, *args, **kwargs):
    return plan_report(config, *args, devices=jax.devices()[:1], **kwargs)


def rows(text, first):
    """The cells of the lines that begin with a word."""
    return [line.split() for line in text.splitlines() if line.strip().startswith(first)]


@pytest.fixture(scope='module')
def probe(tiny_config):
    return report(tiny_config(), [4, 16])


def test_the_groups_are_those_of_the_plan_with_their_optimiser_state(probe):
    kernel, bias = 16 * 3, 3
    assert probe.group_bytes['head'] >= 2 * 4 * kernel
    assert probe.group_bytes['head (no decay)'] >= 2 * 4 * bias
    assert probe.group_bytes['backbone'] == 0
    assert sum(probe.group_bytes.values()) == pytest.approx(probe.phases[0].optimizer_bytes, abs=16)
    text = str(probe)
    assert rows(text, 'head/') == []
    [head, *_] = rows(text, 'head')
    assert head[:8] == ['head', 'head/.*', '0', 'cosine', '1', '48', '1', '0.01']
    [backbone] = [row for row in rows(text, 'backbone') if row[1] == 'backbone/.*']
    assert backbone[2:4] == ['frozen', '-']
    [total] = rows(text, 'total')
    assert total[2] == f'{probe.plan.elements:,}'
    assert probe.plan.trained() in text


def test_the_costs_stand_against_full_fine_tuning_and_the_verdict_is_told(probe):
    assert probe.full.flops > 2 * probe.phases[0].flops
    assert probe.full.temp_bytes > 2 * probe.phases[0].temp_bytes
    text = str(probe)
    share = probe.phases[0].flops / probe.full.flops
    assert f'{share:.1%}' in text
    assert 'a step of 8 images' in text
    assert '3 classes (folder:' in text
    assert 'no backward work for frozen parameters in the compiled program' in text
    probe.check()


def test_each_batch_size_has_its_peak(probe):
    assert [cost.batch_size for cost in probe.batches] == [4, 16]
    small, large = probe.batches
    assert small.peak_bytes < probe.phases[0].peak_bytes < large.peak_bytes
    shown = [row[0] for row in rows(str(probe), ('4 ', '16 '))]
    assert shown == ['4', '16']


def test_no_picture_is_read_and_no_weights_are_fetched(tiny_config, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('read')

    monkeypatch.setattr(FolderSource, '__getitem__', refuse)
    monkeypatch.setattr(locate, 'fetch_hub', refuse)
    monkeypatch.setattr(locate, 'fetch_url', refuse)
    entry = find('timm/resnet18.tv_in1k')
    config = tiny_config(**{'model.checkpoint': entry.name, 'model.image_size': 32})
    model = abstract_model(config, 1000)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(model.variables))
    assert sum(leaf.size for leaf in jax.tree.leaves(model.variables['params'])) == entry.parameters
    assert model.preprocessing == dataclasses.replace(entry.preprocessing, image_size=32)
    with pytest.raises(UserError, match="of architecture 'resnet18', not 'resnet50'"):
        abstract_model(tiny_config(**{'model.checkpoint': entry.name, 'model.name': 'resnet50'}), 3)
    assert report(tiny_config(), num_classes=5).classes == (5, 'as asked for')


def test_classes_are_counted_where_that_needs_no_picture(tiny_config):
    assert count_data(tiny_config()).classes[0] == 3
    assert count_data(Config(data=Data('digits'))).classes[0] == 10
    assert count_data(Config(data=Data('glyphs'))).classes[0] == 47
    assert count_data(Config(data=Data('tfds:mnist'))).classes == (10, 'assumed; num_classes says otherwise')
    weighted = Config(data=Data('tfds:mnist'), loss=Loss(class_weights=(1.0, 2.0)))
    assert count_data(weighted).classes == (2, 'loss.class_weights')
    assert count_data(dataclasses.replace(weighted, data=Data('digits'))).classes == (10, 'digits')


def test_a_phase_has_a_line_and_a_group_the_phase_it_moves_from(tiny_config, checkpoints):
    found = report(tiny_config(**{'transfer.strategy': 'lp_ft', 'model.checkpoint': checkpoints['vit']}))
    assert len(found.phases) == 2
    assert found.phases[0].flops < found.phases[1].flops / 2
    assert found.full == found.phases[1]
    text = str(found)
    assert {row[2] for row in rows(text, 'backbone') if row[1] == 'backbone/.*'} == {'1'}
    assert [row[:2] for row in rows(text, 'phase')] == [['phase', '0'], ['phase', '1']]
    assert 'batch normalisation' not in text


def test_what_a_strategy_adds_to_the_network_is_in_the_plan(tiny_config, checkpoints):
    found = report(tiny_config(**{'transfer.strategy': 'lora', 'model.checkpoint': checkpoints['vit']}))
    paths = flatten(found.model.variables['params'])
    added = sum(leaf.size for path, leaf in paths.items() if path.startswith('adapters/'))
    assert 0 < added < found.plan.trainable_elements
    assert any(row[0] == 'adapters' for row in rows(str(found), 'adapters'))
    assert found.backward == ((),)


def test_nothing_frozen_needs_no_verdict(checkpoints):
    scratch = Config(
        model=Model(name='vit_tiny_test'), transfer=Transfer('scratch'), train=Train(epochs=1), data=Data(batch_size=4)
    )
    found = report(scratch)
    assert found.full == found.phases[0]
    assert str(found).endswith('nothing is frozen\n')


@pytest.mark.parametrize(
    ('settings', 'sizes', 'message'),
    [
        ({}, [0], 'batch_sizes: each'),
        ({'optim.accumulate_steps': 4}, [6], 'must be a multiple of 4'),
        ({'transfer.rules': (('backbne/.*', 'freeze'),)}, [], 'backbne'),
        ({'loss.class_weights': (1.0, 2.0)}, [], 'loss.class_weights has 2 weights for 3 classes'),
        # Three steps of 8 images, in an epoch of 21: too few for two stages behind the head's.
        (
            {'transfer.strategy': 'gradual', 'transfer.unfreeze_every': 9, 'train.steps': 0, 'train.epochs': 1.0},
            [],
            'begins the last of 4 phases after 27 of 3 steps: train for at least 4 steps',
        ),
        ({'transfer.strategy': 'gradual'}, [], 'there is no validation part: set data.validation_fraction'),
        ({'model.checkpoint': 'timm/resnet18.tv'}, [], "Did you mean 'timm/resnet18.tv_in1k'"),
    ],
)
def test_what_cannot_be_is_one_line(tiny_config, settings, sizes, message):
    with pytest.raises(UserError, match=message):
        report(tiny_config(**settings), sizes)
