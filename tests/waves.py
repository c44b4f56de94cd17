"""A kind of input of one's own, made here and nowhere else: sequences of numbers and a network that reads them."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import jtransfer as jt
from jtransfer.data.source import Source
from jtransfer.inputs import kinds
from jtransfer.models import variants
from jtransfer.models.backbone import Backbone
from jtransfer.models.variant import Variant
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.tasks import single_label

NOTES = ('low', 'middle', 'high')
SETTINGS = {
    **{'learning_rate': 0.02, 'steps': 40, 'batch_size': 16, 'head_init': 'normal', 'test_fraction': 0.3},
    **{'progress': False, 'tensorboard': False, 'checkpoint_every': 10, 'freeze_until': 'stage2'},
}


@dataclasses.dataclass(frozen=True)
class Waves(jt.Preprocessor):
    """Sequences of a fixed length, of one channel."""

    kind, reads = 'wave', ('wave',)
    length: int = 24

    def spec(self):
        return {'wave': jax.ShapeDtypeStruct((self.length, 1), jnp.float32)}


class Ear(Backbone):
    """Two convolutions along the sequence."""

    width: int = 8
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    input_kernel: ClassVar[str] = 'stage1/kernel'
    layers = {'stage1': (), 'stage2': ()}  # noqa: RUF012  # what a family usually works out from its fields

    def _run(self, name, x, mode):
        return nn.relu(nn.Conv(self.width, (5,), name=name)(x))


class Tones(Source):
    """Noisy sines, of one of three pitches each."""

    def __init__(self, count=60):
        random = np.random.default_rng(0)
        self.class_names, self.ids = NOTES, tuple(f'tone {number}' for number in range(count))
        self.tasks, self.labels = (single_label(NOTES),), {'': np.arange(count, dtype=np.int32) % 3}
        phase = np.arange(24) * (1 + self.labels[''][:, None]) / 2 + random.uniform(0, 6, (count, 1))
        self.waves = (np.sin(phase) + random.normal(0, 0.1, phase.shape)).astype(np.float32)[..., None]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {'wave': self.waves[index], 'id': self.ids[index], 'labels': {'': self.labels[''][index]}}


def add(patch):
    """Makes both known, until the patch is undone: others ask what there is."""
    patch.setattr(kinds, '_KINDS', dict(kinds._KINDS))
    patch.setattr(variants, '_VARIANTS', dict(variants._VARIANTS))
    kinds.add_input(Waves)
    variants.add_family([Variant('ear', 'ear', Ear, Waves(), {})])


def save():
    """A network of random weights, in a file."""
    start = jt.load_model(architecture='ear', class_names=NOTES)
    save_model('ear.safetensors', start.variables, architecture='ear', class_names=NOTES, preprocessing=Waves())
    return start
