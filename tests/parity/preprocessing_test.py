"""Our evaluation pixels against timm's own transforms, exactly, in uint8, on photographs and on odd sizes."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from jtransfer.preprocessing import Preprocessing, evaluation_pixels

pytestmark = pytest.mark.parity
pytest.importorskip('torch')

PHOTOS = sorted((pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'photos').glob('*.JPEG'))
ODD = [(1, 1), (7, 301), (301, 7), (223, 225), (640, 427), (333, 500), (255, 255), (256, 641)]


def pictures():
    """Photographs, where they are at hand, and noise of odd sizes."""
    for index, (height, width) in enumerate(ODD):
        yield f'{height}×{width}', np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
    for path in PHOTOS:
        yield path.name, np.asarray(Image.open(path).convert('RGB'))


@pytest.mark.parametrize('mode', ['center', 'squash'])
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize(
    ('shape', 'fraction'),
    [((224, 224), 0.875), ((224, 224), 0.95), ((288, 288), 1.0), ((33, 33), 0.9), ((96, 160), 0.9)],
)
def test_evaluation_pixels_equal_timm(shape, fraction, interpolation, mode):
    from tests.golden.reference import import_timm

    import_timm()
    from timm.data.transforms_factory import transforms_imagenet_eval

    # No normalisation, no conversion to tensors of [0, 1]: the pixels.
    reference = transforms_imagenet_eval(
        shape, crop_pct=fraction, crop_mode=mode, interpolation=interpolation, use_prefetcher=True
    )
    preprocessing = Preprocessing(
        shape[0],
        interpolation=interpolation,
        crop_fraction=fraction,
        squash=mode == 'squash',
        image_width=0 if shape[0] == shape[1] else shape[1],
    )
    compared = 0
    for name, picture in pictures():
        height, width = picture.shape[:2]
        if max(height, width) > 32 * min(height, width):
            continue
        theirs = np.asarray(reference(Image.fromarray(picture)))
        theirs = theirs.transpose(1, 2, 0) if theirs.shape[0] == 3 else theirs
        np.testing.assert_array_equal(evaluation_pixels(picture, preprocessing), theirs, err_msg=name)
        compared += 1
    assert compared >= 6
