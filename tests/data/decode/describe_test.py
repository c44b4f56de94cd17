"""Tests of jtransfer/data/decode/describe.py."""

import dataclasses
import functools
import itertools
import sys

import numpy as np
import pytest

from jtransfer.data.decode import describe as describe_module
from jtransfer.data.decode.describe import describe, name_of
from jtransfer.evaluate.views import Views
from jtransfer.inputs.image import Preprocessing, evaluation_pixels, training_pixels, whole_picture

SETTINGS = Preprocessing(16)
DIFFERENT = [
    training_pixels(SETTINGS, crops=True),
    training_pixels(SETTINGS, crops=False),
    training_pixels(SETTINGS, crops=True, sizes=(24,)),
    training_pixels(Preprocessing(17), crops=False),
    training_pixels(Preprocessing(16, interpolation='bilinear'), crops=False),
    training_pixels(Preprocessing(16, interpolation='bilinear'), crops=True),
    training_pixels(Preprocessing(16, crop_fraction=0.9), crops=False),
    training_pixels(Preprocessing(16, squash=True), crops=False),
    training_pixels(Preprocessing(16, image_width=20), crops=False),
    Views(SETTINGS),
    Views(SETTINGS, crops=5),
    Views(SETTINGS, scales=(1.0, 1.5)),
    functools.partial(whole_picture, side=18),
    functools.partial(whole_picture, side=19),
]


def test_what_differs_is_described_differently():
    described = [describe(pixels) for pixels in DIFFERENT]
    assert None not in described
    assert all(a != b for a, b in itertools.combinations(described, 2))


def test_what_is_equal_is_described_alike():
    again = training_pixels(dataclasses.replace(SETTINGS), crops=True)
    assert describe(again) == describe(DIFFERENT[0])
    assert describe(functools.partial(whole_picture, interpolation='bicubic', side=18)) == describe(
        functools.partial(whole_picture, side=18, interpolation='bicubic')
    )


def test_the_range_of_values_is_described():
    ranges = ((), (0.0, 1.0), (0.0, 4095.0))
    assert len({describe(DIFFERENT[0], ends) for ends in ranges}) == 3


def test_mean_and_std_are_of_no_account():
    other = Preprocessing(16, mean=(0.5,) * 3, std=(0.5,) * 3)
    for crops in (True, False):
        assert describe(training_pixels(other, crops)) == describe(training_pixels(SETTINGS, crops))
    assert describe(Views(other)) == describe(Views(SETTINGS))


def of_this_module(image):
    return image[:4, :4]


@dataclasses.dataclass(frozen=True)
class Cut:
    side: object

    def __call__(self, image):
        return image[: self.side, : self.side]


def test_functions_and_dataclasses_of_any_module_can_be_described():
    assert describe(of_this_module) != describe(functools.partial(of_this_module)) is not None
    assert describe(Cut(4)) != describe(Cut(5)) is not None


@pytest.mark.parametrize(
    'pixels',
    [
        lambda image: image,
        functools.partial(lambda image, side: image[:side], side=4),
        functools.partial(evaluation_pixels, preprocessing=np.ones(3)),
        Cut(np.ones(3)),
        Cut(lambda: 4),
        np.asarray,
    ],
)
def test_what_names_cannot_tell_apart_is_not_described(pixels):
    assert describe(pixels) is None


def test_functions_of_a_session_are_not_described(monkeypatch):
    monkeypatch.setattr(of_this_module, '__module__', '__main__')
    monkeypatch.setattr(sys.modules['__main__'], 'of_this_module', of_this_module, raising=False)
    assert describe(of_this_module) is None


@pytest.mark.parametrize('name', ['jtransfer.inputs.image', 'jtransfer.data.decode.images'])
def test_other_code_and_another_pillow_are_another_description(monkeypatch, name):
    before = describe(DIFFERENT[0])
    code = describe_module._code
    with monkeypatch.context() as patch:
        patch.setattr(describe_module, '_code', lambda module: 'other' if module == name else code(module))
        assert describe(DIFFERENT[0]) != before
    monkeypatch.setattr('PIL.__version__', '0')
    assert describe(DIFFERENT[0]) != before


def test_names_are_short():
    assert name_of(training_pixels(SETTINGS, crops=True)) == 'whole_picture'
    assert name_of(Views(SETTINGS)) == 'views'
    assert name_of(of_this_module) == 'of_this_module'
