"""Perceptual hashes of pictures and their copies."""

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.duplicates import perceptual_hash as ph
from tests.data.planted import COPIES, encoded, originals, resized


@pytest.fixture(scope='module')
def pictures():
    return originals()


def kept(pictures):
    return np.stack([ph.kept_thumbnail(ph.thumbnail(np.ascontiguousarray(picture))) for picture in pictures])


def bits(first, second):
    return np.bitwise_count(first[:, None] ^ second[None])


def test_different_pictures_have_hashes_far_apart(pictures):
    hashes = ph.perceptual_hashes(pictures)
    assert hashes.dtype == np.uint64
    assert hashes.shape == (len(pictures), 8)
    distances = bits(hashes[:, 0], hashes[:, 0])[np.triu_indices(len(pictures), 1)]
    assert distances.min() > 8
    assert 26 < distances.mean() < 36


@pytest.mark.parametrize('copy', COPIES)
def test_copies_have_hashes_that_are_near_under_one_of_the_symmetries(pictures, copy):
    hashes = ph.perceptual_hashes(pictures)
    copies = ph.perceptual_hashes([np.ascontiguousarray(COPIES[copy](picture)) for picture in pictures])
    assert np.bitwise_count(hashes[:, :1] ^ copies).min(axis=1).max() <= 6


@pytest.mark.parametrize('symmetry', range(8))
def test_a_column_is_the_hash_of_the_turned_picture(pictures, symmetry):
    squares = np.stack([ph.thumbnail(picture) for picture in pictures])
    hashes = ph.hash_thumbnails(squares)[:, symmetry]
    assert (hashes == ph.hash_thumbnails(ph.turned(squares, symmetry))[:, 0]).all()


def test_the_eight_symmetries_are_different():
    square = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(1, 4, 4, 3)
    assert len({ph.turned(square, symmetry).tobytes() for symmetry in range(8)}) == 8
    assert (ph.turned(square, 1) == square[:, :, ::-1]).all()
    assert (ph.turned(square, 2) == square[:, ::-1]).all()
    assert (ph.turned(square, 4) == square.swapaxes(1, 2)).all()


def test_a_symmetric_drawing_has_the_same_hash_in_every_copy():
    """Half of its frequencies are nothing but rounding, of any sign."""
    y, x = np.mgrid[:120, :120] - 59.5
    rings = np.where(np.sin(np.hypot(x, y) / 6 + np.abs(x) / 40) > 0, 230, 20).astype(np.uint8)
    drawing = np.stack([rings, rings // 2, 255 - rings], axis=2)
    copies = [drawing, *(encoded(drawing, 'JPEG', quality) for quality in (50, 70, 90)), resized(drawing, 0.6)]
    hashes = ph.perceptual_hashes(copies)[:, 0]
    assert np.bitwise_count(hashes[:1] ^ hashes).max() <= 2


def test_a_hash_ignores_brightness_and_contrast(pictures):
    squares = np.stack([ph.thumbnail(picture) for picture in pictures])
    changed = (squares // 2 + 60).astype(np.uint8)
    assert np.bitwise_count(ph.hash_thumbnails(squares)[:, 0] ^ ph.hash_thumbnails(changed)[:, 0]).max() <= 3


@pytest.mark.parametrize('shape', [(1, 1), (1, 5000), (3000, 2), (7, 5), (32, 32)])
def test_pictures_of_any_size_have_a_hash(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert ph.perceptual_hashes([picture]).shape == (1, 8)
    assert ph.thumbnail(picture).shape == (32, 32, 3)


def test_no_pictures_have_no_hashes():
    assert ph.perceptual_hashes([]).shape == (0, 8)


def test_copies_are_alike_and_nothing_else_is(pictures):
    own = kept(pictures)
    first, second = np.triu_indices(len(own), 1)
    for symmetry in range(8):
        assert not ph.alike(own[first], own[second], symmetry).any()
    for symmetry, name in (
        (0, 'JPEG 50'),
        (1, 'mirrored'),
        (2, 'upside down'),
        (3, 'turned by 180°'),
        (4, 'transposed'),
    ):
        copies = kept([COPIES[name](picture) for picture in pictures])
        assert ph.alike(own, copies, symmetry).all(), name


def test_a_picture_in_other_colours_or_much_paler_is_another_picture(pictures):
    own = kept(pictures)
    assert not ph.alike(own, kept([picture[..., [2, 0, 1]] // 2 + 20 for picture in pictures]), 0).any()
    assert not ph.alike(own, kept([picture // 4 + 90 for picture in pictures]), 0).any()
    shirts = [np.full((64, 64, 3), 240, np.uint8) for _ in range(2)]
    shirts[0][16:50, 20:44], shirts[1][16:50, 20:44] = (200, 20, 20), (20, 20, 200)
    hashes, thumbnails = ph.perceptual_hashes(shirts)[:, 0], kept(shirts)
    assert np.bitwise_count(hashes[0] ^ hashes[1]) <= 8
    assert not ph.alike(thumbnails[:1], thumbnails[1:], 0)[0]


def test_plain_pictures_have_no_detail(pictures):
    plain = [np.full((50, 60, 3), value, np.uint8) for value in (0, 128, 255)]
    noisy = [encoded(np.full((64, 64, 3), (200, 90, 30), np.uint8), 'JPEG', 50)]
    assert not ph.has_detail(kept(plain + noisy)).any()
    assert not ph.alike(kept(plain), kept(plain), 0).any()
    assert ph.has_detail(kept(pictures)).all()


def test_what_is_kept_is_the_thumbnail_at_half_its_size(pictures):
    small = ph.thumbnail(pictures[0])
    expected = np.asarray(Image.fromarray(small).reduce(2), int)
    assert np.abs(ph.kept_thumbnail(small).astype(int) - expected).max() <= 1
