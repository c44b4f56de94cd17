"""Features of pictures: every stage of every family by one call."""

import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.inputs.image_pixels import evaluation_pixels, normalise
from jtransfer.pretrained.features import extract_features
from jtransfer.pretrained.model import load_model

PICTURES = [np.random.default_rng(i).integers(0, 256, (20 + i, 31 - i, 3), np.uint8) for i in range(5)]


@pytest.mark.parametrize('architecture', ['resnet_tiny', 'vit_tiny_test'])
def test_every_stage_whatever_the_batches(architecture):
    model = load_model(architecture=architecture, num_classes=3, seed=5)
    stages = (*model.network.stages, 'pooled')
    features = extract_features(model, iter(PICTURES), stages, batch_size=2)
    assert list(features) == list(stages)
    pixels = np.stack([evaluation_pixels(picture, model.preprocessing) for picture in PICTURES])
    inputs = normalise(jnp.asarray(pixels), model.preprocessing)
    expected = model.network.apply(model.variables, inputs, method='features')
    for stage in stages:
        assert len(features[stage]) == len(PICTURES)
        np.testing.assert_allclose(features[stage], expected[stage], rtol=1e-4, atol=1e-5)
    assert list(extract_features(model, PICTURES)) == ['pooled']


def test_mistakes_are_named():
    model = load_model(architecture='resnet_tiny', num_classes=3)
    with pytest.raises(UserError, match=r"resnet_tiny has no stage 'stage3'\. Did you mean"):
        extract_features(model, PICTURES, ('stage3',))
    with pytest.raises(UserError, match='at least one stage of stem, '):
        extract_features(model, PICTURES, ())
    with pytest.raises(UserError, match='no examples to take features of'):
        extract_features(model, [])
    with pytest.raises(UserError, match=r'not float64 of shape \(20, 31, 3\)'):
        extract_features(model, [PICTURES[0] / 255])
    with pytest.raises(UserError, match=r'shape \(31, 3\); hand over a list of them'):
        extract_features(model, PICTURES[0])
    assert list(extract_features(model, PICTURES[:1], 'stem')) == ['stem']
    with pytest.raises(UserError, match='batch_size=0'):
        extract_features(model, PICTURES, batch_size=0)
