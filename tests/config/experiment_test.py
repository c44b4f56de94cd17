"""The configuration: typed, validated, with the nearest name for a misspelt one."""

import dataclasses
import json

import pytest

from jtransfer import config as config_lib
from jtransfer.config import Config, Data, Model, Optim, Train, Transfer
from jtransfer.errors import UserError


def good(**changes) -> Config:
    return dataclasses.replace(
        Config(model=Model(checkpoint='jtransfer/resnet_glyphs'), train=Train(epochs=1)), **changes
    )


def test_a_good_configuration_passes_with_its_values():
    config = good(optim=Optim(learning_rate=1), seed=0)
    checked = config_lib.validate(config)
    assert checked.optim.learning_rate == 1.0
    assert isinstance(checked.optim.learning_rate, float)
    assert checked.seed == 0


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'optim': Optim(learning_rate=0)}, 'optim.learning_rate=0.0 must be above 0'),
        ({'optim': Optim(learning_rate=-1.0)}, 'must be above 0'),
        ({'optim': Optim(learning_rate=float('nan'))}, 'must be above 0'),
        ({'optim': Optim(learning_rate='x')}, "optim.learning_rate='x' is not of type float"),
        ({'optim': Optim(name='adam')}, "Did you mean 'adamw'"),
        ({'optim': Optim(accumulate_steps=3)}, 'does not divide data.batch_size=32'),
        ({'transfer': Transfer(strategy='linear_prob')}, "Did you mean 'linear_probe'"),
        ({'transfer': Transfer(backbone_learning_rate_scale=0.0)}, 'must be above 0'),
        ({'model': Model(name='resnet18')}, 'fine_tune needs pretrained weights'),
        ({'model': Model()}, 'both empty'),
        ({'train': Train()}, 'exactly one of train.epochs and train.steps'),
        ({'train': Train(epochs=1, steps=1)}, 'exactly one of train.epochs and train.steps'),
        ({'data': Data(batch_size=0)}, 'data.batch_size=0 must be at least 1'),
        ({'data': Data(test_fraction=0.6, validation_fraction=0.5)}, 'must leave examples'),
        ({'data': Data(placement='gpu')}, 'not one of auto, device, host, stream'),
        ({'augment': config_lib.Augment(crop_scale=(0.5, 1.5))}, 'must not go above 1'),
        ({'augment': config_lib.Augment(hue=0.7)}, 'between 0 and 0.5'),
        ({'seed': -1}, 'seed=-1 must be at least 0'),
        ({'seed': True}, 'seed=True is not of type int'),
    ],
)
def test_each_mistake_is_one_clear_line(changes, message):
    with pytest.raises(UserError, match=message) as raised:
        config_lib.validate(good(**changes))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('field', 'hint'),
    [
        ('optim.learning_rat', 'optim.learning_rate'),
        ('optim.lr', 'optim.learning_rate'),
        ('learning_rate', 'optim.learning_rate'),
        ('learning_rat', 'optim.learning_rate'),
        ('lr', 'optim.learning_rate'),
        ('train.wd', 'optim.weight_decay'),
        ('optm.learning_rate', 'optim.learning_rate'),
        ('data.batch', 'data.batch_size'),
        ('sed', 'seed'),
    ],
)
def test_an_unknown_field_names_the_nearest(field, hint):
    with pytest.raises(UserError, match=f"no field '{field}'.*'{hint}'"):
        config_lib.replace(good(), field, 1)


def test_replace_parses_text_by_type():
    config = config_lib.replace(good(), 'optim.learning_rate', '3e-4')
    assert config.optim.learning_rate == 3e-4
    assert config_lib.replace(config, 'transfer.strategy', 'scratch').transfer.strategy == 'scratch'
    assert config_lib.replace(config, 'data.split_seed', '3').data.split_seed == 3
    assert config_lib.replace(config, 'augment.crop_scale', '(0.5,1)').augment.crop_scale == (0.5, 1.0)
    assert config_lib.replace(config, 'train.progress', 'false').train.progress is False
    with pytest.raises(UserError, match=r'optim\.learning_rate'):
        config_lib.replace(config, 'optim.learning_rate', 'fast')


def test_the_data_are_divided_by_a_seed_of_their_own_or_that_of_the_run():
    assert good(seed=3).split_seed == 3
    assert good(seed=3, data=Data(split_seed=0)).split_seed == 0


def test_json_round_trip():
    config = good(transfer=Transfer(rules=(('head/.*', 'train'),)), data=Data(split_seed=0))
    assert config_lib.from_dict(json.loads(json.dumps(config_lib.to_dict(config)))) == config


def test_from_dict_refuses_an_unknown_field():
    with pytest.raises(UserError, match=r"no field 'optim\.learning_rte'.*learning_rate"):
        config_lib.from_dict({'optim': {'learning_rte': 1.0}})
