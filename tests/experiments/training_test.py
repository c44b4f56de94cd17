"""Training from parts: the best checkpoint by validation, the source model untouched, what is wrong said first."""

import shutil

import jax
import numpy as np
import pytest

from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.training import train_model
from jtransfer.pretrained.model import load_model
from jtransfer.transfer.plan import make_plan

pytestmark = pytest.mark.usefixtures('compile_once')


def test_the_best_state_by_validation_is_returned(tiny_config, checkpoints):
    config = tiny_config(**{'data.validation_fraction': 0.3, 'train.steps': 6, 'train.evaluate_every': 1})
    parts = load_parts(config.data, config.seed)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    before = jax.tree.map(np.array, model.variables)
    began = []
    plan = make_plan(model.network, model.variables['params'], config.transfer)
    trained = train_model(model, parts, plan, config, ready=lambda: began.append(True))
    scores = [line['validation/top1'] for line in trained.fit.history]
    assert began == [True]
    assert trained.fit.best_score == max(scores)
    assert trained.fit.chosen_step == 1 + scores.index(max(scores))
    assert trained.examples == len(parts.train)
    assert trained.skipped == ()
    jax.tree.map(np.testing.assert_array_equal, model.variables, before)


@pytest.mark.parametrize('placement', ['device', 'stream'])
def test_unreadable_images_are_found_before_the_first_step(tiny_config, checkpoints, photos, nowhere, placement):
    shutil.copytree(photos, 'mine')
    for name in ('ant/00.png', 'bee/01.png', 'cat/02.png'):
        (nowhere / 'mine' / name).write_bytes(b'cut off')
    settings = {'data.source': 'folder:mine', 'data.placement': placement, 'train.steps': 1}
    settings |= {'data.test_fraction': 0.0, 'data.validation_fraction': 0.5, 'data.batch_size': 16}
    config = tiny_config(**settings)
    parts = load_parts(config.data, config.seed)
    assert len(parts.train) == 18
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    plan = make_plan(model.network, model.variables['params'], config.transfer)
    began = []

    def train(config):
        return train_model(model, parts, plan, config, ready=lambda: began.append(True))

    with pytest.raises(UserError, match=r'mine/.*png is truncated or not an image'):
        train(config)
    config.data.skip_unreadable = True
    in_training = sum(name in ('ant/00.png', 'bee/01.png', 'cat/02.png') for name in parts.train.ids)
    config.data.batch_size = 24
    with pytest.raises(UserError, match=f'batch_size=24 is larger than the training part of {18 - in_training}'):
        train(config)
    assert not began
    config.data.batch_size = 8
    trained = train(config)
    assert began == [True]
    assert trained.examples == 18 - in_training
    assert sorted(trained.skipped) == ['ant/00.png', 'bee/01.png', 'cat/02.png']
    assert not [path for path in nowhere.iterdir() if path.name != 'mine']
