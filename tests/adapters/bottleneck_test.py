"""Bottlenecks beside and behind modules."""

import flax.linen as nn
import numpy as np
import pytest

from jtransfer import adapters, rules
from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError

KINDS = ('parallel', 'sequential')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['resnet', 'bit', 'vit', 'mobilenet', 'convnext'])
def test_at_first_nothing_changes_and_later_something_does(bench, name, kind):
    images = bench.images()
    net, variables = bench.adapted(name, 'adapter', Adapters(adapter_kind=kind, adapter_scale=1.0), random=False)
    plain = {**variables, 'params': {k: v for k, v in variables['params'].items() if k != 'adapters'}}
    before = bench.run(net.network, plain, images)
    np.testing.assert_array_equal(bench.run(net, variables, images), before)
    ours, theirs = bench.train(net, variables, images), bench.train(net.network, plain, images)
    np.testing.assert_array_equal(ours[0], theirs[0])
    variables['params']['adapters'] = bench.shaken(variables['params']['adapters'])
    assert np.abs(bench.run(net, variables, images) - before).max() > 1e-2


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('name', 'module'), [('vit', 'backbone/block0/mlp'), ('convnext', 'backbone/stage2/block0')])
def test_the_formulas_by_hand(bench, name, module, kind):
    settings = Adapters(adapter_kind=kind, adapter_dim=5, adapter_scale=0.7, adapter_targets=(module,))
    net, variables = bench.adapted(name, 'adapter', settings)
    params = dict(variables['params'])
    leaves = {
        path.removeprefix(f'{module}/'): np.asarray(leaf)
        for path, leaf in rules.flatten(params.pop('adapters')).items()
    }
    channels = {'vit': 16, 'convnext': 12}[name]
    assert {path: leaf.shape for path, leaf in leaves.items()} == {
        'down/kernel': (channels, 5),
        'down/bias': (5,),
        'up/kernel': (5, channels),
        'up/bias': (channels,),
    }

    def add(next_fun, args, kwargs, context):
        outputs = next_fun(*args, **kwargs)
        if '/'.join(context.module.path) != module:
            return outputs
        x = np.asarray(outputs if kind == 'sequential' else args[0])
        hidden = np.maximum(x @ leaves['down/kernel'] + leaves['down/bias'], 0)
        return outputs + 0.7 * (hidden @ leaves['up/kernel'] + leaves['up/bias'])

    images = bench.images()
    with nn.intercept_methods(add):
        expected = net.network.apply({**variables, 'params': params}, images)['']
    np.testing.assert_allclose(bench.run(net, variables, images), expected, rtol=1e-5, atol=1e-5)


def test_default_targets(bench):
    assert bench.adapted('vit', 'adapter')[0].adaptation.targets == ('backbone/block0/mlp', 'backbone/block1/mlp')
    sequential = Adapters(adapter_kind='sequential')
    blocks = tuple(f'backbone/{block}' for block in ('stage1/block0', 'stage2/block0', 'stage2/block1'))
    assert bench.adapted('resnet', 'adapter', sequential)[0].adaptation.targets == blocks
    # The first block of stage 2 halves the sides and doubles the channels.
    assert bench.adapted('resnet', 'adapter')[0].adaptation.targets == (blocks[0], blocks[2])


def test_what_cannot_be_is_refused(bench):
    settings = Adapters(adapter_targets=('backbone/stage2/block0',))
    with pytest.raises(UserError, match=r"'backbone/stage2/block0' changes the shape .* becomes .*sequential"):
        bench.adapted('resnet', 'adapter', settings)
    with pytest.raises(UserError, match=r"^adapters.adapter_targets: the rule 'backbone/block0/mpl' matches"):
        bench.adapted('vit', 'adapter', Adapters(adapter_targets=('backbone/block0/mpl',)))
    with pytest.raises(UserError, match=r'adapter_kind=parallel: no block .* set adapter_kind=sequential'):
        bench.adapted('vgg', 'adapter')
    net, variables = bench.adapted('vit', 'adapter')
    assert not adapters.can_merge(net.adaptation)
    with pytest.raises(UserError, match=r'strategy=adapter and prompt .* cannot be merged'):
        adapters.merge(net, variables)
