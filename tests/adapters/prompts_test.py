"""Prompts against a forward pass with the tokens written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError
from jtransfer.models import Network
from jtransfer.models.layers.common import layer_norm
from jtransfer.models.mode import Mode
from jtransfer.models.vit.layers import Block
from jtransfer.models.vit.network import ViT


def by_hand(network, params, prompts, images, kind):
    """VPT: class token, prompts, patches; the class token is classified."""
    vit, weights = network.backbone, params['backbone']
    block = Block(vit.heads, vit.dim * vit.mlp_ratio, vit.gelu, vit.eps, 0.0, jnp.float32, True, False, 0.0)
    x = network.apply({'params': params}, images, method='features', stop='embed')['embed']
    count = next(iter(prompts.values())).shape[0]
    for index in range(vit.blocks):
        if index == 0 or kind == 'deep':
            new = jnp.stack([prompts[f'block{index}']] * len(images))
            patches = x[:, 1:] if index == 0 else x[:, 1 + count :]
            x = jnp.concatenate([x[:, :1], new, patches], axis=1)
        x = block.apply({'params': weights[f'block{index}']}, x, Mode())
    norm = layer_norm(eps=vit.eps, dtype=jnp.float32, name='norm')
    x = norm.apply({'params': weights['norm']}, x)
    return x[:, 0] @ params['head']['kernel'] + params['head']['bias']


@pytest.mark.parametrize('kind', ['shallow', 'deep'])
def test_it_is_the_forward_pass_with_concatenated_tokens(bench, kind):
    network = bench.network('vit', blocks=3)
    settings = Adapters(prompt_kind=kind, prompt_tokens=4)
    net, variables = bench.adapted('vit', 'prompt', settings, network=network)
    params = dict(variables['params'])
    prompts = {block: leaf['prompts'] for block, leaf in params.pop('adapters')['backbone'].items()}
    assert list(prompts) == (['block0', 'block1', 'block2'] if kind == 'deep' else ['block0'])
    assert all(leaf.shape == (4, 16) for leaf in prompts.values())
    images = bench.images()
    logits = bench.run(net, variables, images)
    np.testing.assert_allclose(logits, by_hand(network, params, prompts, images, kind), rtol=1e-5, atol=1e-5)
    assert np.abs(logits - bench.run(network, {'params': params}, images)).max() > 1e-2


@pytest.mark.parametrize('kind', ['shallow', 'deep'])
@pytest.mark.parametrize('pool', ['avg', 'map'])
def test_stages_and_pooling_never_see_them(bench, kind, pool):
    network = Network(ViT(8, 16, 2, 2, 2, reg_tokens=2, pool=pool), {'': 3})
    net, variables = bench.adapted('vit', 'prompt', Adapters(prompt_kind=kind), network=network)
    features = bench.run(net, variables, bench.images(), method='features')
    assert net.adaptation.prefix == 3
    assert {features[stage].shape for stage in ('embed', 'block0', 'block1', 'norm')} == {(4, 19, 16)}
    norm = np.asarray(features['norm'])
    if pool == 'avg':
        np.testing.assert_allclose(features['pooled'], norm[:, 3:].mean(1), rtol=1e-5, atol=1e-5)


def test_running_from_stage_to_stage(bench):
    images = bench.images()
    net, variables = bench.adapted('vit', 'prompt')
    whole = bench.run(net, variables, images, method='features')
    rest = bench.run(net, variables, whole['block0'], method='features', start='block1')
    np.testing.assert_allclose(rest['pooled'], whole['pooled'], rtol=1e-5, atol=1e-6)
    net, variables = bench.adapted('vit', 'prompt', Adapters(prompt_kind='shallow'))
    tokens = bench.run(net, variables, images, method='features', stop='block0')['block0']
    with pytest.raises(UserError, match=r"shallow prompts .* cannot start at 'block1'"):
        net.apply(variables, tokens, method='features', start='block1')


def test_initial_values_and_training_mode(bench):
    net, variables = bench.adapted('vit', 'prompt', Adapters(prompt_tokens=100), random=False)
    prompts = variables['params']['adapters']['backbone']['block1']['prompts']
    bound = np.sqrt(6 / (3 * 8 * 8 + 16))
    assert 0.98 * bound < np.abs(prompts).max() <= bound
    images = bench.images()
    np.testing.assert_allclose(
        bench.train(net, variables, images)[0], bench.run(net, variables, images), rtol=1e-6, atol=1e-6
    )
    other = variables['params']['adapters']['backbone']['block0']['prompts']
    assert not jax.numpy.array_equal(other, prompts)


@pytest.mark.parametrize('name', ['resnet', 'convnext'])
def test_other_networks_are_refused(bench, name):
    with pytest.raises(UserError, match=r'transfer.strategy=prompt needs a Vision Transformer, and (ResNet|ConvNeXt) '):
        bench.adapted(name, 'prompt')
