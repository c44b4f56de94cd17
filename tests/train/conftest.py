"""A toy training problem: tiny networks whose weights NumPy fills in, and noise for pictures.

Compiling `network.init` would take longer than most of the tests.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models, rules
from jtransfer.config import Augment, Config, Data, Optim, Train, Transfer
from jtransfer.preprocessing import Preprocessing
from jtransfer.train.feed import device_feed
from jtransfer.train.placement import JitPlacement
from jtransfer.train.state import init_state
from jtransfer.train.step import StepParts
from jtransfer.transfer.plan import make_plan


class Once(JitPlacement):
    """Compiles once: the runs that share it are one program."""

    program = None

    def compile(self, parts, trainable):
        """The program of the first call."""
        self.program = self.program or super().compile(parts, trainable)
        return self.program


class Toy:
    """Networks, batches and feeds of the toy problem."""

    side, classes, examples = 16, 3, 40
    preprocessing = Preprocessing(16, (0.5,) * 3, (0.5,) * 3)

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
    ):
        """The parts of a step, and the variables where training starts."""
        optim, transfer = optim or Optim(), transfer or Transfer('fine_tune')
        network = models.create(name, num_classes=self.classes, dtype=dtype, dropout=dropout)
        variables = _variables(name, self.classes)
        plan = make_plan(variables['params'], transfer, optim.weight_decay)
        train = train or Train(log_every=1, tensorboard=False, progress=False)
        config = Config(
            data=Data(batch_size=batch_size),
            transfer=transfer,
            optim=optim,
            augment=augment or Augment(),
            train=train,
        )
        return StepParts(network, self.preprocessing, plan, config, steps), jax.tree.map(np.copy, variables)

    def start(self, parts, variables):
        """The state before the first step."""
        trainable, _ = parts.plan.split(variables['params'])
        return init_state(variables, parts.plan, parts.optimizer(trainable), ema=parts.config.optim.ema_decay > 0)

    def batch(self, step=0, seed=0, batch=8):
        """The batch of a step, as NumPy arrays."""
        random = np.random.default_rng(step)
        return {
            'image': random.integers(0, 256, (batch, self.side, self.side, 3), dtype=np.uint8),
            'label': random.integers(0, self.classes, batch).astype(np.int32),
            'aspect': np.ones(batch, np.float32),
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
        labels = random.integers(0, self.classes, self.examples).astype(np.int32)
        aspects = random.uniform(0.5, 2, self.examples).astype(np.float32)

        def make_feed(start):
            return device_feed(
                images, labels, aspects, batch_size=batch_size, seed=seed, start_step=start, placement=placement
            )

        return make_feed


@functools.cache
def _variables(name, classes):
    network = models.create(name, num_classes=classes)
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
