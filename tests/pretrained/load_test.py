"""Every stored tensor finds its place or is named; nothing is filled in silence."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.pretrained import load


def _shapes(architecture, classes=4, size=16):
    network = models.create(architecture, num_classes=classes, image_size=size)
    return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


def _stored(architecture, classes=4, size=16, dtype=np.float32):
    """Random values of the shapes, as numpy arrays."""
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(dtype), _shapes(architecture, classes, size))


def _flat(variables):
    return traverse_util.flatten_dict(variables, sep='/')


@pytest.mark.parametrize('architecture', ['resnet_tiny', 'vit_tiny_test'])
def test_everything_is_loaded_bit_for_bit(architecture):
    stored = _stored(architecture)
    target = _shapes(architecture)
    variables, report = load.load_into(target, stored, source='w')
    assert jax.tree.structure(variables) == jax.tree.structure(target)
    jax.tree.map(np.testing.assert_array_equal, variables, stored)
    assert report.loaded == tuple(sorted(_flat(target)))
    assert report.resized == report.re_initialised == report.ignored == ()


@pytest.mark.parametrize('dtype', [np.float16, jnp.bfloat16, np.float64])
def test_values_arrive_in_float32(dtype):
    stored = _stored('resnet_tiny', dtype=dtype)
    variables, _ = load.load_into(_shapes('resnet_tiny'), stored, source='w')
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(np.float32)), variables, stored)


def test_a_new_head_replaces_the_stored_one_and_is_said():
    stored, target = _stored('resnet_tiny', classes=4), _shapes('resnet_tiny', classes=7)
    width = target['params']['head']['kernel'].shape[0]
    fresh = {'kernel': jnp.full((width, 7), 0.5), 'bias': jnp.zeros(7)}
    variables, report = load.load_into(target, stored, source='w.safetensors', fresh_head=fresh)
    jax.tree.map(np.testing.assert_array_equal, variables['params']['head'], fresh)
    np.testing.assert_array_equal(
        variables['params']['backbone']['stem']['conv']['kernel'],
        stored['params']['backbone']['stem']['conv']['kernel'],
    )
    assert report.re_initialised == report.ignored == ('params/head/bias', 'params/head/kernel')
    assert not set(report.loaded) & set(report.re_initialised)
    summary = report.summary()
    assert '\n' not in summary
    assert f'loaded {len(_flat(target)) - 2} tensors from w.safetensors' in summary
    assert 're-initialised the head, 7 classes (the stored head, 4 classes, is ignored)' in summary


def test_a_head_of_the_same_size_is_replaced_too_when_asked():
    stored, target = _stored('vit_tiny_test'), _shapes('vit_tiny_test')
    fresh = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), target['params']['head'])
    variables, _ = load.load_into(target, stored, source='w', fresh_head=fresh)
    assert not np.any(variables['params']['head']['kernel'])


def test_the_stored_head_must_fit_when_it_is_kept():
    with pytest.raises(UserError, match=r'params/head/bias is \(4,\), needed \(7,\)'):
        load.load_into(_shapes('resnet_tiny', classes=7), _stored('resnet_tiny'), source='w')


def test_missing_and_unexpected_tensors_are_listed_with_the_nearest_name():
    stored = _stored('resnet_tiny')
    stem = stored['params']['backbone']['stem']
    stem['convolution'] = stem.pop('conv')
    with pytest.raises(UserError) as caught:
        load.load_into(_shapes('resnet_tiny'), stored, source='w.safetensors')
    message = str(caught.value)
    assert message.startswith('w.safetensors: its tensors are not those of the network: missing (1): ')
    assert (
        'params/backbone/stem/conv/kernel (nearest to the first in the file: params/backbone/stem/convolution/kernel)'
        in message
    )
    assert 'unexpected (1): params/backbone/stem/convolution/kernel' in message
    assert '\n' not in message


@pytest.mark.parametrize('collection', ['params', 'batch_stats'])
def test_a_partial_file_is_never_enough(collection):
    stored = copy.deepcopy(_stored('resnet_tiny'))
    del stored[collection]['backbone']['stage1']
    with pytest.raises(UserError, match=r'missing \(\d+\): .*, … \d+ more' if collection == 'params' else 'missing'):
        load.load_into(_shapes('resnet_tiny'), stored, source='w')


def test_another_architecture_is_refused():
    with pytest.raises(UserError, match='missing'):
        load.load_into(_shapes('resnet_tiny'), _stored('vit_tiny_test'), source='w')


def test_another_shape_outside_the_head_is_refused():
    stored = _stored('resnet_tiny')
    conv = stored['params']['backbone']['stem']['conv']
    conv['kernel'] = np.zeros((*conv['kernel'].shape[:3], 99), np.float32)
    with pytest.raises(UserError, match=r'of another shape \(1\): params/backbone/stem/conv/kernel is .*99'):
        load.load_into(_shapes('resnet_tiny'), stored, source='w')


def test_position_embeddings_at_another_resolution_are_resized_and_said():
    stored = _stored('vit_tiny_test', size=16)
    path = 'params/backbone/embed/pos_embed'
    variables, report = load.load_into(_shapes('vit_tiny_test', size=32), stored, source='w', prefix_tokens=1)
    before, after = _flat(stored)[path], np.asarray(_flat(variables)[path])
    assert (before.shape, after.shape) == ((1, 5, 16), (1, 17, 16))
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    expected = jax.image.resize(before[0, 1:].reshape(2, 2, 16), (4, 4, 16), 'bicubic', antialias=True)
    np.testing.assert_allclose(after[0, 1:].reshape(4, 4, 16), expected, atol=1e-5)
    assert report.resized == (path,)
    assert path not in report.loaded
    assert f'resized {path} (1, 5, 16) → (1, 17, 16)' in report.summary()
    assert 'stored (1, 5, 16)' in report.table()


def test_position_embeddings_that_fit_no_square_grid_are_refused():
    """Five tokens are four patches and one prefix token, never five patches."""
    with pytest.raises(UserError, match=r'pos_embed is \(1, 5, 16\)'):
        load.load_into(_shapes('vit_tiny_test', size=32), _stored('vit_tiny_test'), source='w', prefix_tokens=0)


def test_resizing_to_the_same_grid_changes_nothing_and_grids_may_be_rectangular():
    embeddings = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2 + 6, 3)), jnp.float32)
    np.testing.assert_allclose(load.resize_positions(embeddings, 2, (2, 3), (2, 3)), embeddings, atol=1e-6)
    # Rows that hold the same values along one side still do after that side grows.
    column = jnp.tile(jnp.arange(3.0)[:, None, None], (1, 2, 5)).reshape(1, 6, 5)
    wide = load.resize_positions(column, 0, (3, 2), (3, 8)).reshape(3, 8, 5)
    np.testing.assert_allclose(wide, jnp.tile(jnp.arange(3.0)[:, None, None], (1, 8, 5)), atol=1e-5)


def test_the_table_has_a_line_per_tensor():
    stored, target = _stored('resnet_tiny', classes=4), _shapes('resnet_tiny', classes=7)
    fresh = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), target['params']['head'])
    _, report = load.load_into(target, stored, source='w', fresh_head=fresh)
    lines = report.table().splitlines()
    assert len(lines) == len(_flat(target)) + 2
    assert any(line.startswith('loaded') and 'backbone/stem/conv/kernel' in line for line in lines)
    assert any(line.startswith('re-initialised') and 'params/head/bias' in line and '(7,)' in line for line in lines)
    assert any(line.startswith('ignored') and 'params/head/bias' in line and 'stored (4,)' in line for line in lines)


def test_random_weights_are_reported_as_such():
    report = load.random_report(_stored('resnet_tiny'))
    assert report.loaded == ()
    assert report.re_initialised == tuple(sorted(_flat(_stored('resnet_tiny'))))
    assert report.summary() == f'random weights: all {len(report.re_initialised)} tensors initialised'
