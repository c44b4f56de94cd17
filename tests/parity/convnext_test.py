"""ConvNeXts of true shape and random weights against timm and transformers."""

import numpy as np
import pytest

from jtransfer import models
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')

from tests.golden import reference  # noqa: E402
from tests.parity import gradients  # noqa: E402

STAGES = {'stem': 'stem', **{f'stages.{index}': f'stage{index + 1}' for index in range(4)}}
TOLERANCE = 1e-4
NAMES = [name for name in models.variant_names() if models.describe(name).family == 'convnext']


def compare(name, model, image, naming='timm', stages=STAGES, **kwargs):
    """Our network of that name against a model of the reference's."""
    network = models.create(name, num_classes=1000)
    arrays = reference.reference(reference.randomise(model), image, stages, **kwargs)
    shares = check.evaluation(network, check.naming_called(naming, 'convnext', network), arrays, TOLERANCE)
    assert len(shares) >= 5
    print(f'{name}: {max(shares.values()):.1e}')


def test_convnext_tiny_at_its_own_size():
    compare('convnext_tiny', reference.import_timm().create_model('convnext_tiny'), reference.random_image(1, 224, 224))


@pytest.mark.parametrize('name', ['convnext_atto', 'convnext_small', 'convnextv2_nano', 'convnextv2_tiny'])
def test_the_other_forms(name):
    compare(name, reference.import_timm().create_model(name), reference.random_image(2, 75, 96))


@pytest.mark.parametrize(('name', 'version'), [('convnext_tiny', 'ConvNext'), ('convnextv2_tiny', 'ConvNextV2')])
def test_huggingfaces(name, version):
    reference.import_torchvision()
    import transformers

    config = getattr(transformers, f'{version}Config')(num_labels=1000)
    model = getattr(transformers, f'{version}ForImageClassification')(config)
    stages = {f'{version.lower()}.encoder.stages.{index}': f'stage{index + 1}' for index in range(4)}
    image = reference.random_image(1, 96, 64)
    compare(name, model, image, 'huggingface', stages, forward=lambda model, image: model(image).logits)


@pytest.mark.parametrize('name', ['convnext_atto', 'convnextv2_atto'])
def test_gradients_are_timms(name):
    shares = gradients.compare(name, 'convnext', reference.import_timm().create_model(name))
    print(f'{name}: {max(shares.values()):.1e}')
    assert max(shares.values()) < gradients.TOLERANCE, max(shares, key=shares.get)


@pytest.mark.parametrize('name', NAMES)
def test_names_shapes_and_counts_are_timms(name):
    with torch.device('meta'):
        model = reference.import_timm().create_model(name)
    network = models.create(name, num_classes=1000)
    ours = check.shapes(network, np.zeros((1, 32, 32, 3), 'f4'))
    naming = check.naming_called('timm', 'convnext', network)
    # Also back: whether the matrices of the MLP are convolutions is the variant's to know.
    exported = naming.to_theirs({path: np.broadcast_to(np.float32(0), shape) for path, shape in ours.items()})
    assert {key: value.shape for key, value in exported.items()} == {
        key: tuple(value.shape) for key, value in model.state_dict().items()
    }
    assert models.describe(name).kwargs.get('eps', 1e-6) == model.head.norm.eps


def test_another_epsilon_would_be_noticed_at_this_shape():
    network = models.create('convnext_atto', num_classes=1000, options={'eps': 1e-2})
    model = reference.randomise(reference.import_timm().create_model('convnext_atto'))
    arrays = reference.reference(model, reference.random_image(1, 64, 64), STAGES)
    with pytest.raises(AssertionError, match='differs'):
        check.evaluation(network, check.naming_called('timm', 'convnext', network), arrays, TOLERANCE)
