"""Tests of jtransfer/data/memory.py."""

import functools

import numpy as np
import pytest
from PIL import Image

from jtransfer import config
from jtransfer.data.images import UnreadableImageError
from jtransfer.data.memory import decode_part, readable_part
from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.preprocessing import Preprocessing, evaluation_pixels

PIXELS = functools.partial(evaluation_pixels, preprocessing=Preprocessing(8))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        for i in range(5):
            pixels = rng.integers(0, 256, (20, 20 + 5 * i, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f'{i}.jpg')
    return tmp_path


def part_of(folder):
    return load_parts(config.Data(source=f'folder:{folder}', test_fraction=0.0, batch_size=2), 0).train


def truncate(path):
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize('workers', [0, 3])
def test_decode_part(folder, workers):
    part, seen = part_of(folder), []
    decoded = decode_part(part, PIXELS, workers, progress=lambda done, count: seen.append((done, count)))
    assert decoded.images.shape == (10, 8, 8, 3)
    assert decoded.images.dtype == np.uint8
    for i in range(10):
        np.testing.assert_array_equal(decoded.images[i], PIXELS(part[i]['image']))
    np.testing.assert_array_equal(decoded.labels, part.labels)
    assert decoded.ids == part.ids
    np.testing.assert_allclose(decoded.aspects, [1, 1.25, 1.5, 1.75, 2] * 2)
    assert decoded.skipped == ()
    assert seen == [(i + 1, 10) for i in range(10)]


@pytest.mark.parametrize('workers', [0, 3])
@pytest.mark.parametrize('look_through', [functools.partial(decode_part, pixels=PIXELS), readable_part])
def test_the_first_unreadable_image_is_named(folder, workers, look_through):
    truncate(folder / 'b/3.jpg')
    truncate(folder / 'a/2.jpg')
    with pytest.raises(UnreadableImageError, match=r'a/2.jpg is truncated'):
        look_through(part_of(folder), workers=workers)


@pytest.mark.parametrize('workers', [0, 3])
def test_unreadable_images_are_skipped_and_listed(folder, workers):
    whole = decode_part(part_of(folder), PIXELS)
    truncate(folder / 'b/3.jpg')
    truncate(folder / 'a/0.jpg')
    kept = [1, 2, 3, 4, 5, 6, 7, 9]
    decoded = decode_part(part_of(folder), PIXELS, workers, skip_unreadable=True)
    assert decoded.skipped == ('a/0.jpg', 'b/3.jpg')
    np.testing.assert_array_equal(decoded.images, whole.images[kept])
    np.testing.assert_array_equal(decoded.labels, whole.labels[kept])
    np.testing.assert_array_equal(decoded.aspects, whole.aspects[kept])
    assert decoded.ids == tuple(whole.ids[i] for i in kept)
    part, skipped = readable_part(part_of(folder), workers, skip_unreadable=True)
    assert skipped == decoded.skipped
    assert part.ids == decoded.ids


@pytest.mark.parametrize('look_through', [functools.partial(decode_part, pixels=PIXELS), readable_part])
def test_a_class_must_not_disappear(folder, look_through):
    for path in (folder / 'b').iterdir():
        truncate(path)
    with pytest.raises(UserError, match="every image of class 'b' is unreadable"):
        look_through(part_of(folder), skip_unreadable=True)


def test_nothing_readable(folder):
    for path in folder.glob('*/*.jpg'):
        truncate(path)
    with pytest.raises(UserError, match=r'none of 10 images can be read, the first of them a/0.jpg'):
        decode_part(part_of(folder), PIXELS, skip_unreadable=True)
