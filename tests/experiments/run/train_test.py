"""Training from parts: the best checkpoint by validation, the source model untouched, what is wrong said first."""

import shutil

import jax
import numpy as np
import pytest

from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.run.feed import feeds
from jtransfer.experiments.run.prepare import prepare
from jtransfer.experiments.run.train import train_model
from jtransfer.pretrained.model import load_model
from jtransfer.train.placement import make_placement

pytestmark = pytest.mark.usefixtures('compile_once')


def test_the_best_state_by_validation_is_returned(tiny_config, checkpoints):
    config = tiny_config(**{'data.validation_fraction': 0.3, 'train.steps': 6, 'train.evaluate_every': 1})
    parts = load_parts(config.data, config.seed)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    before = jax.tree.map(np.array, model.variables)
    began = []
    trained = train_model(prepare(config, parts, model=model), ready=lambda: began.append(True))
    scores = [line['validation/top1'] for line in trained.fit.history]
    assert began == [True]
    assert trained.fit.best_score == max(scores)
    equal = [line for line in trained.fit.history if line['validation/top1'] == max(scores)]
    chosen = min(equal, key=lambda line: line['validation/loss'])
    assert (trained.fit.chosen_step, trained.fit.best_loss) == (chosen['step'], chosen['validation/loss'])
    assert trained.examples == len(parts.train)
    assert trained.skipped == ()
    jax.tree.map(np.testing.assert_array_equal, model.variables, before)


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
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
    began = []

    def train(config):
        return train_model(prepare(config, parts, model=model), ready=lambda: began.append(True))

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


@pytest.mark.parametrize('placement', ['device', 'stream'])
@pytest.mark.parametrize(('crops', 'side'), [(True, 55), (False, 48)])
def test_feeds_hold_pictures_for_the_largest_size_and_every_image_so_often(
    tiny_config, checkpoints, placement, crops, side
):
    settings = {'augment.sizes': (48, 24), 'augment.repeats': 2, 'data.placement': placement}
    config = tiny_config(**settings, **({'augment.crop_scale': (0.5, 1.0)} if crops else {}))
    parts = load_parts(config.data, config.seed)
    preprocessing = load_model(checkpoints['resnet']).preprocessing
    assert preprocessing.image_size < 48
    count, make_feed, _ = feeds(parts.train, preprocessing, config, make_placement('jit', jax.devices()[:1]))
    batch = next(make_feed(2))
    assert count == len(parts.train)
    assert batch['inputs']['image'].shape == (8, side, side, 3)
    ids, epochs = np.asarray(batch['id']), np.asarray(batch['epoch'])
    np.testing.assert_array_equal(ids[::2], ids[1::2])
    assert len(set(ids.tolist())) == 4
    np.testing.assert_array_equal(epochs[::2] + 1, epochs[1::2])


def test_kept_and_streamed_pictures_train_alike_at_several_sizes(tiny_config, checkpoints):
    trained = []
    for placement in ('device', 'stream'):
        settings = {'augment.sizes': (16, 24), 'augment.size_schedule': 'progressive', 'augment.repeats': 3}
        config = tiny_config(**settings, **{'augment.crop_scale': (0.5, 1.0), 'data.placement': placement})
        parts = load_parts(config.data, config.seed)
        model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
        trained.append(train_model(prepare(config, parts, model=model)))
    assert [line['train/image_size'] for line in trained[0].fit.history] == [16, 16, 24, 24]
    jax.tree.map(np.testing.assert_array_equal, *(found.model.variables for found in trained))
    assert trained[0].model.preprocessing == model.preprocessing
