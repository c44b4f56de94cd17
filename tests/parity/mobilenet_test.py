"""MobileNetV2 of true shape and random weights against timm, torchvision and transformers."""

import flax.linen as nn
import numpy as np
import pytest

from jtransfer import models
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')

from tests.golden import reference  # noqa: E402
from tests.parity import gradients  # noqa: E402

# The last block of each stage.
LAST = (1, 3, 6, 10, 13, 16, 17)
STAGES = {
    'timm': {'bn1': 'stem', **{f'blocks.{index}': f'stage{index + 1}' for index in range(7)}, 'bn2': 'top'},
    'torchvision': {
        'features.0': 'stem',
        **{f'features.{last}': f'stage{index + 1}' for index, last in enumerate(LAST)},
        'features.18': 'top',
    },
    'huggingface': {
        'mobilenet_v2.conv_stem.first_conv': 'stem',
        'mobilenet_v2.conv_stem': 'stage1',
        **{f'mobilenet_v2.layer.{last - 2}': f'stage{index + 1}' for index, last in enumerate(LAST) if index},
        'mobilenet_v2.conv_1x1': 'top',
    },
}
TOLERANCE = 1e-4
# timm has all of these but 1.3; torchvision makes every width.
WIDTHS = {'035': 0.35, '050': 0.5, '075': 0.75, '100': 1.0, '130': 1.3, '140': 1.4}


def timm_model(name, **kwargs):
    return reference.import_timm().create_model(name, **kwargs)


def torchvision_model(width):
    return reference.import_torchvision().models.mobilenet_v2(width_mult=width, dropout=0.0)


def compare(name, model, image, naming, options=None, **kwargs):
    """Our network of that name against a model of the reference's."""
    network = models.create(name, num_classes=1000, options=options)
    arrays = reference.reference(reference.randomise(model), image, STAGES[naming], **kwargs)
    table = check.naming_called(naming, 'mobilenet_v2', network)
    shares = check.evaluation(network, table, arrays, TOLERANCE)
    assert len(shares) == 10
    print(f'{name} {naming}: {max(shares.values()):.1e}')
    if kwargs.get('train'):
        check.training(network, table, arrays, TOLERANCE)


def test_timms_at_its_own_size():
    compare('mobilenetv2_100', timm_model('mobilenetv2_100'), reference.random_image(1, 224, 224), 'timm')


def test_torchvisions_at_its_own_size():
    compare('mobilenetv2_100', torchvision_model(1.0), reference.random_image(1, 224, 224), 'torchvision')


def test_timms_in_training_mode():
    image = reference.random_image(4, 64, 64)
    compare('mobilenetv2_035', timm_model('mobilenetv2_035'), image, 'timm', train=True)


@pytest.mark.parametrize('name', ['mobilenetv2_140', 'mobilenetv2_110d'])
def test_the_other_forms(name):
    compare(name, timm_model(name), reference.random_image(2, 75, 64), 'timm')


@pytest.mark.parametrize('tf_padding', [True, False])
def test_huggingfaces_with_tensorflows_padding_and_without(tf_padding):
    reference.import_torchvision()
    import transformers

    config = transformers.MobileNetV2Config(num_labels=1000, tf_padding=tf_padding)
    model = transformers.MobileNetV2ForImageClassification(config)
    options = {'eps': 1e-3, 'padding': 'tensorflow' if tf_padding else 'torch'}
    image = reference.random_image(1, 96, 83)
    forward = {'forward': lambda model, image: model(image).logits}
    compare('mobilenetv2_100', model, image, 'huggingface', options, **forward)


def test_gradients_are_timms():
    shares = gradients.compare('mobilenetv2_050', 'mobilenet_v2', timm_model('mobilenetv2_050'))
    print(f'largest difference of a gradient: {max(shares.values()):.1e}')
    assert max(shares.values()) < gradients.TOLERANCE, max(shares, key=shares.get)


def test_gradients_in_training_mode_are_timms(monkeypatch):
    # A value within rounding of a kink of the ReLU6 has one gradient here and another there, and among hundreds of
    # thousands there are some.
    monkeypatch.setattr(nn, 'relu6', nn.silu)
    model = timm_model('mobilenetv2_050', act_layer='silu')
    shares = gradients.compare('mobilenetv2_050', 'mobilenet_v2', model, train=True, batch=4)
    print(f'largest difference of a gradient in training mode: {max(shares.values()):.1e}')
    assert max(shares.values()) < gradients.TOLERANCE, max(shares, key=shares.get)
    # Of 158, the others are the biases that the next batch normalisation takes away.
    assert len(shares) > 140


@pytest.mark.parametrize('name', ['035', '050', '075', '100', '140', '110d', '120d'])
def test_names_shapes_and_counts_are_timms(name):
    with torch.device('meta'):
        theirs = timm_model(f'mobilenetv2_{name}').state_dict()
    same_tensors(f'mobilenetv2_{name}', 'timm', theirs)


@pytest.mark.parametrize('name', WIDTHS)
def test_names_shapes_and_counts_are_torchvisions(name):
    with torch.device('meta'):
        theirs = torchvision_model(WIDTHS[name]).state_dict()
    same_tensors(f'mobilenetv2_{name}', 'torchvision', theirs)


def same_tensors(name, naming, theirs):
    """Our network of that name has the reference's tensors."""
    network = models.create(name, num_classes=1000)
    ours = check.shapes(network, np.zeros((1, 32, 32, 3), 'f4'))
    table = check.naming_called(naming, 'mobilenet_v2', network)
    exported = table.to_theirs({path: np.broadcast_to(np.float32(0), shape) for path, shape in ours.items()})
    assert {key: value.shape for key, value in exported.items()} == {
        key: tuple(value.shape) for key, value in theirs.items()
    }
