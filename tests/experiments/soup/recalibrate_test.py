"""Statistics taken anew against NumPy, a training step, and what they do to the accuracy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import rules
from jtransfer.data.part import Part
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.soup import recalibrate as statistics
from jtransfer.inputs.image_pixels import normalise
from jtransfer.pretrained.model import load_model
from tests.experiments.trees import assert_identical, differing

pytestmark = pytest.mark.usefixtures('compile_once')
MOMENTUM = 0.9
MODULES = (
    *(f'backbone/stage{stage}/block0/bn{number}' for stage in (1, 2) for number in (1, 2)),
    *('backbone/stage2/block0/downsample/bn', 'backbone/stem/bn'),
)


def statistics_of(model, images, frozen=()):
    """Mean and unbiased variance of every module for one batch: how far a training step moves statistics of zero."""
    zero = jax.tree.map(jnp.zeros_like, model.variables['batch_stats'])
    if frozen:
        own = rules.flatten(model.variables['batch_stats'])
        zero = rules.unflatten({p: own[p] if p.startswith(frozen) else leaf for p, leaf in rules.flatten(zero).items()})
    _, moved = jax.jit(
        lambda x: model.network.apply(
            {'params': model.variables['params'], 'batch_stats': zero}, x, train=True, frozen=frozen,
            mutable=['batch_stats'],
        )
    )(normalise(jnp.asarray(images), model.preprocessing))  # fmt: skip
    return {
        path: np.asarray(leaf, np.float64) / (1 - MOMENTUM)
        for path, leaf in rules.flatten(moved['batch_stats']).items()
    }


@pytest.fixture(scope='module')
def model(checkpoints, compile_once):
    """A tiny ResNet whose statistics are far from those of its images."""
    return load_model(checkpoints['resnet'], class_names=('a', 'b', 'c'), head_init='normal')


@pytest.fixture(scope='module')
def images(model):
    random = np.random.default_rng(0)
    side = model.preprocessing.image_size
    brightness = random.integers(0, 156, (24, 1, 1, 3))
    return (brightness + random.integers(0, 100, (24, side, side, 3))).astype(np.uint8)


def test_statistics_of_one_batch_are_those_of_a_training_step(model, images):
    ours = statistics.recalibrate_statistics(model, [{'image': images}])
    expected = statistics_of(model, images)
    assert expected.keys() == {f'{module}/{leaf}' for module in MODULES for leaf in ('mean', 'var')}
    for path, leaf in rules.flatten(ours['batch_stats']).items():
        assert leaf.dtype == np.float32
        np.testing.assert_allclose(leaf, expected[path], rtol=2e-4, atol=1e-5, err_msg=path)
    assert_identical(ours['params'], model.variables['params'])


@pytest.mark.parametrize('sizes', [(24,), (8, 8, 8), (7, 10, 5, 2)])
def test_the_first_statistics_are_numpys_over_all_images_however_they_are_divided(model, images, sizes):
    batches = [{'image': batch} for batch in np.split(images, np.cumsum(sizes)[:-1])]
    ours = statistics.recalibrate_statistics(model, batches)['batch_stats']['backbone']['stem']['bn']
    _, captured = model.network.apply(
        model.variables,
        normalise(jnp.asarray(images), model.preprocessing),
        capture_intermediates=lambda module, _: module.path == ('backbone', 'stem', 'conv'),
    )
    values = np.asarray(captured['intermediates']['backbone']['stem']['conv']['__call__'][0], np.float64)
    values = values.reshape(-1, values.shape[-1])
    assert len(values) > 24
    np.testing.assert_allclose(ours['mean'], values.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours['var'], values.var(0, ddof=1), rtol=1e-5)


def test_deeper_statistics_are_the_moments_of_all_batches_together(model, images):
    batches = np.split(images, 3)
    held = [{'image': batch} for batch in batches]
    ours = rules.flatten(statistics.recalibrate_statistics(model, held)['batch_stats'])
    each = [statistics_of(model, batch) for batch in batches]
    path = 'backbone/stage2/block0/bn2'
    means = np.stack([statistics[f'{path}/mean'] for statistics in each])
    variances = np.stack([statistics[f'{path}/var'] for statistics in each])
    np.testing.assert_allclose(ours[f'{path}/mean'], means.mean(0), rtol=1e-3, atol=1e-5)
    features = jax.eval_shape(
        lambda x: model.network.apply(model.variables, x, method='features'),
        normalise(jnp.asarray(batches[0]), model.preprocessing),
    )
    count = math.prod(features['stage2'].shape[:-1])
    total = (variances * (count - 1) / count).mean(0) + means.var(0)
    np.testing.assert_allclose(ours[f'{path}/var'], total * 3 * count / (3 * count - 1), rtol=1e-3)


def test_frozen_modules_keep_their_statistics_and_use_them(model, images):
    frozen = ('backbone/stem/bn', 'backbone/stage1')
    ours = statistics.recalibrate_statistics(model, [{'image': images}], frozen=frozen)
    moved = differing(ours['batch_stats'], model.variables['batch_stats'], 'backbone')
    assert moved == {f'{module}/{leaf}' for module in MODULES for leaf in ('mean', 'var') if 'stage2' in module}
    expected = statistics_of(model, images, frozen)
    free = statistics_of(model, images)
    for path in moved:
        np.testing.assert_allclose(rules.flatten(ours['batch_stats'])[path], expected[path], rtol=2e-4, atol=1e-5)
    path = 'backbone/stage2/block0/bn1/mean'
    assert not np.allclose(expected[path], free[path], rtol=0.1)


def test_wrong_statistics_no_longer_matter_and_the_accuracy_is_back(model, images):
    right = statistics.recalibrate_statistics(model, [{'image': images}])
    random = np.random.default_rng(1)
    wrong = {
        'params': model.variables['params'],
        'batch_stats': jax.tree.map(lambda x: x + random.uniform(1, 9, x.shape).astype(x.dtype), right['batch_stats']),
    }
    again = statistics.recalibrate_statistics(model, [{'image': images}], variables=wrong)
    assert_identical(again, right)
    forward = jax.jit(
        lambda variables: model.network.apply(variables, normalise(jnp.asarray(images), model.preprocessing))[
            ''
        ].argmax(-1)
    )
    labels = np.asarray(forward(right))
    assert len(set(labels.tolist())) > 1
    assert (np.asarray(forward(wrong)) == labels).mean() < 0.9
    assert (np.asarray(forward(again)) == labels).all()


def test_without_an_image_there_are_no_statistics(model):
    with pytest.raises(UserError, match='no images to take statistics over'):
        statistics.recalibrate_statistics(model, [])


def test_batches_have_every_image_once_and_mix_the_classes(model, tiny_config):
    config = tiny_config(**{'data.placement': 'device'})
    pixels = np.repeat(np.arange(22, dtype=np.uint8), 16 * 16 * 3).reshape(22, 16, 16, 3)
    part = Part(ArraySource(pixels, [0] * 11 + [1] * 11, ('a', 'b')), np.arange(22))
    decoded = read_examples(part, model.preprocessing, config)
    streamed = read_examples(part, model.preprocessing, tiny_config(**{'data.placement': 'stream'}))
    batches = [batch['image'] for batch in statistics.mixed_batches(decoded, 8, seed=0)]
    assert [len(batch) for batch in batches] == [8, 7, 7]
    numbers = [batch[:, 0, 0, 0] for batch in batches]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(22))
    assert all(0 < (number < 11).sum() < len(number) for number in numbers)
    for one, other in zip(batches, statistics.mixed_batches(streamed, 8, seed=0), strict=True):
        np.testing.assert_array_equal(one, other['image'])
