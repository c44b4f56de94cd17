"""The table of names: sizes, defaults, mistakes."""

import jax
import jax.numpy as jnp
import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models import variants
from tests.tiers import slow

# With 1000 classes: torchvision's and timm's own counts.
PUBLISHED = {
    'resnet18': 11_689_512,
    'resnet34': 21_797_672,
    'resnet50': 25_557_032,
    'resnet101': 44_549_160,
    'resnet152': 60_192_808,
    'wide_resnet50_2': 68_883_240,
    'wide_resnet101_2': 126_886_696,
    'vit_ti16': 5_717_416,
    'vit_s16': 22_050_664,
    'vit_s32': 22_878_952,
    'vit_b16': 86_567_656,
    'vit_b32': 88_224_232,
    'vit_l16': 304_326_632,
    'vit_h14': 632_045_800,
}
OURS = {
    'resnet_small': 307_536,
    'vit_mini': 257_400,
    'resnet_tiny': 5_096,
    'resnet_tiny_bottleneck': 7_752,
    'vit_tiny_test': 9_776,
}


def shapes(name, num_classes):
    size = models.describe(name).image_size
    network = models.create(name, num_classes=num_classes)
    return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


def test_no_name_stands_for_two_networks():
    """The other families' sizes are in their own tests."""
    modules = [getattr(variants, name) for name in dir(variants) if name.endswith('_variants')]
    names = [variant.name for module in modules for variant in module.VARIANTS]
    assert len(names) == len(set(names)) > len(PUBLISHED) + len(OURS)
    assert set(names) == set(models.variant_names())


# `entries_test` holds every published file against its network.
@pytest.mark.parametrize(('name', 'count'), [*PUBLISHED.items()][:2] + slow(*[*PUBLISHED.items()][2:]))
def test_published_networks_have_their_published_size(name, count):
    assert sum(x.size for x in jax.tree.leaves(shapes(name, 1000)['params'])) == count


@pytest.mark.parametrize(('name', 'count'), OURS.items())
def test_small_networks_have_theirs(name, count):
    variables = shapes(name, 10)
    assert set(variables['params']) == {'backbone', 'head'}
    assert sum(x.size for x in jax.tree.leaves(variables['params']['backbone'])) == count
    assert ('batch_stats' in variables) == name.startswith('resnet')


def test_describe_states_family_and_preprocessing():
    assert models.describe('resnet50').family == 'resnet'
    assert models.describe('resnet50').preprocessing.mean == (0.485, 0.456, 0.406)
    assert models.describe('vit_s16').preprocessing.std == (0.5, 0.5, 0.5)
    assert models.describe('vit_mini').image_size == 16
    assert all(models.describe(name).name == name for name in models.variant_names())


def test_image_size_sets_the_positions():
    network = models.create('vit_s16', num_classes=0, image_size=96)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 96, 96, 3)))
    assert variables['params']['backbone']['embed']['pos_embed'].shape == (1, 37, 384)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'name': 'resnet5'}, r"no network 'resnet5'\. Did you mean 'resnet50'\?"),
        (
            {'name': 'vit_b16', 'image_size': 100},
            'image_size=100 is no multiple of the 16-pixel patches of vit_b16; 96',
        ),
        ({'name': 'vit_b16', 'num_classes': -1}, 'num_classes=-1'),
        ({'name': 'resnet18', 'image_size': -1}, 'image_size=-1'),
        ({'name': 'resnet18', 'drop_path': 1.0}, r'drop_path=1\.0'),
        ({'name': 'resnet18', 'dropout': -0.1}, r'dropout=-0\.1'),
        ({'name': 'resnet18', 'head_init': 'zero'}, "Did you mean 'zeros'"),
    ],
)
def test_mistakes_are_named(kwargs, message):
    with pytest.raises(UserError, match=message):
        models.create(**{'num_classes': 2, **kwargs})
