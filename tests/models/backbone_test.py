"""The contract, family by family, on networks as they are published; nothing is computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models, rules
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.role import BIASES, KERNELS, Role

NAMES = (
    'resnet18d',
    'cifar_resnet20',
    'bit_r50x1',
    'vit_ti16',
    'deit_ti16_distilled',
    'dinov2_s14_reg4',
    'siglip_b16',
    'convnext_atto',
    'mobilenetv2_035',
    'vgg11_bn',
    'alexnet',
    'googlenet_aux',
)


@functools.cache
def shapes(name):
    """The network, and the shapes of its variables by path."""
    network = models.create(name, num_classes=3)
    size = models.describe(name).image_size
    return network, rules.flatten(jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 3))))


def test_every_family_is_here():
    assert {models.describe(name).family for name in models.variant_names()} == {
        models.describe(name).family for name in NAMES
    }


@pytest.mark.parametrize('name', NAMES)
def test_parameters_live_in_stages_and_every_one_has_a_layer_number(name):
    network, variables = shapes(name)
    numbers: dict[str, set[int]] = {}
    for path in variables:
        collection, top, stage = path.split('/')[:3]
        below = path.removeprefix(f'{collection}/')
        if top == 'head':
            assert network.depth(below) == network.backbone.head_depth
        else:
            assert stage in network.stages
            numbers.setdefault(stage, set()).add(network.depth(below))
    # Stages come one after another, and no number between the first and the head's is left out.
    flat = [number for stage in network.stages for number in sorted(numbers.get(stage, ()))]
    assert flat == sorted(flat)
    assert {*flat, network.backbone.head_depth} == set(range(network.backbone.head_depth + 1))


@pytest.mark.parametrize('name', NAMES)
def test_the_kernel_that_reads_the_image_is_the_one_it_names(name):
    network, variables = shapes(name)
    kernel = variables[f'params/backbone/{network.backbone.input_kernel}']
    assert kernel.shape[-2] == 3
    size = models.describe(name).image_size
    other = rules.flatten(jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 5))))
    changed = {path for path, leaf in variables.items() if other[path].shape != leaf.shape}
    assert changed == {f'params/backbone/{network.backbone.input_kernel}'}


@pytest.mark.parametrize('name', NAMES)
def test_every_stage_has_an_output_and_the_pooled_features_fit_the_head(name):
    network, variables = shapes(name)
    size = models.describe(name).image_size
    images = jnp.zeros((2, size, size, 3))
    features = jax.eval_shape(functools.partial(network.apply, method='features'), rules.unflatten(variables), images)
    assert {*network.stages, 'pooled'} <= set(features)
    pooled = features['pooled']
    assert pooled.dtype == jnp.float32
    kernels = [leaf.shape for path, leaf in variables.items() if path.startswith('params/head/') and leaf.ndim == 2]
    assert any(pooled.shape == (2, network.backbone.pooled_parts * kernel[0]) for kernel in kernels)


@pytest.mark.parametrize('name', NAMES)
def test_positions_have_the_prefix_that_the_family_states(name):
    network, variables = shapes(name)
    positions = variables.get('params/backbone/embed/pos_embed')
    if positions is None:
        assert network.prefix_tokens == network.backbone.prefix_positions == 0
    else:
        patches = (models.describe(name).image_size // network.backbone.patch) ** 2
        assert positions.shape[1] == network.backbone.prefix_positions + patches


@pytest.mark.parametrize('name', NAMES)
def test_every_parameter_has_a_role(name):
    network, variables = shapes(name)
    paths = [path.removeprefix('params/backbone/') for path in variables if path.startswith('params/backbone/')]
    roles = {path: network.backbone.role(path) for path in paths}
    assert [path for path in paths if roles[path] is Role.INPUT] == [network.backbone.input_kernel]
    assert Role.OTHER not in roles.values()
    for path, role in roles.items():
        assert (role in KERNELS) == path.endswith('/kernel'), path
        assert (role in BIASES) == path.endswith('/bias'), path
    has_positions = network.backbone.grid(32, 32) is not None
    assert has_positions == (Role.POSITION in roles.values())


def test_attention_and_tokens_are_told_from_other_parameters():
    role = models.create('deit_ti16_distilled', num_classes=2).backbone.role
    assert [role(f'block3/attn/{name}/kernel') for name in ('query', 'key', 'value', 'out')] == [
        *(Role.QUERY, Role.KEY, Role.VALUE, Role.OUT)
    ]
    assert role('embed/dist_token') is role('embed/cls_token') is Role.TOKEN
    assert role('block3/attn/query/bias') is Role.BIAS


def test_parameters_of_another_shape_are_fitted_or_refused():
    now = ImagePreprocessor(32, (0.5,) * 3, (0.5,) * 3)
    backbone = models.create('vit_tiny_test', num_classes=2).backbone
    stored = np.zeros((1, 5, 16), np.float32)
    assert backbone.fit('embed/pos_embed', stored, (1, 17, 16), None, now).shape == (1, 17, 16)
    assert backbone.fit('embed/cls_token', stored, (1, 17, 16), None, now) is None
    kernel = np.zeros((8, 8, 3, 16), np.float32)
    assert backbone.fit('embed/patch/kernel', kernel, (8, 8, 1, 16), now, now).shape == (8, 8, 1, 16)
    assert backbone.fit('block0/mlp/fc1/kernel', kernel, (8, 8, 1, 16), now, now) is None
    assert backbone.fit('block0/mlp/fc1/kernel', kernel, kernel.shape, now, now) is kernel


def test_the_side_that_position_embeddings_are_for():
    backbone = models.create('vit_tiny_test', num_classes=2).backbone
    assert backbone.side_of({'embed/pos_embed': (1, 17, 16)}, 16) == 32
    assert backbone.side_of({'embed/pos_embed': (1, 16, 16)}, 16) == 16  # no square
    assert backbone.side_of({}, 16) == 16
    assert models.create('resnet_tiny', num_classes=2).backbone.side_of({'embed/pos_embed': (1, 17, 16)}, 16) == 16
