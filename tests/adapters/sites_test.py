"""The modules of a network, found without computing anything."""

import jax
import numpy as np
import pytest

from jtransfer.adapters.sites import describe, select
from jtransfer.errors import UserError
from jtransfer.models import Network
from jtransfer.models.vit.network import ViT

IMAGE = jax.ShapeDtypeStruct((32, 32, 3), np.float32)

KINDS = {
    ('resnet', 'backbone/stage2/block0/conv1'): 'conv',
    ('resnet', 'backbone/stage2/block0/downsample/conv'): 'conv',
    ('resnet', 'backbone/stem/bn'): 'norm',
    ('resnet', 'backbone/stage1'): 'other',
    ('resnet', 'head'): 'dense',
    ('resnext', 'backbone/stage1/block0/conv2'): 'grouped',
    ('bit', 'backbone/stem/conv'): 'standardised',
    ('bit', 'backbone/norm'): 'norm',
    ('mobilenet', 'backbone/stage1/block0/depthwise/conv'): 'grouped',
    ('mobilenet', 'backbone/stem/conv'): 'conv',
    ('convnext', 'backbone/stage2/downsample/conv'): 'conv',
    ('vit', 'backbone/embed/patch'): 'conv',
    ('vit', 'backbone/block1/mlp/fc1'): 'dense',
}


@pytest.mark.parametrize(('name', 'path'), KINDS)
def test_every_layer_is_of_its_kind(bench, name, path):
    network = bench.network(name)
    assert describe(network, bench.variables(network)['params'])[path].kind == KINDS[name, path]


def test_shapes_are_those_of_the_given_images(bench):
    network = bench.network('vit')
    params = bench.variables(network)['params']
    sites = describe(network, params, IMAGE)
    query, out = sites['backbone/block0/attn/query'], sites['backbone/block0/attn/out']
    assert (query.inputs, query.outputs, query.out_axes) == ((1, 17, 16), (1, 17, 2, 8), 2)
    assert (out.inputs, out.outputs, out.out_axes) == ((1, 17, 2, 8), (1, 17, 16), 1)
    # Asked again, the answer is not that the tracing has been done already.
    assert describe(network, params, IMAGE) == sites


def test_without_images_some_size_is_found_that_fits_the_patches_and_the_channels():
    network = Network(ViT(patch=9, dim=8, blocks=1, heads=1), {'': 2})
    params = {'backbone': {'embed': {'patch': {'kernel': np.zeros((9, 9, 1, 8))}}}}
    assert describe(network, params)['backbone/embed/patch'].inputs == (1, 225, 225, 1)


def test_select_takes_what_a_pattern_matches_and_names_the_field_otherwise():
    paths = ['backbone/a/conv', 'backbone/b/conv', 'backbone/b/bn']
    assert select('adapters.x', ['.*/b/.*'], paths) == ('backbone/b/conv', 'backbone/b/bn')
    with pytest.raises(
        UserError, match=r"^adapters.x: the rule 'backbone/c/conv' matches .* nearest .*backbone/a/conv"
    ):
        select('adapters.x', ['backbone/c/conv'], paths)
