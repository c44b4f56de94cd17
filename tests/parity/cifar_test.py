"""Real weights end to end: three CIFAR-10 networks predict what their own implementation predicts, image by image.

github.com/akamaster/pytorch_resnet_cifar10 (PyTorch). Its predictions on 4,000 training images, lossless, and 2,000
test images, JPEG, lie beside the weights. All of this file takes about a minute on two cores.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jtransfer.inputs.image_pixels import normalise
from jtransfer.pretrained.model import load_model

DATA = pathlib.Path(__file__).parents[3] / 'shared' / 'data'
WEIGHTS = {
    'cifar_resnet20': 'cifar_resnet20-12fca82f.th',
    'cifar_resnet32': 'cifar_resnet32-d509ac18.th',
    'cifar_resnet44': 'cifar_resnet44-014dd654.th',
}
# Per cent of right answers that the reference implementation gave.
ACCURACY = {
    'train4000': {'cifar_resnet20': 99.80, 'cifar_resnet32': 100.0, 'cifar_resnet44': 99.975},
    'jpeg2000': {'cifar_resnet20': 81.35, 'cifar_resnet32': 83.80, 'cifar_resnet44': 82.20},
}
CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
BATCH = 250

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not DATA.is_dir(), reason=f'the real weights and images are not there: {DATA}'),
]


@functools.cache
def pictures(part):
    """Pixels (uint8) and labels, in the order of the reference's predictions."""
    if part == 'train4000':
        with np.load(DATA / 'cifar10_train4000.npz') as file:
            return file['images'], file['labels']
    files = [path for name in CLASSES for path in sorted((DATA / 'cifar10_jpeg' / name).glob('*.jpg'))]
    labels = np.array([CLASSES.index(path.parent.name) for path in files])
    return np.stack([np.asarray(Image.open(path).convert('RGB')) for path in files]), labels


@functools.cache
def classifier(name):
    """From uint8 pixels [batch, 32, 32, 3] to logits, with the published weights."""
    model = load_model(DATA / 'weights' / WEIGHTS[name], architecture=name)

    # tests/conftest.py turns the optimisations off.
    @functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 3})
    def logits(pixels):
        with jax.default_matmul_precision('highest'):
            return model.network.apply(model.variables, normalise(pixels, model.preprocessing))['']

    return logits


@pytest.mark.parametrize('part', ACCURACY)
@pytest.mark.parametrize('name', WEIGHTS)
def test_predictions_are_those_of_the_reference(name, part):
    images, labels = pictures(part)
    batches = [jnp.asarray(images[index : index + BATCH]) for index in range(0, len(images), BATCH)]
    logits = np.concatenate([classifier(name)(batch) for batch in batches])
    with np.load(DATA / 'weights' / 'cifar_resnet_reference.npz') as file:
        key = name.removeprefix('cifar_') + f'_{part}'
        predicted, first = file[f'{key}_pred'], file[f'{key}_logits64']
    assert len(logits) == len(predicted)
    share = np.abs(logits[: len(first)] - first).max() / np.abs(first).max()
    assert share < 1e-4, f'logits differ by {share:.1e} of the largest magnitude'
    different = np.flatnonzero(logits.argmax(-1) != predicted)
    assert not len(different), f'{len(different)} labels differ, the first of image {different[0]}'
    assert 100 * np.mean(logits.argmax(-1) == labels) == pytest.approx(ACCURACY[part][name], abs=1e-6)


def test_other_input_numbers_would_be_noticed():
    images, _ = pictures('jpeg2000')
    model = load_model(DATA / 'weights' / WEIGHTS['cifar_resnet20'], architecture='cifar_resnet20')
    with np.load(DATA / 'weights' / 'cifar_resnet_reference.npz') as file:
        predicted = file['resnet20_jpeg2000_pred'][::20]
    pixels = jnp.asarray(images[::20])
    np.testing.assert_array_equal(classifier('cifar_resnet20')(pixels).argmax(-1), predicted)
    other = jax.jit(model.network.apply)(model.variables, pixels / 127.5 - 1)[''].argmax(-1)
    assert (np.asarray(other) != predicted).any()
