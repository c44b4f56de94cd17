"""Five crops against torchvision's FiveCrop of the picture that Pillow resized, exactly, also of odd sizes."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import view_pixels

pytestmark = pytest.mark.parity
pytest.importorskip('torch')

SIZES = [(427, 640), (301, 200), (200, 301), (223, 225), (333, 64), (255, 255), (37, 53), (1, 1), (7, 1)]


@pytest.mark.parametrize('sides', SIZES)
@pytest.mark.parametrize(('side', 'fraction'), [(224, 0.875), (33, 0.9), (32, 0.95), (32, 1.0)])
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_five_crops_equal_torchvision(sides, side, fraction, interpolation):
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision import transforms

    modes = transforms.InterpolationMode
    image = np.ascontiguousarray(load_sample_images().images[0][: sides[0], : sides[1]])
    reference = transforms.Compose(
        [transforms.Resize(int(side / fraction), modes[interpolation.upper()]), transforms.FiveCrop(side)]
    )(Image.fromarray(image))
    ours = view_pixels(image, ImagePreprocessor(side, interpolation=interpolation, crop_fraction=fraction), crops=5)
    assert len(ours) == len(reference) == 5
    for view, crop in zip(ours, reference, strict=True):
        np.testing.assert_array_equal(view, np.asarray(crop))
