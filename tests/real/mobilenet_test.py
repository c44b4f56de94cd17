"""Real MobileNetV2 weights, trained on ImageNet, give on real photographs the features that the reference gave."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image

from jtransfer import models
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import normalise
from jtransfer.pretrained.files.tfjs import read_tfjs
from jtransfer.pretrained.load.namemap import choose
from jtransfer.pretrained.names import namings

DATA = pathlib.Path(__file__).parents[3] / 'shared' / 'data'
FOLDER = DATA / 'weights' / 'mobilenet_v2_035_224'
SIDE = 224
# x / 127.5 - 1.
PREPROCESSING = ImagePreprocessor(SIDE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), interpolation='bilinear')

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f'the real weights are not here: {FOLDER}')


@pytest.fixture(scope='module')
def network():
    options = {'padding': 'tensorflow', 'eps': 1e-3}
    return models.create('mobilenetv2_035', num_classes=0, options=options)


@pytest.fixture(scope='module')
def variables(network):
    wanted = traverse_util.flatten_dict(
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3))), sep='/'
    )
    file = read_tfjs(FOLDER)
    naming = choose(namings('mobilenet_v2', network.backbone), list(file), 'model.json')
    assert naming.name == 'keras'
    converted = naming.to_ours(file, {path: leaf.shape for path, leaf in wanted.items()})
    assert not converted.unknown
    assert converted.ignored == ('dense_Dense1/kernel', 'dense_Dense1/bias', 'dense_Dense2/kernel')
    assert {path: value.shape for path, value in converted.values.items()} == {p: x.shape for p, x in wanted.items()}
    return traverse_util.unflatten_dict({path: jnp.asarray(x) for path, x in converted.values.items()}, sep='/')


def pixels(path):
    """The central square of the whole shorter side, resized."""
    with Image.open(path) as image:
        image = image.convert('RGB')
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def test_features_of_photographs(network, variables):
    with np.load(FOLDER / 'reference.npz') as file:
        files, expected = file['files'], file['features']
    images = normalise(
        jnp.asarray(np.stack([pixels(DATA / 'clothing' / 'test' / name) for name in files])), PREPROCESSING
    )
    forward = jax.jit(network.apply, compiler_options={'xla_backend_optimization_level': 3})
    features = np.asarray(forward(variables, images)['pooled'])
    assert features.shape == expected.shape == (31, 1280)
    difference = np.abs(features - expected).max() / np.abs(expected).max()
    # Measured: 3.8e-6.
    print(f'features: {difference:.1e}')
    assert difference < 2e-5
