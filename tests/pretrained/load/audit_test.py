"""Every stored tensor finds its place or is named; nothing is filled in silence."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.load import audit


def _fit(architecture, size, was=None):
    """As `load_model` has a network of square images fit what is stored."""
    network = models.create(architecture, num_classes=4)
    now = ImagePreprocessor(size, (0.5,) * 3, (0.5,) * 3)

    def fit(path, stored, shape):
        if not path.startswith(audit.BACKBONE):
            return audit.same_shape(path, stored, shape)
        return network.backbone.fit(path.removeprefix(audit.BACKBONE), stored, shape, was, now)

    return fit


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
    variables, report = audit.load_into(target, stored, source='w')
    assert jax.tree.structure(variables) == jax.tree.structure(target)
    jax.tree.map(np.testing.assert_array_equal, variables, stored)
    assert report.loaded == tuple(sorted(_flat(target)))
    assert report.resized == report.re_initialised == report.ignored == ()


@pytest.mark.parametrize('dtype', [np.float16, jnp.bfloat16, np.float64])
def test_values_arrive_in_float32(dtype):
    stored = _stored('resnet_tiny', dtype=dtype)
    variables, _ = audit.load_into(_shapes('resnet_tiny'), stored, source='w')
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(np.float32)), variables, stored)


def test_a_new_head_replaces_the_stored_one_and_is_said():
    stored, target = _stored('resnet_tiny', classes=4), _shapes('resnet_tiny', classes=7)
    width = target['params']['head']['kernel'].shape[0]
    fresh = {'params': {'head': {'kernel': jnp.full((width, 7), 0.5), 'bias': jnp.zeros(7)}}}
    variables, report = audit.load_into(
        target, stored, source='w.safetensors', fresh=_flat(fresh), make_fresh=lambda: fresh
    )
    jax.tree.map(np.testing.assert_array_equal, variables['params']['head'], fresh['params']['head'])
    np.testing.assert_array_equal(
        variables['params']['backbone']['stem']['conv']['kernel'],
        stored['params']['backbone']['stem']['conv']['kernel'],
    )
    assert report.re_initialised == report.ignored == ('params/head/bias', 'params/head/kernel')
    assert not set(report.loaded) & set(report.re_initialised)
    summary = report.summary()
    assert '\n' not in summary
    assert f'loaded {len(_flat(target)) - 2} tensors from w.safetensors' in summary
    assert 're-initialised the head, 7 outputs (the stored head, 4 outputs, is ignored)' in summary


def test_a_head_of_the_same_size_is_replaced_too_when_asked():
    stored, target = _stored('vit_tiny_test'), _shapes('vit_tiny_test')
    fresh = {'params': {'head': jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), target['params']['head'])}}
    variables, _ = audit.load_into(target, stored, source='w', fresh=_flat(fresh), make_fresh=lambda: fresh)
    assert not np.any(variables['params']['head']['kernel'])


def test_the_stored_head_must_fit_when_it_is_kept():
    with pytest.raises(UserError, match=r'params/head/bias is \(4,\), needed \(7,\)'):
        audit.load_into(_shapes('resnet_tiny', classes=7), _stored('resnet_tiny'), source='w')


def test_missing_and_unexpected_tensors_are_listed_with_the_nearest_name():
    stored = _stored('resnet_tiny')
    stem = stored['params']['backbone']['stem']
    stem['convolution'] = stem.pop('conv')
    with pytest.raises(UserError) as caught:
        audit.load_into(_shapes('resnet_tiny'), stored, source='w.safetensors')
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
        audit.load_into(_shapes('resnet_tiny'), stored, source='w')


def test_another_architecture_is_refused():
    with pytest.raises(UserError, match='missing'):
        audit.load_into(_shapes('resnet_tiny'), _stored('vit_tiny_test'), source='w')


def test_another_shape_outside_the_head_is_refused():
    stored = _stored('resnet_tiny')
    conv = stored['params']['backbone']['stem']['conv']
    conv['kernel'] = np.zeros((*conv['kernel'].shape[:3], 99), np.float32)
    with pytest.raises(UserError, match=r'of another shape \(1\): params/backbone/stem/conv/kernel is .*99'):
        audit.load_into(_shapes('resnet_tiny'), stored, source='w')


def test_position_embeddings_at_another_resolution_are_resized_and_said():
    stored = _stored('vit_tiny_test', size=16)
    path = 'params/backbone/embed/pos_embed'
    variables, report = audit.load_into(
        _shapes('vit_tiny_test', size=32), stored, source='w', fit=_fit('vit_tiny_test', 32)
    )
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
    """Four tokens are three patches and one prefix token, never four patches."""
    target, stored = _shapes('vit_tiny_test', size=32), _stored('vit_tiny_test')
    stored['params']['backbone']['embed']['pos_embed'] = np.zeros((1, 4, 16), np.float32)
    with pytest.raises(UserError, match=r'pos_embed is \(1, 4, 16\)'):
        audit.load_into(target, stored, source='w', fit=_fit('vit_tiny_test', 32))


def test_as_many_patches_on_another_grid_are_resized_too():
    stored, target = _stored('vit_tiny_test', size=32), _shapes('vit_tiny_test', size=32)
    path = 'params/backbone/embed/pos_embed'
    was = ImagePreprocessor(16, (0.5,) * 3, (0.5,) * 3, image_width=64)
    variables, report = audit.load_into(target, stored, source='w', fit=_fit('vit_tiny_test', 32, was))
    assert report.resized == (path,)
    assert np.abs(_flat(variables)[path] - _flat(stored)[path]).max() > 0.1


@pytest.mark.parametrize('channels', [1, 2, 4, 6])
def test_another_number_of_image_channels_is_fitted_and_said(channels):
    stored = _stored('resnet_tiny')
    path = 'params/backbone/stem/conv/kernel'
    network = models.create('resnet_tiny', num_classes=4)
    target = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, channels)))
    variables, report = audit.load_into(target, stored, source='w', fit=_fit('resnet_tiny', 16))
    assert report.resized == (path,)
    before, after = _flat(stored)[path], _flat(variables)[path]
    assert after.shape[2] == channels
    if channels == 1:
        np.testing.assert_allclose(after[:, :, 0], before.sum(2), atol=1e-6)
    else:
        expected = [before[:, :, index % 3] * 3 / channels for index in range(channels)]
        np.testing.assert_allclose(after, np.stack(expected, 2), rtol=1e-6)
    with pytest.raises(UserError, match='of another shape'):
        audit.load_into(target, stored, source='w')


def test_the_stored_head_is_dropped_where_the_network_has_none():
    target = {**_shapes('resnet_tiny')}
    target['params'] = {'backbone': target['params']['backbone']}
    variables, report = audit.load_into(target, _stored('resnet_tiny'), source='w')
    assert set(variables['params']) == {'backbone'}
    assert report.ignored == ('params/head/bias', 'params/head/kernel')
    assert 'ignored the stored head, 4 outputs' in report.summary()


def test_the_table_has_a_line_per_tensor():
    stored, target = _stored('resnet_tiny', classes=4), _shapes('resnet_tiny', classes=7)
    fresh = {'params': {'head': jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), target['params']['head'])}}
    _, report = audit.load_into(target, stored, source='w', fresh=_flat(fresh), make_fresh=lambda: fresh)
    lines = report.table().splitlines()
    assert len(lines) == len(_flat(target)) + 2
    assert any(line.startswith('loaded') and 'backbone/stem/conv/kernel' in line for line in lines)
    assert any(line.startswith('re-initialised') and 'params/head/bias' in line and '(7,)' in line for line in lines)
    assert any(line.startswith('ignored') and 'params/head/bias' in line and 'stored (4,)' in line for line in lines)


def test_random_weights_are_reported_as_such():
    report = audit.random_report(_stored('resnet_tiny'))
    assert report.loaded == ()
    assert report.re_initialised == tuple(sorted(_flat(_stored('resnet_tiny'))))
    assert report.summary() == f'random weights: all {len(report.re_initialised)} tensors initialised'


def test_more_blocks_than_tensors_are_refused_before_they_are_traced():
    tensors = {'a': np.zeros(3), 'b': np.zeros(2)}
    audit.check_blocks('w', 2, tensors)
    with pytest.raises(UserError, match='w: its 2 tensors cannot be those of a network of 3 blocks'):
        audit.check_blocks('w', 3, tensors)
    # One that is scanned has those of several blocks.
    audit.check_blocks('w', 12, {'Transformer/encoderblock/norm/scale': np.zeros((12, 4))})


def test_a_new_head_is_made_after_all_else_fits():
    stored, target = _stored('resnet_tiny'), _shapes('resnet_tiny', classes=7)
    stored['params']['backbone']['stem']['conv']['kernel'] = np.zeros((1, 1, 1, 1), np.float32)
    fresh = [path for path in _flat(target) if '/head/' in path]
    with pytest.raises(UserError, match='tensors of another shape'):
        audit.load_into(target, stored, source='w', fresh=fresh, make_fresh=lambda: pytest.fail('made'))
