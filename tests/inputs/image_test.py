"""What travels with the weights of a network that reads images: as JSON, as a person says it, and in words."""

import json
import math

import jax.numpy as jnp
import pytest

from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import normalise


def test_dict_round_trip():
    settings = ImagePreprocessor(96, (0.5, 0.5, 0.5), (0.25, 0.5, 0.5), 'bilinear', 0.9, True)
    assert ImagePreprocessor.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'image_size': 0}, 'image_size=0'),
        ({'image_size': 8, 'interpolation': 'lanczos'}, 'lanczos'),
        ({'image_size': 8, 'crop_fraction': 0.0}, 'crop_fraction'),
        ({'image_size': 8, 'crop_fraction': 1.2}, 'crop_fraction'),
        ({'image_size': 8, 'std': [1.0, 0.0, 1.0]}, 'std'),
        ({'image_size': 8, 'size': 9}, "unknown field 'size'"),
        ({'image_size': True}, 'image_size=True must be a whole number of pixels'),
        ({'image_size': 8.0}, 'image_size=8.0 must be a whole number of pixels'),
        ({'image_size': '8'}, "image_size='8' must be a whole number of pixels"),
        ({'image_size': 10**9}, 'image_size=1000000000 must be at most 8,192 pixels'),
        ({'image_size': 8, 'image_width': 30_000}, 'image_width=30000 must be at most 8,192 pixels'),
        ({'image_size': 8, 'crop_fraction': 1e-9}, 'cuts 8 pixels from a picture of 8,000,000,000, more than 8,192'),
        ({'image_size': 8, 'crop_fraction': True}, 'crop_fraction=True must be a finite number'),
        ({'image_size': 8, 'squash': 1}, 'squash=1 must be true or false'),
        ({'image_size': 8, 'interpolation': ['bicubic']}, 'interpolation=.* must be a word'),
        ({'image_size': 8, 'mean': '0.5 0.5 0.5'}, 'mean=.* must be finite numbers'),
        ({'image_size': 8, 'mean': ['0.5', '0.5', '0.5']}, 'mean=.* must be finite numbers'),
        ({'image_size': 8, 'mean': 0.5}, 'mean=0.5 must be finite numbers'),
        ({'image_size': 8, 'std': [math.nan, 1.0, 1.0]}, 'std=.* must be finite numbers'),
        ({'image_size': 8, 'std': [math.inf, 1.0, 1.0]}, 'std=.* must be finite numbers'),
        ({'image_size': 8, 'std': [1e-300, 1.0, 1.0]}, 'must lie between 1e-06 and 1e'),
        ({'image_size': 8, 'mean': [10**39, 0, 0]}, 'within'),
        ({'image_size': 8, 'mean': [0.5] * 1025, 'std': [0.5] * 1025}, 'mean has 1,025 channels'),
        ({}, 'image_size is missing'),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(UserError, match=message):
        ImagePreprocessor.from_dict(values)


def test_more_channels_repeat_the_constants_and_pictures_must_have_them():
    many = ImagePreprocessor(8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)).for_channels(5)
    assert many.mean == (0.1, 0.2, 0.3, 0.1, 0.2)
    assert ImagePreprocessor.from_dict(json.loads(json.dumps(many.to_dict()))) == many
    assert normalise(jnp.zeros((2, 8, 8, 5), jnp.uint8), many).shape == (2, 8, 8, 5)
    with pytest.raises(UserError, match='images of 3 channels for a network of 5'):
        normalise(jnp.zeros((2, 8, 8, 3), jnp.uint8), many)


def test_a_person_says_some_fields():
    settings = ImagePreprocessor(96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    said = settings.restated({'interpolation': 'bilinear', 'mean': 0.5, 'std': '0.2 0.3 0.4'})
    assert said == ImagePreprocessor(96, (0.5,) * 3, (0.2, 0.3, 0.4), 'bilinear')
    assert settings.restated({}) == settings


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'size': 9}, "unknown field 'size'"),
        ({'crop_fraction': 'all'}, "crop_fraction='all' must be a finite number"),
        ({'mean': 'grey'}, "mean='grey': a value of the wrong kind"),
        ({'std': '1 2'}, 'a value for each channel'),
    ],
)
def test_what_a_person_cannot_say(fields, message):
    with pytest.raises(UserError, match=message):
        ImagePreprocessor(96).restated(fields)


def test_in_words():
    assert (
        ImagePreprocessor(224, crop_fraction=0.875)
        .summary()
        .startswith('the shorter side to 256 pixels (bicubic), the central 224; mean 0.485')
    )
    assert ImagePreprocessor(96, image_width=48, squash=True).summary().startswith('to 96×48 pixels (bicubic); mean')
    wide = ImagePreprocessor(96, image_width=48, crop_fraction=0.5).summary()
    assert wide.startswith('to cover 192×96 pixels (bicubic), the central 96×48; mean')
