"""Low-rank updates: nothing at first, the written-out formula afterwards, and cheap."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import adapters, rules
from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError

EVERYTHING = Adapters(lora_rank=2, lora_alpha=3.0, lora_targets=('.*kernel',))
FAMILIES = ('resnet', 'resnext', 'bit', 'vit', 'vit_map', 'mobilenet', 'convnext', 'vgg')


@pytest.mark.parametrize('name', FAMILIES)
def test_at_first_nothing_changes_and_later_merged_equals_apart(bench, name):
    bench.check_merging(name, 'lora', EVERYTHING)


@pytest.mark.parametrize('name', FAMILIES)
def test_every_kernel_can_be_a_target_and_only_those_used_as_they_stand_run_apart(bench, name):
    net, variables = bench.adapted(name, 'lora', EVERYTHING)
    kernels = {path for path in rules.flatten(variables['params']) if path.endswith('kernel')}
    kernels = {path for path in kernels if not path.startswith('adapters/')}
    assert set(net.adaptation.targets) == kernels
    conv = {'resnext': r'conv2/', 'bit': 'conv', 'mobilenet': 'depthwise', 'convnext': 'conv_dw'}
    assert set(net.adaptation.added) == {path for path in kernels if conv.get(name, '-') in path}


def test_the_formula_of_hu_et_al_by_hand(bench):
    targets = ('backbone/block1/attn/(query|out)/kernel', 'backbone/block1/mlp/fc2/kernel')
    net, variables = bench.adapted('vit', 'lora', Adapters(lora_rank=3, lora_alpha=6, lora_targets=targets))
    by_hand = bench.variables(net.network)
    block = by_hand['params']['backbone']['block1']
    low = variables['params']['adapters']['backbone']['block1']
    a, b = (low['attn']['query'][name]['kernel'] for name in 'ab')
    assert (a.shape, b.shape) == ((16, 3), (3, 2, 8))
    block['attn']['query']['kernel'] += 2 * np.einsum('ir,rhd->ihd', a, b)
    a, b = (low['attn']['out'][name]['kernel'] for name in 'ab')
    block['attn']['out']['kernel'] += 2 * np.einsum('hdr,ro->hdo', a, b)
    a, b = (low['mlp']['fc2'][name]['kernel'] for name in 'ab')
    block['mlp']['fc2']['kernel'] += 2 * np.asarray(a @ b)
    images = bench.images()
    np.testing.assert_allclose(
        bench.run(net, variables, images), bench.run(net.network, by_hand, images), rtol=1e-5, atol=1e-5
    )


def test_a_convolution_and_a_linear_layer_equal_the_formula_in_torch(bench):
    torch = pytest.importorskip('torch')
    targets = ('backbone/stage1/conv1/kernel', 'backbone/fc2/dense/kernel')
    net, variables = bench.adapted('vgg', 'lora', Adapters(lora_rank=2, lora_alpha=8, lora_targets=targets))
    seen = {}

    # An interceptor from outside is further from the modules than the adaptation's, and sees what that gives.
    def record(next_fun, args, kwargs, context):
        outputs = next_fun(*args, **kwargs)
        if context.module.path:
            seen['/'.join(context.module.path)] = args[0], outputs
        return outputs

    with nn.intercept_methods(record):
        net.apply(variables, bench.images())['']
    params = variables['params']

    def tensors(*path):
        leaf = params
        for name in path:
            leaf = leaf[name]
        return torch.from_numpy(np.array(leaf))

    # peft: base(x) + lora_B(lora_A(x)) · alpha / r, where lora_A of a convolution has its kernel, stride and padding.
    where = ('backbone', 'stage1', 'conv1')
    inputs, outputs = (torch.from_numpy(np.array(value)).permute(0, 3, 1, 2) for value in seen['/'.join(where)])
    weight, a = (tensors(*p, 'kernel').permute(3, 2, 0, 1) for p in (where, ('adapters', *where, 'a')))
    b = tensors('adapters', *where, 'b', 'kernel').T[:, :, None, None]
    conv = torch.nn.functional.conv2d
    expected = conv(inputs, weight, tensors(*where, 'bias'), padding=1) + conv(conv(inputs, a, padding=1), b) * 4
    base = conv(inputs, weight, tensors(*where, 'bias'), padding=1)
    assert (base - expected).abs().max() > 0.1
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)

    where = ('backbone', 'fc2', 'dense')
    inputs, outputs = (torch.from_numpy(np.array(value)) for value in seen['/'.join(where)])
    weight, a, b = (tensors(*p, 'kernel').T for p in (where, ('adapters', *where, 'a'), ('adapters', *where, 'b')))
    linear = torch.nn.functional.linear
    expected = linear(inputs, weight, tensors(*where, 'bias')) + linear(linear(inputs, a), b) * 4
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('bfloat16', [False, True])
def test_the_gradient_of_the_frozen_kernels_is_not_computed(bench, bfloat16):
    network = bench.network('vit', dim=64, blocks=3)
    net, variables = bench.adapted('vit', 'lora', Adapters(lora_rank=2), network=network)
    adapted, base = variables['params'].pop('adapters'), variables['params']
    if bfloat16:
        base = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), base)
    images = bench.images()

    def loss_adapted(low, base):
        return jnp.square(net.apply({'params': {**base, 'adapters': low}}, images, train=True)['']).mean()

    def loss_full(base):
        return jnp.square(network.apply({'params': base}, images, train=True)['']).mean()

    def flops(function, *args):
        return jax.jit(function).lower(*args).compile().cost_analysis()['flops']

    forward = flops(loss_full, base)
    assert flops(jax.grad(loss_adapted), adapted, base) < 2.15 * forward
    assert flops(jax.grad(loss_full), base) > 2.8 * forward


def test_the_default_targets_are_queries_and_values_or_every_kernel_of_the_backbone(bench):
    net, _ = bench.adapted('vit', 'lora')
    assert net.adaptation.targets == tuple(
        f'backbone/block{index}/attn/{name}/kernel' for index in (0, 1) for name in ('query', 'value')
    )
    assert (net.adaptation.rank, net.adaptation.alpha) == (8, 8.0)
    net, variables = bench.adapted('resnet', 'lora')
    flat = rules.flatten(variables['params']['backbone'])
    assert set(net.adaptation.targets) == {f'backbone/{path}' for path in flat if path.endswith('kernel')}


def test_a_is_uniform_by_its_fan_in_and_float32(bench):
    settings = Adapters(lora_rank=64, lora_targets=('backbone/stem/conv/kernel',))
    _, variables = bench.adapted('resnet', 'lora', settings, random=False)
    conv = variables['params']['adapters']['backbone']['stem']['conv']
    a = conv['a']['kernel']
    assert (a.shape, conv['b']['kernel'].shape, a.dtype) == ((7, 7, 3, 64), (64, 8), jnp.float32)
    bound = 1 / np.sqrt(147)
    assert 0.98 * bound < np.abs(a).max() <= bound
    assert np.std(a) == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_a_base_in_bfloat16_is_merged_in_float32(bench):
    network = bench.network('vit', dtype=jnp.bfloat16)
    variables = bench.variables(network)
    variables['params']['backbone'] = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.bfloat16) if x.ndim > 1 else x, variables['params']['backbone']
    )
    net, variables = bench.adapted('vit', 'lora', network=network, variables=variables)
    images = bench.images()
    logits = bench.run(net, variables, images)
    merged = adapters.merge(net, variables)
    query = merged['params']['backbone']['block0']['attn']['query']['kernel']
    low = variables['params']['adapters']['backbone']['block0']['attn']['query']
    base = variables['params']['backbone']['block0']['attn']['query']['kernel']
    exact = np.asarray(base, np.float64) + np.einsum(
        'ir,rhd->ihd', *(np.asarray(low[name]['kernel'], np.float64) for name in 'ab')
    )
    assert (logits.dtype, query.dtype, base.dtype) == (jnp.float32, jnp.float32, jnp.bfloat16)
    np.testing.assert_allclose(query, exact, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(bench.run(net.network, merged, images), logits, rtol=0.05, atol=0.05)


def test_a_target_that_is_no_kernel_is_refused_with_the_nearest(bench):
    settings = Adapters(lora_targets=('backbone/block0/attn/qeury/kernel',))
    with pytest.raises(UserError, match=r'^adapters.lora_targets: .*nearest .*backbone/block0/attn/query/kernel'):
        bench.adapted('vit', 'lora', settings)
    with pytest.raises(UserError, match='matches no parameter'):
        bench.adapted('vit', 'lora', Adapters(lora_targets=('backbone/.*/bias',)))
