"""Features that were taken before are trained on as the images would be."""

import jax
import numpy as np
import pytest

import jtransfer as jt
from jtransfer.errors import UserError
from jtransfer.pretrained.checkpoint import save_model

SETTINGS = {
    **{'strategy': 'linear_probe', 'steps': 6, 'batch_size': 8, 'learning_rate': 0.1, 'progress': False},
    **{'test_fraction': 0.25, 'optim.name': 'sgd'},
}


@pytest.fixture(scope='module')
def model():
    return jt.load_model(architecture='resnet_tiny', class_names=('a', 'b', 'c'), head_init='normal')


@pytest.fixture(scope='module')
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)


LABELS = np.arange(40) % 3


@pytest.mark.parametrize(('stage', 'start'), [('stage1', 'stage2'), ('pooled', 'head')])
def test_a_probe_on_features_is_the_probe_on_images(model, images, stage, start, tmp_path):
    features = jt.extract_features(model, images, stage)[stage]
    entered = jt.enter_at(model, start)
    source = jt.ArraySource({'feature': features}, LABELS, ('a', 'b', 'c'))
    ours = jt.fit(entered, jt.load_data(source, test_fraction=0.25), **SETTINGS)
    theirs = jt.fit(
        model, jt.load_data(jt.ArraySource(images, LABELS, ('a', 'b', 'c')), test_fraction=0.25), **SETTINGS
    )
    heads = (trained.model.variables['params']['head'] for trained in (ours, theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5), *heads)
    assert 'stage1' not in ours.model.variables['params'].get('backbone', {})
    assert jt.predict(ours.model, features).shape == (40, 3)
    file = tmp_path / 'entered.safetensors'
    save_model(
        file,
        ours.model.variables,
        architecture='resnet_tiny',
        class_names=('a', 'b', 'c'),
        preprocessing=ours.model.preprocessing,
    )
    again = jt.load_model(file)
    assert again.preprocessing == entered.preprocessing
    np.testing.assert_array_equal(jt.predict(again, features), jt.predict(ours.model, features))


@pytest.mark.parametrize(
    ('start', 'message'),
    [('stem', "has no stage 'stem' to enter at"), ('stage3', "Did you mean 'stage2'"), ('', 'no stage')],
)
def test_there_must_be_something_before_and_behind(model, start, message):
    with pytest.raises(UserError, match=message):
        jt.enter_at(model, start)


def test_fields_need_a_row_an_example():
    with pytest.raises(UserError, match='a row for each example: 3 of a, 2 of b'):
        jt.ArraySource({'a': np.zeros(3), 'b': np.zeros(2)}, [0, 1, 0], ('x', 'y'))
    with pytest.raises(UserError, match='array: 2 rows of a, 3 labels and 2 ids do not match'):
        jt.ArraySource({'a': np.zeros(2)}, [0, 1, 0], ('x', 'y'))
    with pytest.raises(UserError, match="'id' is no field that a network reads"):
        jt.ArraySource({'id': np.zeros(2)}, [0, 1], ('x', 'y'))
