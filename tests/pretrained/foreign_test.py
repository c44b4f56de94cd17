"""Weights of others through load_model and back: which network, which head, which images, and what was said."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jtransfer import rules
from jtransfer.errors import UserError
from jtransfer.pretrained import foreign
from jtransfer.pretrained import model as model_module
from jtransfer.pretrained.catalogue.locate import Located, locate
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.export import export_model, export_names, export_notes, published_arrays
from jtransfer.pretrained.model import load_model, open_stored

SIZES = {'resnet_tiny': 16, 'vit_tiny_test': 16}


@pytest.fixture(scope='module', params=SIZES)
def published(request, tmp_path_factory):
    """A file under timm's names of a network with five classes, and the network."""
    model = load_model(architecture=request.param, num_classes=5, head_init='normal', seed=3)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: jnp.asarray(random.uniform(0.5, 1, x.shape), jnp.float32), model.variables)
    path = tmp_path_factory.mktemp('published') / 'theirs.safetensors'
    save_file(published_arrays(dataclasses.replace(model, variables=variables), 'timm'), path)
    return path, request.param, variables


def same(ours, expected):
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_the_very_same_values(published):
    path, architecture, variables = published
    model = load_model(path, architecture=architecture)
    same(model.variables, variables)
    assert model.naming == 'timm'
    assert model.class_names == ('0', '1', '2', '3', '4')
    assert model.load_report.re_initialised == model.load_report.resized == ()
    assert str(path) in model.load_report.summary()


def test_a_file_alone_does_not_say_what_it_is_of(published):
    with pytest.raises(UserError, match=r"does not say which network it is of; name it: architecture='resnet50' of"):
        load_model(published[0])


def test_the_round_trip_is_exact(published, tmp_path):
    path, architecture, _ = published
    model = load_model(path, architecture=architecture)
    shapes = export_model(model, tmp_path / 'again.safetensors')
    theirs, again = load_file(path), load_file(tmp_path / 'again.safetensors')
    assert set(again) == set(theirs) == set(shapes)
    for name, array in theirs.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)
    with pytest.raises(UserError, match='exists already'):
        export_model(model, tmp_path / 'again.safetensors')


def test_a_new_head_and_none_at_all(published):
    path, architecture, variables = published
    model = load_model(path, architecture=architecture, class_names=('a', 'b'))
    same(model.variables['params']['backbone'], variables['params']['backbone'])
    assert not np.any(model.variables['params']['head']['kernel'])
    assert 're-initialised the head, 2 outputs (the stored head, 5 outputs, is ignored)' in model.load_report.summary()
    drawn = load_model(path, architecture=architecture, num_classes=3, head_init='normal').variables['params']['head']
    assert 0.005 < np.std(drawn['kernel']) < 0.05
    bare = load_model(path, architecture=architecture, num_classes=0)
    assert set(bare.variables['params']) == {'backbone'}
    images = jnp.ones((2, 16, 16, 3))
    pooled = bare.network.apply(bare.variables, images)['pooled']
    features = bare.network.apply(bare.variables, images, method='features')
    np.testing.assert_array_equal(pooled, features['pooled'])
    assert set(features) == {*bare.network.stages, 'pooled'}


def test_a_network_without_a_head_is_saved_and_found_again(published, tmp_path):
    path, architecture, _ = published
    bare = load_model(path, architecture=architecture, num_classes=0)
    save_model(
        tmp_path / 'm.safetensors',
        bare.variables,
        architecture=architecture,
        class_names=(),
        preprocessing=bare.preprocessing,
    )
    again = load_model(tmp_path / 'm.safetensors')
    same(again.variables, bare.variables)
    with_head = load_model(tmp_path / 'm.safetensors', num_classes=4)
    assert 're-initialised the head, 4 outputs (none was stored)' in with_head.load_report.summary()


@pytest.mark.parametrize('channels', [1, 6])
def test_images_of_other_channels(published, channels):
    path, architecture, variables = published
    model = load_model(path, architecture=architecture, input_channels=channels)
    assert model.preprocessing.channels == channels
    # Equal channels give what they gave, for all the scaling.
    grey = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 1)), jnp.float32)
    ours = model.network.apply(model.variables, jnp.tile(grey, (1, 1, 1, channels)))['']
    theirs = model.network.apply(variables, jnp.tile(grey, (1, 1, 1, 3)))['']
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert len(model.load_report.resized) == 1


def test_images_that_are_not_square(published):
    path, architecture, _ = published
    model = load_model(path, architecture=architecture, image_size=(16, 24))
    assert model.preprocessing.shape == (16, 24)
    assert model.network.apply(model.variables, jnp.ones((1, 16, 24, 3)))[''].shape == (1, 5)
    assert bool(model.load_report.resized) == architecture.startswith('vit')


def test_position_embeddings_of_a_rectangle_come_back(tmp_path):
    model = load_model(architecture='vit_tiny_test', num_classes=2, image_size=(16, 32), seed=4)
    save_model(
        tmp_path / 'm.safetensors',
        model.variables,
        architecture='vit_tiny_test',
        class_names=('a', 'b'),
        preprocessing=model.preprocessing,
    )
    same(load_model(tmp_path / 'm.safetensors').variables, model.variables)
    # As many patches, but another picture.
    turned = load_model(tmp_path / 'm.safetensors', image_size=(32, 16))
    assert turned.load_report.resized == ('params/backbone/embed/pos_embed',)


def test_options_travel_with_the_checkpoint(tmp_path):
    options = {'eps': 1e-3, 'gelu': 'tanh'}
    model = load_model(architecture='vit_tiny_test', num_classes=2, options=options, seed=4)
    assert model.network.backbone.eps == 1e-3
    save_model(
        tmp_path / 'm.safetensors',
        model.variables,
        architecture='vit_tiny_test',
        class_names=('a', 'b'),
        preprocessing=model.preprocessing,
        options=model.options,
    )
    again = load_model(tmp_path / 'm.safetensors')
    assert again.options == options
    assert again.network == model.network


def test_a_folder_that_says_what_it_holds(published, tmp_path):
    path, architecture, _ = published
    (tmp_path / 'model.safetensors').write_bytes(path.read_bytes())
    (tmp_path / 'config.json').write_text(json.dumps({'architecture': 'resnet51', 'pretrained_cfg': {}}))
    with pytest.raises(UserError, match='resnet51'):
        load_model(tmp_path)
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'gpt2'}))
    with pytest.raises(UserError, match='gpt2'):
        load_model(tmp_path)
    (tmp_path / 'config.json').unlink()
    assert load_model(tmp_path, architecture=architecture).class_names == ('0', '1', '2', '3', '4')


def changed(path, tmp_path, change):
    arrays = load_file(path)
    change(arrays)
    save_file({name: np.array(array, order='C') for name, array in arrays.items()}, tmp_path / 'm.safetensors')
    return tmp_path / 'm.safetensors'


def first_norm(architecture):
    return 'bn1.weight' if architecture.startswith('resnet') else 'norm.weight'


@pytest.mark.parametrize('kind', ['missing', 'unknown', 'shape', 'type', 'nan'])
def test_what_is_wrong_is_said_in_the_names_of_the_file(published, tmp_path, kind):
    path, architecture, _ = published
    name = first_norm(architecture)
    changes = {
        'missing': (lambda arrays: arrays.pop(name), rf'missing \(1\): params/.* \(.{name}.\)'),
        'unknown': (lambda arrays: arrays.update({'extra.weight': np.ones(3)}), r'\(1\): extra\.weight'),
        'shape': (lambda arrays: arrays.update({name: np.ones(3, np.float32)}), rf'{name}.*is \(3,\), needed'),
        'type': (lambda arrays: arrays.update({name: arrays[name].astype(np.int32)}), rf"'{name}' holds int32"),
        'nan': (lambda arrays: arrays.update({name: arrays[name] * np.nan}), rf"'{name}' holds .* NaN"),
    }
    change, message = changes[kind]
    with pytest.raises(UserError, match=message) as caught:
        load_model(changed(path, tmp_path, change), architecture=architecture)
    assert '\n' not in str(caught.value)
    assert 'm.safetensors' in str(caught.value)


def test_another_network_than_the_file_holds(published):
    path, architecture, _ = published
    other = {'resnet_tiny': 'resnet_tiny_bottleneck', 'vit_tiny_test': 'resnet_tiny'}[architecture]
    with pytest.raises(UserError, match=r'missing|no place|is known by'):
        load_model(path, architecture=other)


def test_namings_that_do_not_exist(published):
    path, architecture, _ = published
    model = load_model(path, architecture=architecture)
    assert 'timm' in export_names(model)
    with pytest.raises(UserError, match=r"not published under the naming 'tim'\. Did you mean 'timm'"):
        published_arrays(model, 'tim')


def test_half_precision_files_arrive_in_float32(published, tmp_path):
    path, architecture, variables = published

    def halve(arrays):
        arrays.update({name: array.astype(np.float16) for name, array in arrays.items() if array.dtype == np.float32})

    half = changed(path, tmp_path, halve)
    model = load_model(half, architecture=architecture)
    for name, leaf in rules.flatten(model.variables).items():
        assert leaf.dtype == np.float32
        expected = np.asarray(rules.flatten(variables)[name]).astype(np.float16)
        np.testing.assert_array_equal(leaf, expected.astype(np.float32))


def test_a_naming_says_what_its_files_need_and_the_person_knows_better(tmp_path):
    model = load_model(architecture='vit_tiny_test', num_classes=2, seed=1)
    path = tmp_path / 'w.npz'
    np.savez(path, **published_arrays(model, 'vit_jax'))
    google = load_model(path, architecture='vit_tiny_test')
    same(google.variables, model.variables)
    assert google.naming == 'vit_jax'
    assert google.options == {'gelu': 'tanh'}
    assert google.network.backbone.gelu == 'tanh'
    assert google.preprocessing.squash
    assert google.preprocessing.mean == (0.5, 0.5, 0.5)
    told = load_model(path, architecture='vit_tiny_test', options={'gelu': 'erf'}, preprocessing=model.preprocessing)
    assert told.network.backbone.gelu == 'erf'
    assert told.preprocessing == model.preprocessing


def test_the_head_of_others_is_not_kept_for_classes_that_are_called_by_number(published):
    """Their classes have no names here; digits are called 0, 1, 2 by those who know them."""
    path, architecture, variables = published
    digits = load_model(path, architecture=architecture, class_names=('0', '1', '2', '3', '4'))
    assert digits.load_report.re_initialised
    assert not np.any(digits.variables['params']['head']['kernel'])
    kept = load_model(path, architecture=architecture)
    same(kept.variables['params']['head'], variables['params']['head'])
    assert 'the stored head is kept, 5 outputs' in kept.load_report.summary()


def test_an_architecture_that_is_named_goes_before_a_folder_nobody_can_read(published, tmp_path):
    path, architecture, variables = published
    (tmp_path / 'model.safetensors').write_bytes(path.read_bytes())
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'gpt2', 'id2label': {'0': 'a'}}))
    same(load_model(tmp_path, architecture=architecture).variables, variables)


def test_a_file_alone_is_for_pictures_of_the_size_of_its_position_embeddings(tmp_path):
    model = load_model(architecture='vit_tiny_test', num_classes=2, image_size=32, seed=1)
    export_model(model, tmp_path / 'w.safetensors', 'timm')
    again = load_model(tmp_path / 'w.safetensors', architecture='vit_tiny_test')
    assert again.preprocessing.image_size == 32
    assert again.load_report.resized == ()
    same(again.variables, model.variables)


@pytest.mark.parametrize('name', ['pos_embed', 'cls_token', 'blocks.0.attn.qkv.weight', 'blocks.0.attn.proj.weight'])
@pytest.mark.parametrize('shape', [(), (5,), (0, 2)])
@pytest.mark.parametrize('published', ['vit_tiny_test'], indirect=True)
def test_a_tensor_of_a_shape_that_nothing_has(published, tmp_path, name, shape):
    path, architecture, _ = published
    wrong = changed(path, tmp_path, lambda arrays: arrays.update({name: np.zeros(shape, np.float32)}))
    with pytest.raises(UserError, match=name):
        load_model(wrong, architecture=architecture)


def test_a_rectangle_of_as_many_patches_as_a_square_comes_back(tmp_path):
    options = {'patch': 4}
    model = load_model(architecture='vit_tiny_test', num_classes=2, image_size=(8, 32), options=options, seed=1)
    export_model(model, tmp_path / 'w.safetensors', 'timm')
    again = load_model(tmp_path / 'w.safetensors', architecture='vit_tiny_test', options=options)
    assert again.preprocessing.shape == (8, 32)
    same(again.variables, model.variables)
    square = load_model(tmp_path / 'w.safetensors', architecture='vit_tiny_test', options=options, image_size=16)
    assert square.load_report.resized == ('params/backbone/embed/pos_embed',)


def test_weights_for_grey_pictures_stay_so(published, tmp_path):
    path, architecture, _ = published
    grey = load_model(path, architecture=architecture, input_channels=1)
    export_model(grey, tmp_path / 'grey.safetensors')
    again = load_model(tmp_path / 'grey.safetensors', architecture=architecture)
    assert again.preprocessing.channels == 1
    assert again.load_report.resized == ()
    same(again.variables, grey.variables)


def test_values_too_large_for_single_precision_are_named(published, tmp_path):
    path, architecture, _ = published
    name = first_norm(architecture)
    huge = changed(path, tmp_path, lambda arrays: arrays.update({name: arrays[name].astype(np.float64) * 1e300}))
    with pytest.raises(UserError, match=f"'{name}'.* beyond float32"):
        load_model(huge, architecture=architecture)


def test_what_has_no_place_may_hold_anything(tmp_path):
    """A mask of minus infinity in a text tower, say."""
    model = load_model(architecture='vit_tiny_test', num_classes=2, options={'pre_norm': True, 'patch_bias': False})
    arrays = published_arrays(model, 'openai_clip')
    np.savez(tmp_path / 'w.npz', **arrays, attn_mask=np.full((2, 2), -np.inf, np.float32))
    options = {'pre_norm': True, 'patch_bias': False}
    again = load_model(tmp_path / 'w.npz', architecture='vit_tiny_test', options=options)
    assert again.load_report.ignored == ('attn_mask',)


def test_the_way_positions_are_resized_is_kept_with_our_own_checkpoints(tmp_path):
    model = load_model(architecture='vit_tiny_test', num_classes=2, image_size=32, seed=1)
    np.savez(tmp_path / 'w.npz', **published_arrays(model, 'vit_jax'))
    google = load_model(tmp_path / 'w.npz', architecture='vit_tiny_test')
    assert google.positions == 'bilinear_corners'
    save_model(
        tmp_path / 'm.safetensors',
        google.variables,
        architecture='vit_tiny_test',
        class_names=google.class_names,
        preprocessing=google.preprocessing,
        options=google.options,
        positions=google.positions,
    )
    direct = load_model(tmp_path / 'w.npz', architecture='vit_tiny_test', image_size=48)
    through = load_model(tmp_path / 'm.safetensors', image_size=48)
    same(through.variables, direct.variables)


def test_export_says_what_its_readers_must_be_told_and_offers_what_can_be_said():
    model = load_model(architecture='vit_tiny_test', num_classes=2)
    assert export_notes(model, 'timm') == (
        "timm makes this network by create_model('vit_small_patch8_224', embed_dim=16, depth=2, num_heads=2)",
    )
    assert export_notes(model, 'huggingface') == (
        "readers of 'huggingface' files take eps=1e-12; this network has 1e-06",
    )
    assert 'huggingface_siglip' not in export_names(model)
    with pytest.raises(UserError, match=r"cannot be said in the naming 'big_vision'.*; timm, .* can"):
        published_arrays(model, 'big_vision')


def test_what_a_file_does_not_say_of_images_is_told(tmp_path, monkeypatch):
    """MobileNetV2 has other names in torchvision, which resizes otherwise than timm."""

    def zeros(init):
        return lambda key: jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(init, key))

    monkeypatch.setattr(model_module, '_compile_quickly', zeros)  # the names count alone
    model = load_model(architecture='mobilenetv2_035', num_classes=2)
    for naming, interpolation in (('timm', 'bicubic'), ('torchvision', 'bilinear')):
        save_file(published_arrays(model, naming), tmp_path / f'{naming}.safetensors')
        stored = open_stored(locate(tmp_path / f'{naming}.safetensors'), 'mobilenetv2_035')
        assert stored.preprocessing.interpolation == interpolation


def test_images_are_prepared_as_the_files_say_or_as_the_person_does(published, tmp_path):
    path, architecture, _ = published
    guessed = load_model(path, architecture=architecture)
    taken = f'does not say how images must be prepared, taken: {guessed.preprocessing.summary()} (model.preprocessing'
    assert taken in guessed.load_report.summary()
    said = load_model(path, architecture=architecture, preprocessing={'mean': 0.25, 'crop_rounding': 'floor'})
    assert said.preprocessing == dataclasses.replace(
        guessed.preprocessing, mean=(0.25, 0.25, 0.25), crop_rounding='floor'
    )
    assert 'does not say' not in said.load_report.summary()


SMALL_VIT = {'model_type': 'vit', 'hidden_size': 192, 'num_attention_heads': 3, 'intermediate_size': 768}


@pytest.mark.parametrize('architecture', ['', 'vit_ti16'])
def test_what_a_processor_states_is_never_passed_over(architecture, tmp_path):
    located = Located(tmp_path / 'model.safetensors', 'them', config=SMALL_VIT, processor={'do_flip_channel_order': 1})
    with pytest.raises(UserError, match=r'them: preprocessor_config.json: do_flip_channel_order=1 is not what a ViTIm'):
        foreign.identify(located, architecture)
    assert foreign.identify(located, architecture, restated=True).architecture == 'vit_ti16'
    stated = dataclasses.replace(located, processor={'size': 32, 'do_rescale': False})
    known = foreign.identify(stated, architecture)
    assert known.framed
    assert (known.preprocessing.image_size, known.preprocessing.squash) == (32, True)
    assert known.preprocessing.std == (0.5 / 255,) * 3
    assert not foreign.identify(dataclasses.replace(located, processor=None), architecture).framed


def test_what_timm_states_is_never_passed_over(tmp_path):
    config = {'architecture': 'resnet18', 'pretrained_cfg': {'input_size': [3, 64, 64], 'crop_mode': 'border'}}
    located = Located(tmp_path / 'model.safetensors', 'them', config=config)
    with pytest.raises(UserError, match="crop_mode='border'"):
        foreign.identify(located, 'resnet18')
    assert foreign.identify(located, 'resnet18', restated=True).architecture == 'resnet18'
