"""Settings of the transfer: what is refused, in one line that says what would be right."""

import pytest

from jtransfer.config import Data, Model
from jtransfer.config.experiment import check_start, check_waiting
from jtransfer.config.transfer import ADAPTATIONS, STRATEGIES, Adapters, Transfer
from jtransfer.errors import UserError


@pytest.mark.parametrize('strategy', STRATEGIES)
def test_every_strategy_is_valid_with_pretrained_weights_and_only_scratch_without(strategy):
    transfer = Transfer(strategy, blocks=('stage1',) if strategy == 'surgical' else ())
    transfer.check('transfer.')
    check_start(Model(checkpoint='a'), transfer)
    if strategy != 'scratch':
        with pytest.raises(UserError, match=rf'strategy={strategy} needs pretrained weights: set model\.checkpoint'):
            check_start(Model(name='resnet18'), transfer)


@pytest.mark.parametrize(
    ('transfer', 'message'),
    [
        (Transfer('lor'), "Did you mean 'lora'"),
        (Transfer(layer_decay=1.5), 'layer_decay=1.5 must be at most 1'),
        (Transfer(layer_decay=0.0), 'layer_decay=0.0 must be above 0'),
        (Transfer(first_phase=1.0), 'first_phase=1.0 must be at least 0 and below 1'),
        (Transfer(l2_sp=-1.0), 'l2_sp=-1.0 must be at least 0'),
        (Transfer(unfreeze_patience=0), 'unfreeze_patience=0 must be at least 1'),
        (Transfer(batch_norm='freeze'), 'batch_norm=.* is not one of follow, evaluate, train'),
        (Transfer(frozen_dtype='float16'), 'is not one of float32, bfloat16'),
        (Transfer(stage_learning_rates=(('stem', 0.0),)), "the factor of 'stem'=0.0 must be above 0"),
        (Transfer('surgical'), 'needs transfer.blocks'),
        (Transfer(blocks=('stage1',)), 'transfer.blocks is for transfer.strategy=surgical, not fine_tune'),
        (Transfer(distill=1.0, distill_features=()), 'needs transfer.distill_features'),
    ],
)
def test_what_cannot_be_is_refused(transfer, message):
    with pytest.raises(UserError, match=message):
        transfer.check('transfer.')


def test_settings_for_pretrained_weights_are_no_error_from_scratch_so_that_strategies_compare():
    settings = {'distill': 1.0, 'l2_sp': 0.1, 'decay_to_source': 0.1, 'freeze_until': 'stage1', 'layer_decay': 0.5}
    transfer = Transfer('scratch', **settings)
    transfer.check('transfer.')
    check_start(Model(name='resnet18'), transfer)


def test_gradual_waits_for_validation_unless_it_counts_steps():
    with pytest.raises(UserError, match=r'set data\.validation_fraction, or transfer\.unfreeze_every'):
        check_waiting(Transfer('gradual'), Data())
    check_waiting(Transfer('gradual', unfreeze_every=5), Data())
    check_waiting(Transfer('gradual'), Data(validation_fraction=0.1))
    check_waiting(Transfer('gradual'), Data('folder:photos'))  # which may have a part of its own


@pytest.mark.parametrize(
    ('adapters', 'message'),
    [
        (Adapters(lora_rank=0), 'lora_rank=0 must be at least 1'),
        (Adapters(lora_alpha=-1.0), 'lora_alpha=-1.0 must be at least 0'),
        (Adapters(adapter_scale=0.0), 'adapter_scale=0.0 must be above 0'),
        (Adapters(adapter_kind='paralel'), "Did you mean 'parallel'"),
        (Adapters(prompt_kind='wide'), 'is not one of shallow, deep'),
    ],
)
def test_adapters_that_cannot_be_are_refused(adapters, message):
    Adapters().check('adapters.')
    assert set(ADAPTATIONS) < set(STRATEGIES)
    with pytest.raises(UserError, match=message):
        adapters.check('adapters.')
