"""Tests of jtransfer/data/sources/glyphs.py."""

import pickle

import numpy as np
import pytest

from jtransfer.data.sources import glyphs
from jtransfer.data.sources.glyphs import CLASS_NAMES, FONTS, GlyphSource


def test_classes_are_those_of_emnist_balanced():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 47
    assert ''.join(c for c in CLASS_NAMES if c.islower()) == 'abdefghnqrt'


def test_sizes_and_balance():
    for split, size in (('train', 40_000), ('validation', 4_700), ('test', 4_700)):
        counts = np.bincount(GlyphSource(split).labels[''], minlength=47)
        assert counts.sum() == size
        assert counts.max() - counts.min() <= 1


def test_an_image_is_a_pure_function_of_seed_split_and_index():
    source = GlyphSource('train')
    image = source[53]['image']
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[..., 0], image[..., 2])
    np.testing.assert_array_equal(image, pickle.loads(pickle.dumps(GlyphSource('train', size=100)))[53]['image'])
    for other in (GlyphSource('test')[53], GlyphSource('train', seed=1)[53], source[100]):
        assert (other['image'] != image).any()
    with pytest.raises(IndexError):
        source[40_000]


def test_side():
    assert GlyphSource('test', side=32)[0]['image'].shape == (32, 32, 3)


@pytest.mark.parametrize('font', FONTS)
def test_fonts_draw_every_character_differently(font):
    masters = [glyphs._master(font, c, 0) for c in '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt']
    assert len({(m.size, m.tobytes()) for m in masters}) == 47
    assert all(m.height >= 20 for m in masters)


def test_ink_is_bright_in_the_middle_of_a_dark_frame():
    source = GlyphSource('train')
    mean = np.mean([source[i]['image'][..., 0] for i in range(470)], axis=0)
    border = np.concatenate([mean[:, 0], mean[:, -1]])
    assert mean[4:12, 4:12].mean() > 3 * border.mean()


def test_classes_can_be_told_apart():
    train, test = GlyphSource('train', size=47 * 40), GlyphSource('test', size=47 * 4)
    pixels, unseen = (
        np.stack([s[i]['image'][..., 0].ravel() / 255 for i in range(len(s))]).astype(np.float32) for s in (train, test)
    )
    distances = (unseen**2).sum(1)[:, None] - 2 * unseen @ pixels.T + (pixels**2).sum(1)
    # Chance is 2 %; a nearest neighbour in raw pixels among 40 examples a class is no good reader, but a reader.
    assert np.mean(train.labels[''][distances.argmin(1)] == test.labels['']) > 0.3
