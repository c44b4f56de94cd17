"""A toy training problem: tiny networks whose weights NumPy fills in, and noise for pictures.

Compiling `network.init` would take longer than most of the tests.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import adapters, models, rules
from jtransfer.config import Augment, Config, Data, Optim, Train, Transfer
from jtransfer.config.optim import Loss
from jtransfer.config.transfer import ADAPTATIONS, Adapters
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models import Network
from jtransfer.models.backbone import Backbone
from jtransfer.models.bit.network import BiT
from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.vit.network import ViT
from jtransfer.tasks.base import Task
from jtransfer.tasks.criterion import Criterion, Term
from jtransfer.tasks.regression import Regression
from jtransfer.train.feed import device_feed
from jtransfer.train.placement import JitPlacement
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import make_plan


class DenseStage(nn.Module):
    """A dense layer, normalised where that is wanted."""

    features: int
    norm: bool

    @nn.compact
    def __call__(self, x, mode):
        x = nn.Dense(self.features, name='fc')(x)
        if self.norm:
            x = BatchNorm(name='bn')(x, mode)
        return nn.tanh(x)


class DenseNetwork(Backbone):
    """Three dense layers on the mean colours of the quarters of a picture: compiles in no time."""

    norm: bool = False
    dtype: Any = jnp.float32
    drop_path: float = 0.0
    input_kernel = 'stage1/fc/kernel'

    @property
    def layers(self):
        """The stages, without blocks."""
        return {'stage1': (), 'stage2': (), 'stage3': ()}

    def _run(self, name, x, mode):
        if name == 'stage1':
            x = x.reshape(len(x), 2, x.shape[1] // 2, 2, x.shape[2] // 2, 3).mean((2, 4)).reshape(len(x), 12)
        return DenseStage(5, self.norm, name=name)(x, mode)


# Smaller than what has a name.
BACKBONES = {
    'bit_tiny': functools.partial(BiT, (1, 1), (4, 8), stem_width=8, norm_groups=4),
    'dense': DenseNetwork,
    'dense_norm': functools.partial(DenseNetwork, norm=True),
    'vit_small_test': functools.partial(ViT, 8, 8, 2, 2, 2),
}


class Once(JitPlacement):
    """Compiles once a phase and size: the runs that share it are the same programs."""

    def __init__(self, devices):
        super().__init__(devices)
        self.programs = {}

    @property
    def program_key(self):
        """No one else's: what is compiled first here need not be what others would compile."""
        return self

    def compile(self, parts, trainable):
        """The program of the first call for this phase and size."""
        program = parts.starts, parts.preprocessing.shape
        if program not in self.programs:
            self.programs[program] = super().compile(parts, trainable)
        return self.programs[program]


def task_of(loss, outputs):
    """The only task of a network, of a kind that the loss fits."""
    kind = 'regression' if loss.name in Regression.losses else 'single_label'
    return Term(Task('', kind, tuple(map(str, range(outputs)))), loss)


class Toy:
    """Networks, batches and feeds of the toy problem."""

    side, classes, examples = 16, 3, 40
    preprocessing = ImagePreprocessor(16, (0.5,) * 3, (0.5,) * 3)

    def make(
        self,
        name='resnet_tiny',
        transfer=None,
        optim=None,
        *,
        augment=None,
        train=None,
        batch_size=16,
        steps=20,
        dtype=jnp.float32,
        dropout=0.0,
        loss=None,
        tasks=(),
    ):
        """The parts of a step, and the variables where training starts."""
        optim, transfer = optim or Optim(), transfer or Transfer('fine_tune')
        heads = tuple((task.name, task.outputs) for task, _ in tasks)
        network = _network(name, 0 if heads else self.classes, heads, dtype, dropout)
        variables = _variables(name, 0 if heads else self.classes, heads)
        if transfer.strategy in ADAPTATIONS:
            params = variables['params']
            settings = Adapters(adapter_dim=4, adapter_kind='sequential' if name == 'bit_tiny' else 'parallel')
            kind = adapters.make_adaptation(transfer.strategy, settings, network, params)
            inputs = dict(self.preprocessing.spec())
            network, params = adapters.adapt(network, params, kind, key=jax.random.key(0), inputs=inputs)
            variables = {**variables, 'params': params}
        plan = make_plan(network, variables['params'], transfer, optim.weight_decay)
        train = train or Train(log_every=1, tensorboard=False, progress=False)
        config = Config(
            data=Data(batch_size=batch_size),
            transfer=transfer,
            optim=optim,
            loss=loss or Loss(),
            augment=augment or Augment(),
            train=train,
        )
        terms = tuple(Term(*term) for term in tasks) or (task_of(loss or Loss('cross_entropy'), self.classes),)
        criterion = Criterion(terms, optim.label_smoothing)
        parts = StepParts(network, self.preprocessing, plan, config, criterion, steps)
        return parts, jax.tree.map(np.copy, variables)

    def start(self, parts, variables):
        """The state before the first step."""
        return parts.start(variables)

    def batch(self, step=0, seed=0, batch=8):
        """The batch of a step, as NumPy arrays."""
        random = np.random.default_rng(step)
        return {
            'inputs': {
                'image': random.integers(0, 256, (batch, self.side, self.side, 3), dtype=np.uint8),
                'aspect': np.ones(batch, np.float32),
            },
            'labels': {'': random.integers(0, self.classes, batch).astype(np.int32)},
            'id': np.arange(batch, dtype=np.int32),
            'epoch': np.full(batch, step, np.int32),
            'seed': np.uint32(seed),
            'step': np.int32(step),
        }

    def placement(self, devices):
        """That many devices, for runs of one program."""
        return Once(jax.devices()[:devices])

    def feeder(self, placement, *, side=16, batch_size=16, seed=0):
        """What makes the feed of `examples` pictures from a step on."""
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (self.examples, side, side, 3), dtype=np.uint8)
        labels = {'': random.integers(0, self.classes, self.examples).astype(np.int32)}
        aspects = random.uniform(0.5, 2, self.examples).astype(np.float32)

        def make_feed(start):
            return device_feed(
                {'image': images, 'aspect': aspects},
                labels,
                batch_size=batch_size,
                seed=seed,
                start_step=start,
                placement=placement,
            )

        return make_feed


def _network(name, classes, heads, dtype=jnp.float32, dropout=0.0):
    if name in BACKBONES:
        heads = dict(heads) if heads else {'': classes}
        return Network(BACKBONES[name](dtype=dtype), heads, dropout=dropout)
    return models.create(name, num_classes=classes, dtype=dtype, dropout=dropout, heads=dict(heads))


@functools.cache
def _variables(name, classes, heads=()):
    network = _network(name, classes, heads)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, Toy.side, Toy.side, 3)))
    random = np.random.default_rng(1)

    def fill(path, shape):
        constant = {'scale': 1, 'var': 1, 'bias': 0, 'mean': 0}.get(path.rsplit('/', 1)[-1])
        if constant is not None:
            return np.full(shape, constant, np.float32)
        return (random.standard_normal(shape) / math.sqrt(math.prod(shape[:-1]))).astype(np.float32)

    return rules.unflatten({path: fill(path, leaf.shape) for path, leaf in rules.flatten(shapes).items()})


@pytest.fixture(scope='session')
def toy():
    """The toy problem."""
    return Toy()
