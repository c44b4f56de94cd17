"""BiTs of true shape and random weights against timm and transformers."""

import numpy as np
import pytest

from jtransfer import models
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')

from tests.golden import reference  # noqa: E402

STAGES = {'stem': 'stem', **{f'stages.{index}': f'stage{index + 1}' for index in range(4)}, 'norm': 'norm'}
HF_STAGES = {'bit.embedder': 'stem', 'bit.norm': 'norm'}
HF_STAGES |= {f'bit.encoder.stages.{index}': f'stage{index + 1}' for index in range(4)}
NAMES = [name for name in models.variant_names() if models.describe(name).family == 'bit']


def compare(name, naming, model, image, stages, **kwargs):
    """Our network of that name against a model of the reference's."""
    network = models.create(name, num_classes=1000)
    arrays = reference.reference(reference.randomise(model), image, stages, **kwargs)
    shares = check.evaluation(network, check.naming_called(naming, 'bit', network), arrays, tolerance=1e-4)
    assert set(shares) == {'logits', *network.stages}


def test_r50x1_is_timms():
    model = reference.import_timm().create_model('resnetv2_50x1_bit', num_classes=1000)
    compare('bit_r50x1', 'timm', model, reference.random_image(1, 224, 224), STAGES)


def test_r50x1_is_huggingfaces():
    reference.import_torchvision()
    import transformers

    model = transformers.BitForImageClassification(transformers.BitConfig(num_labels=1000))
    image = reference.random_image(1, 97, 128)
    compare('bit_r50x1', 'huggingface', model, image, HF_STAGES, forward=lambda model, image: model(image).logits)


@pytest.mark.parametrize('name', NAMES)
def test_names_shapes_and_counts_are_timms(name):
    with torch.device('meta'):
        timm_name = name.replace('bit_r', 'resnetv2_') + '_bit'
        theirs = reference.import_timm().create_model(timm_name, num_classes=1000).state_dict()
    zeros = {key: np.broadcast_to(np.float32(0), tuple(value.shape)) for key, value in theirs.items()}
    network = models.create(name, num_classes=1000)
    ours = check.shapes(network, np.zeros((1, 64, 64, 3), 'f4'))
    converted = check.naming_called('timm', 'bit', network).to_ours(zeros, ours)
    assert not converted.unknown
    assert {path: value.shape for path, value in converted.values.items()} == ours
