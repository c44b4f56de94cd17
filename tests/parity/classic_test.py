"""AlexNet, VGG and GoogLeNet in their true shapes against torchvision and timm, with random weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models
from jtransfer.inputs.image_pixels import normalise
from jtransfer.models.layers.pooling import adaptive_average_pool, ceil_max_pool
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')
reference = pytest.importorskip('tests.golden.reference')
make_classic = pytest.importorskip('tests.golden.make_classic')

CLASSES = 10


def naming_of(name, source, network):
    """The naming called `source` of a variant's family."""
    return check.naming_called(source, models.describe(name).family, network)


def counted(name, model):
    """Whether ours has as many parameters as theirs, with the classes that theirs has."""
    network = models.create(name, num_classes=CLASSES)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
    return ours == sum(parameter.numel() for parameter in model.parameters())


def test_alexnet():
    network = models.create('alexnet', num_classes=CLASSES)
    model = reference.randomise(make_classic.torchvision.models.alexnet(num_classes=CLASSES))
    assert counted('alexnet', model)
    arrays = reference.reference(model, reference.random_image(1, 224, 224), make_classic.ALEXNET_STAGES)
    naming = naming_of('alexnet', 'torchvision', network)
    check.evaluation(network, naming, arrays, tolerance=1e-4)
    check.round_trip(network, naming, arrays)


@pytest.mark.parametrize('name', ['vgg16', 'vgg11_bn'])
def test_vgg_of_torchvision(name):
    network = models.create(name, num_classes=CLASSES)
    model = getattr(make_classic.torchvision.models, name)(num_classes=CLASSES, init_weights=False)
    reference.randomise(model)
    assert counted(name, model)
    stages = make_classic.vgg_stages(model.features) | {'classifier.1': 'fc1', 'classifier.4': 'fc2'}
    arrays = reference.reference(model, reference.random_image(1, 96, 65), stages)
    check.evaluation(network, naming_of(name, 'torchvision', network), arrays, tolerance=1e-4)


@pytest.mark.parametrize('name', ['vgg16', 'vgg16_bn'])
def test_vgg_of_timm(name):
    network = models.create(name, num_classes=CLASSES)
    model = reference.randomise(make_classic.timm.create_model(name, num_classes=CLASSES))
    assert counted(name, model)
    arrays = reference.reference(model, reference.random_image(1, 65, 96), make_classic.vgg_stages(model.features))
    check.evaluation(network, naming_of(name, 'timm', network), arrays, tolerance=1e-4)


@pytest.mark.parametrize('name', ['vgg13', 'vgg19', 'vgg13_bn', 'vgg16_bn', 'vgg19_bn'])
def test_the_other_vggs_have_as_many_parameters(name):
    with torch.device('meta'):
        model = getattr(make_classic.torchvision.models, name)(num_classes=CLASSES, init_weights=False)
    assert counted(name, model)


@pytest.fixture(scope='module')
def googlenet():
    """torchvision's GoogLeNet, what it said to ImageNet-normalised pixels, and the pixels."""
    model = make_classic.torchvision.models.GoogLeNet(
        CLASSES, transform_input=True, init_weights=False, dropout=0.0, dropout_aux=0.0
    )
    reference.randomise(model)
    pixels = make_classic.pixels(2, 224, 224)
    arrays = make_classic.googlenet_arrays(model, pixels)
    return model, arrays, reference.to_numpy(pixels).astype(np.uint8)


def test_googlenet(googlenet):
    model, arrays, pixels = googlenet
    network = models.create('googlenet', num_classes=CLASSES)
    # torchvision had ImageNet-normalised pixels and transform_input=True; we take what the variant says.
    ours = np.asarray(normalise(jnp.asarray(pixels), models.describe('googlenet').preprocessing))
    arrays = {name: value for name, value in arrays.items() if not name.startswith('feature/stage4/')}
    check.evaluation(network, naming_of('googlenet', 'torchvision', network), {**arrays, 'image': ours}, tolerance=1e-4)
    auxiliary = sum(p.numel() for name, p in model.named_parameters() if name.startswith('aux'))
    whole = sum(p.numel() for p in model.parameters())
    variables = jax.eval_shape(network.init, jax.random.key(0), ours)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == whole - auxiliary


def test_googlenet_with_auxiliary_heads_in_training(googlenet):
    model, arrays, _ = googlenet
    assert counted('googlenet_aux', model)
    network = models.create('googlenet_aux', num_classes=CLASSES, options={'aux_dropout': 0.0})
    naming = naming_of('googlenet_aux', 'torchvision', network)
    variables = check.variables(network, naming, arrays)
    run = functools.partial(network.apply, mutable=['batch_stats'], method='training_logits')
    with jax.default_matmul_precision('highest'):
        (logits, [(_, first), (_, second)], _), _ = jax.jit(run)(variables, arrays['image'])
    check.close(logits[''], arrays['train/logits'], 1e-4, 'logits')
    check.close(first[''], arrays['train/aux1'], 1e-4, 'aux1')
    check.close(second[''], arrays['train/aux2'], 1e-4, 'aux2')


@pytest.mark.parametrize('side', range(1, 31))
def test_pools_are_those_of_torch(side):
    image = reference.random_image(2, side, side + 3)
    ours = jnp.asarray(reference.to_numpy(image))
    for grid in (4, 6, 7):
        theirs = torch.nn.functional.adaptive_avg_pool2d(image, (grid, grid + 1))
        check.close(adaptive_average_pool(ours, grid, grid + 1), reference.to_numpy(theirs), 1e-6, f'grid {grid}')
    for kernel in (2, 3):
        if side > kernel - 2:
            theirs = torch.nn.functional.max_pool2d(image, kernel, 2, ceil_mode=True)
            np.testing.assert_array_equal(ceil_max_pool(ours, kernel, 2), reference.to_numpy(theirs))
