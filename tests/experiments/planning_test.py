"""A run before it runs: what the report says, that nothing is read for it, and that waste makes it fail."""

import dataclasses

import jax
import pytest

from jtransfer.config import Config, Data, Loss, Model, Train, Transfer
from jtransfer.data.folder import FolderSource
from jtransfer.errors import UserError
from jtransfer.experiments import planning
from jtransfer.experiments.plan_page import batch_norm_modes
from jtransfer.experiments.planning import abstract_model, count_classes, plan_report
from jtransfer.pretrained import locate
from jtransfer.pretrained.entries import find
from jtransfer.rules import flatten
from jtransfer.transfer.plan import make_plan

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
    assert count_classes(tiny_config())[0] == 3
    assert count_classes(Config(data=Data('digits')))[0] == 10
    assert count_classes(Config(data=Data('glyphs')))[0] == 47
    assert count_classes(Config(data=Data('tfds:mnist'))) == (10, 'assumed; --num_classes says otherwise')
    assert count_classes(Config(data=Data('tfds:mnist'), loss=Loss(class_weights=(1.0, 2.0))))[0] == 2


def test_batch_normalisations_by_stage(tiny_config):
    config = tiny_config(**{'transfer.strategy': 'fine_tune', 'transfer.freeze_until': 'stage2'})
    model = abstract_model(config, 3)

    def modes(transfer):
        return batch_norm_modes(model, make_plan(model.network, model.variables['params'], transfer))

    assert modes(config.transfer) == {
        'backbone/stem': 'running statistics (1 layer)',
        'backbone/stage1': 'running statistics (2 layers)',
        'backbone/stage2': 'batch statistics (3 layers)',
    }
    assert set(modes(Transfer('linear_probe', batch_norm='train')).values()) == {
        'batch statistics (1 layer)',
        'batch statistics (2 layers)',
        'batch statistics (3 layers)',
    }
    rule = ('backbone/stage2/block0/bn1/.*', 'freeze')
    mixed = modes(Transfer('fine_tune', rules=(rule,)))['backbone/stage2']
    assert mixed == 'batch statistics in 2 of 3 layers, running statistics in the others'


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


def test_backward_work_for_what_is_frozen_fails(tiny_config, monkeypatch):
    monkeypatch.setattr(planning, 'frozen_backward', lambda step, variables: ['backbone/stem: dot', 'too much'])
    found = report(tiny_config())
    assert 'backward work for frozen parameters: backbone/stem: dot\n' in str(found)
    with pytest.raises(UserError, match=r'frozen parameters: backbone/stem: dot \(and 1 more\)'):
        found.check()


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
        ({'model.checkpoint': 'timm/resnet18.tv'}, [], "Did you mean 'timm/resnet18.tv_in1k'"),
    ],
)
def test_what_cannot_be_is_one_line(tiny_config, settings, sizes, message):
    with pytest.raises(UserError, match=message):
        report(tiny_config(**settings), sizes)
