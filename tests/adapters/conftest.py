"""Tiny networks of every family, with weights that NumPy fills in, and adapters of random values."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import adapters, rules
from jtransfer.config.transfer import Adapters
from jtransfer.models import Network
from jtransfer.models.bit.network import BiT
from jtransfer.models.convnext.network import ConvNeXt
from jtransfer.models.mobilenet_v2.network import MobileNetV2
from jtransfer.models.resnet.network import ResNet
from jtransfer.models.vgg.network import VGG
from jtransfer.models.vit.network import ViT

BACKBONES = {
    'resnet': lambda **kwargs: ResNet('basic', (1, 2), (8, 16), stem='imagenet', stem_width=8, **kwargs),
    'resnext': lambda **kwargs: ResNet('bottleneck', (1,), (8,), groups=4, stem='cifar', stem_width=8, **kwargs),
    'bit': lambda **kwargs: BiT((2,), (4,), stem_width=8, norm_groups=4, **kwargs),
    'vit': lambda **kwargs: ViT(**{'patch': 8, 'dim': 16, 'blocks': 2, 'heads': 2, 'mlp_ratio': 2, **kwargs}),
    'vit_map': lambda **kwargs: ViT(8, 16, 2, 2, 2, class_token=False, pool='map', qkv_bias=False, **kwargs),
    'mobilenet': lambda **kwargs: MobileNetV2(
        (8, 8), (1, 1), (1, 2), (1, 2), stem_width=8, top_width=16, padding='tensorflow', **kwargs
    ),
    'convnext': lambda **kwargs: ConvNeXt((1, 1), (8, 12), **kwargs),
    'vgg': lambda **kwargs: VGG((1,), (8,), hidden=8, **kwargs),
}
CLASSES = 3


class Bench:
    """Makes networks, their variables, pictures and adaptations."""

    names = tuple(BACKBONES)

    def network(self, name, **kwargs):
        """A tiny network of a family."""
        return Network(BACKBONES[name](**kwargs), {'': CLASSES})

    def variables(self, network):
        """Random variables, far from those of any initialiser."""
        return jax.tree.map(jnp.asarray, _variables(network))

    def images(self, seed=0, batch=4, side=32):
        """Noise."""
        return jnp.asarray(np.random.default_rng(seed).standard_normal((batch, side, side, 3)), jnp.float32)

    def adapted(self, name, kind, settings=None, *, random=True, network=None, variables=None):
        """The adapted network and its variables; with `random`, the adapters are not those of the beginning."""
        network = network or self.network(name)
        variables = variables or self.variables(network)
        adaptation = adapters.make_adaptation(kind, settings or Adapters(), network, variables['params'])
        net, params = adapters.adapt(
            network,
            variables['params'],
            adaptation,
            key=jax.random.key(0),
            inputs={'image': jax.ShapeDtypeStruct((32, 32, 3), 'float32')},
        )
        if random:
            params['adapters'] = self.shaken(params['adapters'])
        return net, {**variables, 'params': params}

    def shaken(self, tree, size=0.2):
        """Every value moved at random."""
        random = np.random.default_rng(3)
        return jax.tree.map(lambda x: jnp.asarray(x + size * random.standard_normal(x.shape), x.dtype), tree)

    def run(self, network, variables, images, **kwargs):
        """What a method gives, by default logits in evaluation mode."""
        outputs = _compiled(network, tuple(kwargs.items()))(variables, images)
        return outputs[''] if kwargs.get('method', 'classify') == 'classify' and 'mutable' not in kwargs else outputs

    def train(self, network, variables, images, **kwargs):
        """Logits and new statistics in training mode."""
        outputs, statistics = self.run(network, variables, images, train=True, mutable=('batch_stats',), **kwargs)
        return outputs[''], statistics

    def check_merging(self, name, kind, settings=None):
        """An adaptation changes nothing at first, and merged computes what it does apart, in training too."""
        images = self.images()
        net, variables = self.adapted(name, kind, settings, random=False)
        plain = {**variables, 'params': {k: v for k, v in variables['params'].items() if k != 'adapters'}}
        before = self.run(net.network, plain, images)
        np.testing.assert_array_equal(self.run(net, variables, images), before)

        variables['params']['adapters'] = self.shaken(variables['params']['adapters'])
        merged = adapters.merge(net, variables)
        apart = self.run(net, variables, images)
        assert np.abs(apart - before).max() > 1e-2
        np.testing.assert_allclose(self.run(net.network, merged, images), apart, rtol=1e-5, atol=1e-5)

        apart, statistics = self.train(net, variables, images)
        whole, theirs = self.train(net.network, merged, images)
        np.testing.assert_allclose(whole, apart, rtol=2e-5, atol=2e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), theirs, statistics)


@functools.cache
def _compiled(network, kwargs):
    return jax.jit(functools.partial(network.apply, **dict(kwargs)))


@functools.cache
def _variables(network):
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
    random = np.random.default_rng(1)

    def fill(path, shape):
        values = random.standard_normal(shape)
        if re.search('(scale|gamma|var)$', path):
            values = 1 + 0.2 * np.abs(values)
        elif re.search('(bias|mean)$', path):
            values *= 0.2
        else:
            values /= math.sqrt(math.prod(shape[:-1]))
        return values.astype(np.float32)

    return rules.unflatten({path: fill(path, leaf.shape) for path, leaf in rules.flatten(shapes).items()})


@pytest.fixture(scope='session')
def bench():
    """The tiny networks."""
    return Bench()
