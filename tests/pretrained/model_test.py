"""From a name to a working network: what is kept, what is new, and what is refused."""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jtransfer import adapters
from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.export import export_model, export_names
from jtransfer.pretrained.model import load_model, merge_model

NAMES = ('ape', 'bee', 'cat')
PREPROCESSING = ImagePreprocessor(16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 'bilinear', 0.875)
ARCHITECTURES = ('resnet_tiny', 'vit_tiny_test')


@pytest.fixture(scope='module', params=ARCHITECTURES)
def saved(request, tmp_path_factory):
    """A checkpoint and the model in it."""
    model = load_model(architecture=request.param, class_names=NAMES, head_init='normal', seed=11)
    path = tmp_path_factory.mktemp('saved') / 'm.safetensors'
    save_model(path, model.variables, architecture=request.param, class_names=NAMES, preprocessing=PREPROCESSING)
    return path, model


def _same(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        jax.tree.leaves(jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b))
    )


@pytest.mark.parametrize('asked', [{}, {'class_names': NAMES}, {'num_classes': 3, 'class_names': NAMES}])
def test_the_checkpoint_as_it_is(saved, asked):
    path, original = saved
    model = load_model(path, **asked)
    assert _same(model.variables, original.variables)
    assert model.architecture == original.architecture
    assert (model.preprocessing, model.class_names) == (PREPROCESSING, NAMES)
    assert model.load_report.re_initialised == ()
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    logits = model.network.apply(model.variables, images, train=False)['']
    np.testing.assert_array_equal(logits, original.network.apply(original.variables, images, train=False)[''])


def test_a_model_is_told_without_its_weights(saved):
    _, model = saved
    assert model.architecture in repr(model)
    assert 'Array(' not in repr(model)


@pytest.mark.parametrize(
    ('asked', 'names'),
    [
        ({'num_classes': 5}, ('0', '1', '2', '3', '4')),
        ({'num_classes': 3}, ('0', '1', '2')),
        ({'class_names': ('bee', 'ape', 'dog')}, ('bee', 'ape', 'dog')),
        ({'class_names': ('x', 'y')}, ('x', 'y')),
    ],
)
def test_other_classes_get_a_new_head_and_the_backbone_is_kept(saved, asked, names):
    path, original = saved
    model = load_model(path, **asked)
    assert model.class_names == names
    assert _same(model.variables['params']['backbone'], original.variables['params']['backbone'])
    assert _same(model.variables.get('batch_stats'), original.variables.get('batch_stats'))
    head = model.variables['params']['head']
    assert head['kernel'].shape[1] == head['bias'].shape[0] == len(names)
    assert not np.any(head['kernel'])
    assert model.load_report.re_initialised == ('params/head/bias', 'params/head/kernel')


def test_a_new_head_is_the_one_a_whole_initialisation_gives_and_depends_on_the_seed(saved):
    path, original = saved
    heads = [
        load_model(path, num_classes=5, head_init='normal', seed=seed).variables['params']['head'] for seed in (2, 2, 3)
    ]
    whole = load_model(architecture=original.architecture, num_classes=5, head_init='normal', seed=2)
    assert _same(heads[0], heads[1])
    assert _same(heads[0], whole.variables['params']['head'])
    assert not np.array_equal(heads[0]['kernel'], heads[2]['kernel'])


def test_random_weights_take_only_the_facts_from_the_checkpoint(saved):
    path, original = saved
    model = load_model(path, num_classes=5, random_weights=True, seed=1)
    assert (model.architecture, model.preprocessing) == (original.architecture, PREPROCESSING)
    assert not _same(model.variables['params']['backbone'], original.variables['params']['backbone'])
    assert model.load_report.loaded == ()
    assert model.load_report.summary().startswith('random weights')
    assert load_model(path, random_weights=True).class_names == NAMES


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_random_weights_are_a_function_of_the_seed(architecture):
    first, again, other = (load_model(architecture=architecture, num_classes=2, seed=seed) for seed in (0, 0, 1))
    assert _same(first.variables, again.variables)
    assert not _same(first.variables, other.variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(first.variables)} == {np.dtype(np.float32)}


def test_random_weights_are_those_of_the_networks_own_initialisation():
    """Seen through a key handed on unchanged; the quickly compiled form may differ in the last bits only."""
    model = load_model(architecture='resnet_tiny', num_classes=2, head_init='normal', seed=5)
    key = jax.random.fold_in(jax.random.key(5), zlib.crc32(b'init'))
    images = jnp.zeros((1, 16, 16, 3))
    for path in ('params/backbone/stem/conv/kernel', 'params/head/kernel'):
        reference = jax.jit(lambda key, path=path: flatten_dict(model.network.init(key, images), sep='/')[path])(key)
        np.testing.assert_allclose(flatten_dict(model.variables, sep='/')[path], reference, rtol=1e-5, atol=1e-7)


def test_another_image_size_goes_into_preprocessing_and_position_embeddings(saved):
    path, original = saved
    model = load_model(path, image_size=32)
    assert model.preprocessing.image_size == 32
    assert model.preprocessing.mean == PREPROCESSING.mean
    assert len(model.load_report.resized) == (original.architecture == 'vit_tiny_test')
    logits = model.network.apply(model.variables, jnp.zeros((1, 32, 32, 3)), train=False)['']
    assert logits.shape == (1, 3)


def test_bfloat16_is_the_computation_type_only(saved):
    path, _ = saved
    model = load_model(path, dtype='bfloat16')
    assert {leaf.dtype for leaf in jax.tree.leaves(model.variables)} == {np.dtype(np.float32)}
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    rough = model.network.apply(model.variables, images, train=False)['']
    exact = load_model(path).network.apply(model.variables, images, train=False)['']
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, atol=0.05)


def test_a_checkpoint_and_an_architecture_must_agree(saved):
    path, original = saved
    assert load_model(path, architecture=original.architecture).architecture == original.architecture
    with pytest.raises(UserError, match=f"is of architecture '{original.architecture}', not 'resnet50'"):
        load_model(path, architecture='resnet50')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({}, 'needs a checkpoint or an architecture'),
        ({'architecture': 'resnet_tiny'}, 'needs num_classes or class_names'),
        ({'architecture': 'resnet_tiny', 'num_classes': -1}, 'num_classes=-1'),
        ({'architecture': 'resnet_tiny', 'class_names': ('a', 'b', 'a')}, "class name 'a' stands twice"),
        ({'architecture': 'resnet_tiny', 'num_classes': 2, 'dtype': 'fp16'}, 'dtype'),
        ({'architecture': 'resnet_tiny', 'num_classes': 2, 'image_size': (8,)}, 'one number, or height and width'),
        ({'architecture': 'resnet_tiny', 'num_classes': 2, 'input_channels': -1}, 'input_channels=-1'),
        ({'architecture': 'resnet_tiny', 'num_classes': 3, 'class_names': ('a', 'b')}, 'but 2 class names'),
        ({'architecture': 'resnet_tinny', 'num_classes': 3}, 'resnet_tiny'),
        ({'checkpoint': 'jtransfer/resnet_gliphs'}, "Did you mean 'jtransfer/resnet_glyphs'"),
    ],
)
def test_mistakes_get_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        load_model(**arguments)
    assert '\n' not in str(caught.value)


def _adapted(path, kind):
    """A model with adapters that do something."""
    model = load_model(path)
    params = model.variables['params']
    settings = Adapters(lora_rank=2, adapter_dim=4, adapter_kind='sequential', prompt_tokens=3)
    adaptation = adapters.make_adaptation(kind, settings, model.network, params)
    network, params = adapters.adapt(model.network, params, adaptation, key=jax.random.key(0))
    random = np.random.default_rng(2)
    params['adapters'] = jax.tree.map(
        lambda leaf: jnp.asarray(leaf + 0.2 * random.standard_normal(leaf.shape), jnp.float32), params['adapters']
    )
    return dataclasses.replace(model, network=network, variables={**model.variables, 'params': params})


def _logits(model):
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    return _apply(model.network, model.variables, images)


@functools.partial(jax.jit, static_argnums=0)
def _apply(network, variables, images):
    return network.apply(variables, images)['']


def _save(path, model):
    save_model(
        path,
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        adaptation=model.adaptation,
    )


@pytest.mark.parametrize('kind', ['lora', 'ssf'])
def test_merged_or_apart_the_predictions_are_the_same(saved, tmp_path, kind):
    path, original = saved
    model = _adapted(path, kind)
    merged = merge_model(model)
    assert merged.adaptation is None
    assert jax.tree.structure(merged.variables) == jax.tree.structure(original.variables)
    _save(tmp_path / 'merged.safetensors', merged)
    _save(tmp_path / 'apart.safetensors', model)
    plain, apart = load_model(tmp_path / 'merged.safetensors'), load_model(tmp_path / 'apart.safetensors')
    assert (plain.adaptation, apart.adaptation) == (None, model.adaptation)
    assert _same(apart.variables, model.variables)
    np.testing.assert_array_equal(_logits(apart), _logits(model))
    np.testing.assert_allclose(_logits(plain), _logits(model), atol=1e-5)
    assert np.max(np.abs(_logits(model) - _logits(original))) > 1e-3
    # Readers of others' formats get the merged one.
    names = export_names(model)
    export_model(model, tmp_path / 'theirs.safetensors', names[0])
    theirs = load_model(tmp_path / 'theirs.safetensors', architecture=model.architecture, options=model.options)
    assert _same(theirs.variables, merged.variables)


@pytest.mark.parametrize('kind', ['adapter', 'prompt'])
def test_what_cannot_be_merged_is_stored_apart_and_not_exported(saved, tmp_path, kind):
    path, original = saved
    if kind == 'prompt' and original.architecture != 'vit_tiny_test':
        pytest.skip('only a Vision Transformer has prompts')
    model = _adapted(path, kind)
    _save(tmp_path / 'm.safetensors', model)
    again = load_model(tmp_path / 'm.safetensors')
    assert again.network == model.network
    assert _same(again.variables, model.variables)
    np.testing.assert_array_equal(_logits(again), _logits(model))
    assert any(name.startswith('params/adapters/') for name in again.load_report.loaded)
    with pytest.raises(UserError, match='cannot be merged'):
        merge_model(model)
    assert export_names(model) == ()
    with pytest.raises(UserError, match=f'what {kind} adds to this {model.architecture} has no place') as caught:
        export_model(model, tmp_path / 'theirs.safetensors')
    assert '\n' not in str(caught.value)


def test_an_adapted_checkpoint_takes_a_new_head_and_gives_no_adapters_to_random_weights(saved, tmp_path):
    path, _ = saved
    model = _adapted(path, 'adapter')
    _save(tmp_path / 'm.safetensors', model)
    other = load_model(tmp_path / 'm.safetensors', class_names=('x', 'y'))
    assert other.load_report.re_initialised == ('params/head/bias', 'params/head/kernel')
    assert _same(other.variables['params']['adapters'], model.variables['params']['adapters'])
    assert load_model(tmp_path / 'm.safetensors', random_weights=True).adaptation is None
    bare = load_model(tmp_path / 'm.safetensors', num_classes=0)
    assert set(bare.variables['params']) == {'backbone', 'adapters'}


def test_tensors_of_adapters_that_are_missing_or_left_over_are_named(saved, tmp_path):
    path, _ = saved
    model = _adapted(path, 'adapter')
    leaves = flatten_dict(model.variables['params']['adapters'], sep='/')
    name = next(iter(leaves))
    for changed, message in (
        ({key: value for key, value in leaves.items() if key != name}, rf'missing \(1\): params/adapters/{name}'),
        ({**leaves, 'backbone/more': leaves[name]}, r'unexpected \(1\): params/adapters/backbone/more'),
    ):
        params = {**model.variables['params'], 'adapters': unflatten_dict(changed, sep='/')}
        _save(tmp_path / 'm.safetensors', dataclasses.replace(model, variables={**model.variables, 'params': params}))
        with pytest.raises(UserError, match=message):
            load_model(tmp_path / 'm.safetensors')
