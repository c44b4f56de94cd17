"""ResNets of true shape and random weights against timm, torchvision and transformers."""

import numpy as np
import pytest

from jtransfer import models
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')

from tests.golden import reference  # noqa: E402

STAGES = {'maxpool': 'stem', **{f'layer{index}': f'stage{index}' for index in range(1, 5)}}
TOLERANCE = 1e-4
# The networks that timm has under the same name.
NAMES = [
    name
    for name in models.variant_names()
    if models.describe(name).family == 'resnet' and not name.startswith(('cifar_', 'resnet_'))
]


def compare(name, model, image, naming='timm', stages=STAGES, **kwargs):
    """Our network of that name against a model of the reference's."""
    network = models.create(name, num_classes=1000)
    arrays = reference.reference(reference.randomise(model), image, stages, **kwargs)
    table = check.naming_called(naming, 'resnet', network)
    shares = check.evaluation(network, table, arrays, TOLERANCE)
    assert len(shares) >= 5
    if kwargs.get('train'):
        check.training(network, table, arrays, TOLERANCE)


MAKERS = {
    'timm': lambda: reference.import_timm().create_model('resnet50'),
    'torchvision': lambda: reference.import_torchvision().models.resnet50(),
}


@pytest.mark.parametrize('library', MAKERS)
def test_resnet50_at_its_own_size(library):
    compare('resnet50', MAKERS[library](), reference.random_image(1, 224, 224))


@pytest.mark.parametrize('library', MAKERS)
def test_resnet50_in_training_mode(library):
    compare('resnet50', MAKERS[library](), reference.random_image(4, 64, 64), train=True)


@pytest.mark.parametrize(
    'name', ['resnet18', 'resnet26', 'resnext50_32x4d', 'wide_resnet50_2', 'resnet34d', 'resnet50d']
)
def test_the_other_forms(name):
    model = reference.import_timm().create_model(name)
    compare(name, model, reference.random_image(2, 75, 64))


def test_huggingfaces_resnet50():
    reference.import_torchvision()
    import transformers

    stages = {'resnet.embedder': 'stem'}
    stages |= {f'resnet.encoder.stages.{index}': f'stage{index + 1}' for index in range(4)}
    model = transformers.ResNetForImageClassification(transformers.ResNetConfig(num_labels=1000))
    image = reference.random_image(1, 96, 96)
    compare('resnet50', model, image, 'huggingface', stages, forward=lambda model, image: model(image).logits)


@pytest.mark.parametrize('name', NAMES)
def test_names_shapes_and_counts_are_timms(name):
    with torch.device('meta'):
        theirs = reference.import_timm().create_model(name).state_dict()
    zeros = {key: np.broadcast_to(np.float32(0), tuple(value.shape)) for key, value in theirs.items()}
    network = models.create(name, num_classes=1000)
    ours = check.shapes(network, np.zeros((1, 64, 64, 3), 'f4'))
    converted = check.naming_called('timm', 'resnet', network).to_ours(zeros, ours)
    assert not converted.unknown
    assert {path: value.shape for path, value in converted.values.items()} == ours


def test_another_shortcut_would_be_noticed_at_this_shape():
    network = models.create('resnet18', num_classes=1000, options={'shortcut': 'pool'})
    model = reference.randomise(reference.import_timm().create_model('resnet18'))
    arrays = reference.reference(model, reference.random_image(1, 64, 64), STAGES)
    naming = check.naming_called('timm', 'resnet', models.create('resnet18', num_classes=1000))
    with pytest.raises(AssertionError, match='differs'):
        check.evaluation(network, naming, arrays, TOLERANCE)
