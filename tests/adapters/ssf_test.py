"""Scale and shift: nothing at first, those of the outputs afterwards, and merged the same."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import rules
from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError


@pytest.mark.parametrize('name', ['resnet', 'resnext', 'bit', 'vit', 'vit_map', 'mobilenet', 'convnext', 'vgg'])
def test_at_first_nothing_changes_and_later_merged_equals_apart(bench, name):
    bench.check_merging(name, 'ssf')


@pytest.mark.parametrize('name', ['vit', 'resnet', 'convnext'])
def test_it_is_what_scaling_and_shifting_every_output_gives(bench, name):
    net, variables = bench.adapted(name, 'ssf')
    params = dict(variables['params'])
    flat = rules.flatten(params.pop('adapters'))
    touched = set()

    def on_outputs(next_fun, args, kwargs, context):
        outputs = next_fun(*args, **kwargs)
        path = '/'.join(context.module.path)
        if f'{path}/scale' in flat and context.method_name == '__call__':
            touched.add(path)
            outputs = outputs * flat[f'{path}/scale'] + flat.get(f'{path}/shift', 0)
        return outputs

    images = bench.images()
    with nn.intercept_methods(on_outputs):
        expected = net.network.apply({**variables, 'params': params}, images)['']
    assert len(touched) == len(net.adaptation.norms) + len(net.adaptation.layers)
    np.testing.assert_allclose(bench.run(net, variables, images), expected, rtol=1e-5, atol=1e-5)


def test_default_targets_and_shapes(bench):
    net, variables = bench.adapted('vit', 'ssf', random=False)
    flat = rules.flatten(variables['params']['adapters'])
    assert flat['backbone/block0/attn/query/scale'].shape == (2, 8)
    assert flat['backbone/block0/attn/out/shift'].shape == (16,)
    assert flat['backbone/embed/patch/shift'].shape == (16,)
    assert net.adaptation.norms[-1] == 'backbone/norm'
    assert not [path for path in flat if path.startswith('head')]
    # Without a bias there is nothing to merge a shift into.
    net, variables = bench.adapted('resnet', 'ssf')
    convs = [path for path in rules.flatten(variables['params']['adapters']) if '/conv' in path]
    assert convs
    assert all(path.endswith('/scale') for path in convs)
    net, _ = bench.adapted('bit', 'ssf')
    assert not net.adaptation.layers
    assert len(net.adaptation.norms) == 7


def test_scales_do_not_cost_the_gradient_of_kernels(bench):
    network = bench.network('vit', dim=64, blocks=3)
    net, variables = bench.adapted('vit', 'ssf', network=network)
    adapted, base = variables['params'].pop('adapters'), variables['params']
    images = bench.images()

    def flops(function, *args):
        return jax.jit(function).lower(*args).compile().cost_analysis()['flops']

    def loss(low, base):
        return jnp.square(net.apply({'params': {**base, 'adapters': low}}, images)['']).mean()

    forward = flops(loss, adapted, base)
    assert flops(jax.grad(loss), adapted, base) < 2.2 * forward
    assert flops(jax.grad(loss, argnums=(0, 1)), adapted, base) > 2.6 * forward


def test_standardised_weights_and_other_modules_are_refused(bench):
    with pytest.raises(UserError, match=r"^adapters.ssf_targets: 'backbone/stem/conv' standardises its weights"):
        bench.adapted('bit', 'ssf', Adapters(ssf_targets=('backbone/stem/conv',)))
    with pytest.raises(UserError, match=r"^adapters.ssf_targets: the rule 'backbone/stage1/block0' matches no"):
        bench.adapted('resnet', 'ssf', Adapters(ssf_targets=('backbone/stage1/block0',)))
