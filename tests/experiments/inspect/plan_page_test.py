"""What a plan says of batch normalisation, and that it fails where freezing is not free."""

import dataclasses

import pytest

from jtransfer.config import Transfer
from jtransfer.errors import UserError
from jtransfer.experiments.inspect import plan
from jtransfer.experiments.inspect.plan_page import all_move, batch_norm_modes
from jtransfer.experiments.run.start import abstract_model
from jtransfer.transfer.plan import make_plan


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


def test_backward_work_for_what_is_frozen_fails(tiny_config, monkeypatch):
    monkeypatch.setattr(plan, 'frozen_backward', lambda step, variables: ['backbone/stem: dot', 'too much'])
    found = plan.plan_report(tiny_config())
    assert 'backward work for frozen parameters: backbone/stem: dot\n' in str(found)
    with pytest.raises(UserError, match=r'frozen parameters: backbone/stem: dot \(and 1 more\)'):
        found.check()


def test_a_phase_is_named_where_there_are_several(tiny_config, checkpoints):
    config = tiny_config(**{'transfer.strategy': 'lp_ft', 'model.checkpoint': checkpoints['vit']})
    found = plan.plan_report(config)
    assert found.backward == ((), ())
    assert not all_move(found.plan.at_phase(0))
    assert all_move(found.plan)
    with pytest.raises(UserError, match='frozen parameters in phase 1: backbone/norm'):
        dataclasses.replace(found, backward=((), ('backbone/norm: add',))).check()
