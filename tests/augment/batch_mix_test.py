"""Mixing in a batch: with all of it whatever it is spread over, labels with the area, the unlabelled left alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jtransfer.augment.batch_mix import make_batch_mix
from jtransfer.augment.keys import example_keys
from jtransfer.config.operations import parse_operation

COUNT = 16
IMAGES = jnp.broadcast_to(jnp.arange(COUNT, dtype=jnp.float32)[:, None, None, None], (COUNT, 12, 10, 3)) * 10
LABELS = jnp.arange(COUNT, dtype=jnp.int32) % 5
KEYS = example_keys(3, jnp.zeros(COUNT, jnp.int32), jnp.arange(COUNT, dtype=jnp.int32))
MODES = ['batch', 'pair', 'element']


def _mix(text, outputs=5, axis_name=None):
    """The function that mixes; of one task alone, whose number of classes is given, with its labels as an array."""
    if isinstance(outputs, dict):
        return make_batch_mix(parse_operation(text), outputs, axis_name)
    mix = make_batch_mix(parse_operation(text), {'': outputs}, axis_name)

    def of_one(keys, images, labels):
        images, mixed = mix(keys, images, None if labels is None else {'': labels})
        return images, mixed['']

    return of_one


@pytest.mark.parametrize('mode', MODES)
def test_devices_mix_with_images_of_all_devices(mode):
    """Under pmap, under jit over a mesh, and on one device the pictures and labels are the same."""
    text = f'mixup_or_cutmix(mode={mode})'
    whole = _mix(text)(KEYS, IMAGES, LABELS)
    assert not np.allclose(whole[0], IMAGES)

    def split(leaf):
        return leaf.reshape(8, 2, *leaf.shape[1:])

    mapped = jax.pmap(_mix(text, axis_name='data'), axis_name='data')(split(KEYS), split(IMAGES), split(LABELS))
    sharding = NamedSharding(Mesh(np.array(jax.devices()), ('data',)), PartitionSpec('data'))
    sharded = jax.jit(_mix(text))(*jax.device_put((KEYS, IMAGES, LABELS), sharding))
    for images, labels in ((mapped[0].reshape(IMAGES.shape), mapped[1].reshape(COUNT, 5)), sharded):
        np.testing.assert_allclose(images, whole[0], atol=1e-3)
        np.testing.assert_allclose(labels, whole[1], atol=1e-6)


@pytest.mark.parametrize('mode', MODES)
def test_labels_have_the_shares_of_the_pixels(mode):
    """Every image is one grey value, so that its label can be read off its pixels."""
    images, labels = _mix(f'cutmix(mode={mode})', outputs=COUNT)(KEYS, IMAGES, jnp.arange(COUNT, dtype=jnp.int32))
    for image, label in zip(np.asarray(images), np.asarray(labels), strict=True):
        values, counts = np.unique(image[..., 0], return_counts=True)
        expected = np.zeros(COUNT)
        expected[np.rint(values / 10).astype(int)] = counts / counts.sum()
        np.testing.assert_allclose(label, expected, atol=1e-6)


def test_mixup_mixes_values_and_labels_alike():
    images, labels = _mix('mixup(mode=element)', outputs=COUNT)(KEYS, IMAGES, jnp.arange(COUNT, dtype=jnp.int32))
    np.testing.assert_allclose(images[:, 0, 0, 0], labels @ (10.0 * jnp.arange(COUNT)), rtol=1e-4)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


def test_images_without_a_label_take_no_part():
    labels = LABELS.at[jnp.array([1, 6, 7])].set(-1)
    images, mixed = _mix('mixup(mode=element)')(KEYS, IMAGES, labels)
    for index in (1, 6, 7):
        np.testing.assert_array_equal(images[index], IMAGES[index])
        assert np.isnan(mixed[index]).all()
    known = np.asarray(labels) >= 0
    assert np.isfinite(np.asarray(mixed)[known]).all()
    np.testing.assert_allclose(np.asarray(mixed)[known].sum(axis=1), 1, atol=1e-6)


def test_several_tasks_are_mixed_alike_and_each_keeps_its_unknown_labels():
    numbers = jnp.stack([jnp.arange(COUNT, dtype=jnp.float32), jnp.ones(COUNT)], axis=1)
    labels = {'kind': LABELS.at[0].set(-1), 'age': numbers, 'unused': LABELS}
    images, mixed = _mix('mixup(mode=element)', outputs={'kind': 5, 'age': 2})(KEYS, IMAGES, labels)
    assert set(mixed) == {'kind', 'age'}
    np.testing.assert_allclose(mixed['age'][:, 0], images[:, 0, 0, 0] / 10, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mixed['age'][:, 1], 1, rtol=1e-5)
    unknown = np.isnan(np.asarray(mixed['kind'])).any(axis=1)
    assert unknown[0]
    assert unknown.sum() == 2  # and its partner


def test_soft_labels_stay_distributions():
    soft = jax.nn.softmax(jax.random.normal(jax.random.key(0), (COUNT, 5)))
    _, mixed = _mix('mixup_or_cutmix(mode=pair)')(KEYS, IMAGES, soft)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)


def test_labels_are_needed():
    with pytest.raises(ValueError, match='must say how many classes'):
        _mix('mixup', outputs=0)
    with pytest.raises(ValueError, match='mixup mixes labels: give them'):
        _mix('mixup')(KEYS, IMAGES, None)
