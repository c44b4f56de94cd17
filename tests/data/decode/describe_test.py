"""Tests of jtransfer/data/decode/describe.py."""

import dataclasses
import hashlib
import itertools
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.decode import images
from jtransfer.data.decode.describe import describe, name_of
from jtransfer.inputs.base import Hold
from jtransfer.inputs.feature import FeaturePreprocessor
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import ImageViews, TrainingImage
from jtransfer.inputs.prepare import Prepare

SETTINGS = ImagePreprocessor(16)
DIFFERENT = [
    TrainingImage(SETTINGS, crops=True),
    TrainingImage(SETTINGS, crops=False),
    TrainingImage(SETTINGS, crops=True, sizes=(24,)),
    TrainingImage(ImagePreprocessor(17), crops=False),
    TrainingImage(ImagePreprocessor(16, interpolation='bilinear'), crops=False),
    TrainingImage(ImagePreprocessor(16, interpolation='bilinear'), crops=True),
    TrainingImage(ImagePreprocessor(16, crop_fraction=0.9), crops=False),
    TrainingImage(ImagePreprocessor(16, squash=True), crops=False),
    TrainingImage(ImagePreprocessor(16, image_width=20), crops=False),
    ImageViews(SETTINGS),
    ImageViews(SETTINGS, crops=5),
    ImageViews(SETTINGS, scales=(1.0, 1.5)),
    Hold(FeaturePreprocessor((4,), 'stage2')),
    Hold(FeaturePreprocessor((5,), 'stage2')),
]


def test_what_differs_is_described_differently():
    described = [describe(prepare) for prepare in DIFFERENT]
    assert None not in described
    assert all(a != b for a, b in itertools.combinations(described, 2))


def test_what_is_equal_is_described_alike():
    assert describe(TrainingImage(dataclasses.replace(SETTINGS), crops=True)) == describe(DIFFERENT[0])


def test_networks_that_frame_otherwise_share_whole_images():
    for other in (ImagePreprocessor(16, crop_fraction=0.9, squash=True), ImagePreprocessor(12, image_width=16)):
        assert describe(TrainingImage(other, crops=True)) == describe(DIFFERENT[0])


def test_the_range_of_values_is_described():
    ranges = ((), (0.0, 1.0), (0.0, 4095.0))
    assert len({describe(DIFFERENT[0], ends) for ends in ranges}) == 3


def test_mean_and_std_are_of_no_account():
    other = ImagePreprocessor(16, mean=(0.5,) * 3, std=(0.5,) * 3)
    for crops in (True, False):
        assert describe(TrainingImage(other, crops)) == describe(TrainingImage(SETTINGS, crops))
    assert describe(ImageViews(other)) == describe(ImageViews(SETTINGS))


@dataclasses.dataclass(frozen=True)
class Cut(Prepare):
    side: Any

    @property
    def spec(self):
        return {}

    def __call__(self, example):
        return {'image': example['image'][: self.side, : self.side]}


def test_dataclasses_of_any_module_can_be_described():
    assert describe(Cut(4)) != describe(Cut(5)) is not None


@pytest.mark.parametrize('value', [np.ones(3), lambda: 4, Image])
def test_what_text_cannot_stand_for_is_not_described(value):
    assert describe(Cut(value)) is None


def test_classes_of_a_session_are_not_described(monkeypatch):
    monkeypatch.setattr(Cut, '__module__', '__main__')
    monkeypatch.setattr(sys.modules['__main__'], 'Cut', Cut, raising=False)
    assert describe(Cut(4)) is None


def test_other_versions_are_another_description(monkeypatch):
    before = describe(DIFFERENT[0])
    for place, name in ((images, 'VERSION'), (TrainingImage, 'version')):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, 99)
            assert describe(DIFFERENT[0]) != before
    with monkeypatch.context() as patch:
        patch.setattr(ImagePreprocessor, 'version', 99)
        assert describe(DIFFERENT[1]) != describe(TrainingImage(SETTINGS, crops=True))
    monkeypatch.setattr('PIL.__version__', '0')
    assert describe(DIFFERENT[0]) != before


def test_a_change_of_the_pixels_needs_another_version(tmp_path):
    """Who makes other pixels of these files raises a version, see `images.VERSION`, and records the digest anew."""
    random = np.random.default_rng(0)
    grey16 = (random.integers(0, 65536, (23, 30))).astype(np.uint16)
    colours = random.integers(0, 256, (19, 41, 4), dtype=np.uint8)
    for name, image in {
        'rgb': Image.fromarray(colours[..., :3]),
        'transparent': Image.fromarray(colours),
        'palette': Image.fromarray(colours[..., :3]).quantize(16),
        'grey16': Image.fromarray(grey16),
    }.items():
        image.save(tmp_path / f'{name}.png')
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(tmp_path.iterdir()):
        image, _ = images.read_image(path, path.name)
        for prepare in (DIFFERENT[0], DIFFERENT[6], DIFFERENT[10]):
            digest.update(prepare({'image': image})['image'].tobytes())
    versions = images.VERSION, TrainingImage.version, ImageViews.version, ImagePreprocessor.version
    assert (versions, digest.hexdigest()) == ((1, 1, 1, 1), 'cb1483d65d9289ff')


def test_names_are_short():
    assert name_of(DIFFERENT[0]) == 'trainingimage'
