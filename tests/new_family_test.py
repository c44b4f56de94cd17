"""A family of networks of one's own, made here and nowhere else: loaded, frozen, trained, saved and fitted."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

import jtransfer as jt
from jtransfer import models, rules
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models import variants
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.common import layer_norm
from jtransfer.models.positions import fitted_to_grid
from jtransfer.models.role import Role
from jtransfer.models.variant import HALF, Variant
from jtransfer.pretrained import names
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.model import load_model

PATCH = 4


class Tiles(nn.Module):
    """Patches with a place each; no layer of the library."""

    width: int

    @nn.compact
    def __call__(self, images, mode):
        x = nn.Conv(self.width, (PATCH, PATCH), (PATCH, PATCH), name='read')(images).reshape(
            len(images), -1, self.width
        )
        return x + self.param('places', nn.initializers.normal(), (1, *x.shape[1:]), jnp.float32)


class Mix(nn.Module):
    """A dense layer, normalised under a name that says nothing."""

    @nn.compact
    def __call__(self, x, mode):
        return x + nn.gelu(nn.Dense(x.shape[-1], name='dense')(layer_norm(eps=1e-6, dtype=x.dtype, name='calm')(x)))


class Mosaic(Backbone):
    """Three stages; what the names of its parameters stand for it says itself."""

    width: int = 6
    drop_path: float = 0.0
    dtype: Any = jnp.float32

    input_kernel: ClassVar[str] = 'tiles/read/kernel'

    @property
    def layers(self):
        """The patches, and two stages behind them."""
        return {'tiles': (), 'mix1': (), 'mix2': ()}

    @property
    def side_multiple(self):
        """The side of a patch."""
        return PATCH

    @nn.nowrap
    def role(self, path):
        """Places are positions, and calm is a normalisation."""
        own = {'tiles/places': Role.POSITION}
        own |= {f'mix{i}/calm/{leaf}': role for i in (1, 2) for leaf, role in NORM.items()}
        return own.get(path) or super().role(path)

    @nn.nowrap
    def grid(self, height, width):
        """Patches of four pixels."""
        return height // PATCH, width // PATCH

    @nn.nowrap
    def fit(self, path, stored, shape, was, now, how=''):
        """Places are resampled."""
        if self.role(path) is not Role.POSITION:
            return super().fit(path, stored, shape, was, now, how)
        return fitted_to_grid(stored, shape, 0, (was and self.grid(*was.shape), self.grid(*now.shape)), how)

    def _run(self, name, x, mode):
        return (Tiles(self.width, name=name) if name == 'tiles' else Mix(name=name))(x, mode)

    def _pooled(self, x):
        return x.astype(jnp.float32).mean(1)


NORM = {'scale': Role.NORM_SCALE, 'bias': Role.NORM_BIAS}
VARIANTS = (Variant('mosaic_tiny', 'mosaic', Mosaic, ImagePreprocessor(8, HALF, HALF), {}),)


@pytest.fixture(scope='module', autouse=True)
def family():
    """The family, known while this file is tested: others ask which networks there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, '_VARIANTS', dict(variants._VARIANTS))
        models.add_family(VARIANTS)
        yield


@pytest.fixture(scope='module')
def model():
    """One with random weights."""
    return load_model(architecture='mosaic_tiny', num_classes=2, head_init='normal')


def test_its_norms_alone_train_or_alone_are_frozen(model):
    norms = {f'backbone/mix{i}/calm/{leaf}' for i in (1, 2) for leaf in NORM}
    plan = jt.make_plan(model, 'norm_only')
    moving = {path for group in plan.trainable_groups for path in group.paths}
    assert moving == norms | {'head/kernel', 'head/bias'}
    decaying = {path for group in plan.trainable_groups if group.weight_decay for path in group.paths}
    assert decaying == {'head/kernel'}


def test_it_trains_by_depth(model):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)
    data = jt.load_data(ArraySource(list(pixels), [0, 1] * 16, ('a', 'b')), validation_fraction=0.5, batch_size=8)
    plan = jt.make_plan(model, 'fine_tune', layer_decay=0.5)
    assert [group.learning_rate_scale for group in plan.trainable_groups if 'no decay' not in group.name] == [
        *(1.0, 0.5, 0.25, 0.125)
    ]
    before = {path: np.array(leaf) for path, leaf in rules.flatten(model.variables['params']).items()}
    trained = jt.fit(model, data, plan, steps=1, batch_size=8, **{'optim.name': 'muon'})
    after = rules.flatten(trained.model.variables['params'])
    assert all(not np.array_equal(after[path], before[path]) for path in before if path.endswith('kernel'))


def test_its_weights_are_fitted_to_other_images(model, tmp_path):
    path = tmp_path / 'mosaic.safetensors'
    about = {'architecture': model.architecture, 'class_names': ('a', 'b'), 'preprocessing': model.preprocessing}
    save_model(path, model.variables, **about)
    larger = load_model(path, image_size=16, input_channels=1)
    report = larger.load_report
    assert report.resized == ('params/backbone/tiles/places', 'params/backbone/tiles/read/kernel')
    assert report.shapes['params/backbone/tiles/places'] == (1, 16, 6)
    assert larger.network.apply(larger.variables, jnp.zeros((1, 16, 16, 1)))[''].shape == (1, 2)


def test_a_name_is_given_once_and_adding_it_again_changes_nothing():
    models.add_family(VARIANTS)
    other = Variant('resnet18', 'mosaic', Mosaic, ImagePreprocessor(8, HALF, HALF), {})
    with pytest.raises(UserError, match="there is a network 'resnet18' already"):
        models.add_family((other,))


def test_published_weights_need_a_name_map(model, monkeypatch):
    assert names.namings('mosaic', model.network.backbone) == ()
    monkeypatch.setattr(names, '_NAMINGS', dict(names._NAMINGS))
    names.add_namings('mosaic', lambda backbone: ('theirs',))
    assert names.namings('mosaic', model.network.backbone) == ('theirs',)
