"""Which augmentation a kind of input has, and that labels move as the inputs do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.augment import kinds, matrices
from jtransfer.augment.geometry import transform_points
from jtransfer.augment.keys import example_keys
from jtransfer.augment.kinds import add_augment, make_input_augment
from jtransfer.augment.pipeline import make_augment
from jtransfer.config.augment import Augment
from jtransfer.errors import UserError
from jtransfer.inputs.feature import FeaturePreprocessor
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.tasks import base, single_label
from jtransfer.tasks.base import Task
from jtransfer.tasks.regression import Regression

IMAGES = ImagePreprocessor(8)
FEATURES = FeaturePreprocessor((4,), 'stage2')


def batch():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 8, 8, 3), np.uint8)
    keys = example_keys(0, jnp.zeros(6, jnp.int32), jnp.arange(6, dtype=jnp.int32))
    return keys, {'image': jnp.asarray(images), 'aspect': jnp.ones(6)}


@pytest.fixture(scope='module')
def place():
    """A task whose labels are a place in the image, in shares of its sides; in pixels after augmentation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, '_CLASSES', dict(base._CLASSES))

        class Place(Regression, kind='place'):
            def moved(self, labels, geometry, shown):
                return transform_points(matrices.inverse(geometry), labels[:, None])[:, 0]

        yield Task('place', 'place', ('x', 'y'))


@pytest.mark.parametrize(
    ('augment', 'expected'),
    [
        (Augment(), lambda x, y: (8 * x, 8 * y)),
        (Augment(horizontal_flip=1.0), lambda x, y: (8 - 8 * x, 8 * y)),
        (Augment(vertical_flip=1.0), lambda x, y: (8 * x, 8 - 8 * y)),
    ],
)
def test_geometry_reaches_what_a_task_makes_of_it(place, augment, expected):
    keys, inputs = batch()
    places = np.random.default_rng(1).random((6, 2)).astype(np.float32)
    labels = {'place': jnp.asarray(places), 'kind': jnp.arange(6)}
    function = make_input_augment(augment, IMAGES, [place, single_label(tuple('abcdef'), 'kind')])
    changed, moved = function(keys, inputs, labels)
    np.testing.assert_allclose(moved['place'], np.stack(expected(*places.T), axis=1), atol=1e-5)
    np.testing.assert_array_equal(moved['kind'], np.arange(6))
    assert changed.keys() == {'image'}
    plain = make_augment(augment, IMAGES)(keys, inputs['image'], None, inputs['aspect']).images
    np.testing.assert_array_equal(changed['image'], plain)


def test_other_kinds_stay_as_they_are_and_have_no_operations():
    held = {'feature': jnp.ones((6, 4))}
    changed, labels = make_input_augment(Augment(), FEATURES, [])(batch()[0], held, {'': jnp.arange(6)})
    jax.tree.map(np.testing.assert_array_equal, (changed, labels), (held, {'': jnp.arange(6)}))
    for augment in (Augment(brightness=0.1), Augment(operations=('mixup',))):
        with pytest.raises(UserError, match=r'augment: \w+ is for images, and this network reads feature 4: leave'):
            make_input_augment(augment, FEATURES, [])


def test_a_kind_from_outside_has_one_of_its_own(monkeypatch):
    monkeypatch.setattr(kinds, '_KINDS', dict(kinds._KINDS))

    def make(augment, preprocessing, tasks, axis_name):
        return lambda keys, inputs, labels: ({'feature': -inputs['feature']}, labels)

    add_augment('feature', make)
    changed, _ = make_input_augment(Augment(), FEATURES, [])(None, {'feature': jnp.ones(3)}, {})
    np.testing.assert_array_equal(changed['feature'], -np.ones(3))
    add_augment('feature', make)
    with pytest.raises(UserError, match="inputs of kind 'image' have an augmentation already"):
        add_augment('image', make)
