"""The cache of decoded images: what is kept is right, whatever happens to the process or the disk."""

import errno
import io
import multiprocessing
import os
import pathlib

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.decode import decode_cache
from jtransfer.data.decode.decode_cache import DecodeCache, Row, default_folder, digest_of, open_cache
from jtransfer.data.decode.narrow import Narrow
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import ImageViews, TrainingImage
from jtransfer.inputs.prepare import Prepare
from tests.flips import flip, places

SHAPE = (3, 2, 3)
SPEC = {'image': jax.ShapeDtypeStruct(SHAPE, np.uint8), 'aspect': jax.ShapeDtypeStruct((), np.float32)}
# Bytes of an image, and of a record of the index.
IMAGE, RECORD = 18, 28


def row(number, narrow=None):
    """A picture that tells its number."""
    image = np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8)
    return Row({'image': image, 'aspect': np.float32(5 / (7 + number))}, narrow)


def digest(number):
    return digest_of(str(number).encode())


def fill(cache, numbers):
    for number in numbers:
        cache.add(digest(number), row(number))
    cache.commit()


def assert_right(cache, numbers):
    held = cache.held()
    for place, number in zip(cache.rows([digest(number) for number in numbers]), numbers, strict=True):
        for name, values in row(number).held.items():
            np.testing.assert_array_equal(held[name][place], values)


def test_what_was_added_is_there_for_the_next(tmp_path):
    cache = DecodeCache(tmp_path / 'new', SPEC)
    assert (len(cache), digest(1) in cache) == (0, False)
    fill(cache, [1, 2])
    fill(cache, [2, 0])
    again = DecodeCache(tmp_path / 'new', SPEC)
    for each in (cache, again):
        assert len(each) == 3
        assert_right(each, [0, 1, 2, 1])
        assert digest(3) not in each


def test_nothing_is_written_before_there_is_something(tmp_path):
    DecodeCache(tmp_path / 'new', SPEC).commit()
    assert not (tmp_path / 'new').exists()


def test_chunks_are_written_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_cache, '_CHUNK_ROWS', 4)
    cache = DecodeCache(tmp_path, SPEC)
    for number in range(11):
        cache.add(digest(number), row(number))
        assert digest(number) in cache
        assert len(DecodeCache(tmp_path, SPEC)) == (number + 1) // 4 * 4


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_two_that_write_in_turn_keep_everything_once(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp('cache')
    caches = [DecodeCache(folder, SPEC) for _ in range(2)]
    added = set()
    for _ in range(5):
        numbers = data.draw(st.lists(st.integers(0, 20), max_size=6))
        fill(caches[data.draw(st.integers(0, 1))], numbers)
        added |= set(numbers)
    last = DecodeCache(folder, SPEC)
    assert len(last) == len(added)
    if added:
        assert_right(last, sorted(added))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    index=st.integers(0, RECORD * 4),
    pixels=st.integers(0, IMAGE * 4) | st.just(IMAGE * 4),
    noise=st.binary(max_size=70),
)
def test_a_file_that_breaks_off_anywhere_holds_no_wrong_picture(tmp_path_factory, index, pixels, noise):
    folder = tmp_path_factory.mktemp('cache')
    fill(DecodeCache(folder, SPEC), range(4))
    # What a killed process leaves behind the pixels is behind all that the index speaks of.
    behind = noise if pixels == IMAGE * 4 else b''
    for name, size, more in (('index.bin', index, noise), ('image.held', pixels, behind)):
        os.truncate(folder / name, size)
        with (folder / name).open('ab') as file:
            file.write(more)
    cache = DecodeCache(folder, SPEC)
    intact = min(index // RECORD, pixels // IMAGE)
    assert len(cache) == intact
    if intact:
        assert_right(cache, range(intact))
    fill(cache, range(6))
    assert_right(cache, range(6))
    assert_right(DecodeCache(folder, SPEC), range(6))


def test_a_flipped_bit_is_never_another_picture_in_silence(tmp_path):
    narrow = Narrow(3, 900, True)
    cache = DecodeCache(tmp_path, SPEC)
    for number in range(4):
        cache.add(digest(number), row(number, narrow))
    cache.commit()
    for name in ('image.held', 'aspect.held', 'index.bin', 'narrow.bin'):
        path = tmp_path / name
        content = path.read_bytes()
        for position in places(len(content), 40):
            flip(path, position)
            again = DecodeCache(tmp_path, SPEC)
            known = [number for number in range(4) if digest(number) in again]
            whole = [number for number in known if again.is_whole(digest(number))]
            if whole:
                assert_right(again, whole)
            assert len(whole) == {'narrow.bin': 4}.get(name, 3)
            assert all(again.narrow(digest(number)) in (None, narrow) for number in range(4))
            path.write_bytes(content)


@pytest.mark.parametrize('harm', ['record', 'last record', 'index cut', 'pixels cut', 'killed'])
def test_a_row_is_never_used_again_by_another_picture(tmp_path, harm):
    fill(DecodeCache(tmp_path, SPEC), range(50))
    reader = DecodeCache(tmp_path, SPEC)
    mapped, before = reader.held()['image'], (tmp_path / 'image.held').read_bytes()
    if 'record' in harm:
        flip(tmp_path / 'index.bin', RECORD * (10 if harm == 'record' else 49) + 3)
    elif harm == 'killed':
        with (tmp_path / 'image.held').open('ab') as file:
            file.write(bytes(25))
    else:
        name, size = ('index.bin', RECORD) if harm == 'index cut' else ('image.held', IMAGE)
        os.truncate(tmp_path / name, 20 * size + 5)
    writer = DecodeCache(tmp_path, SPEC)
    fill(writer, range(51))
    rows = 20 if harm == 'pixels cut' else 50
    assert (tmp_path / 'image.held').read_bytes()[: rows * IMAGE] == before[: rows * IMAGE]
    np.testing.assert_array_equal(mapped[:rows], np.frombuffer(before, np.uint8).reshape(50, *SHAPE)[:rows])
    assert writer.damaged == {'index cut': 0, 'pixels cut': 30, 'killed': 0}.get(harm, 1)
    for each in (writer, DecodeCache(tmp_path, SPEC)):
        assert all(each.is_whole(digest(number)) for number in range(51))
        assert_right(each, range(51))
    # What was said once is not said again.
    assert each.damaged == 0
    fill(reader, [60])
    assert_right(reader, [*range(51), 60])
    assert_right(DecodeCache(tmp_path, SPEC), [*range(51), 60])


def test_a_picture_that_the_disk_changed_is_decoded_again_once(tmp_path):
    fill(DecodeCache(tmp_path, SPEC), range(3))
    flip(tmp_path / 'image.held', 20)
    cache = DecodeCache(tmp_path, SPEC)
    assert [cache.is_whole(digest(number)) for number in range(4)] == [True, False, True, True]
    cache.forget(digest(1))
    assert digest(1) not in cache
    fill(cache, [1])
    for each in (cache, DecodeCache(tmp_path, SPEC)):
        assert each.is_whole(digest(1))
        assert_right(each, range(3))
        assert len(each) == 4
    (tmp_path / 'image.held').unlink()
    assert not cache.is_whole(digest(0))


def test_zeros_that_a_power_cut_leaves_are_no_pictures(tmp_path):
    fill(DecodeCache(tmp_path, SPEC), range(2))
    for name, size in (('index.bin', RECORD), ('image.held', IMAGE), ('aspect.held', 4)):
        with (tmp_path / name).open('ab') as file:
            file.write(bytes(3 * size))
    assert len(DecodeCache(tmp_path, SPEC)) == 2


def add_many(folder, first):
    cache = DecodeCache(folder, SPEC)
    for start in range(first, first + 40, 4):
        fill(cache, range(start, start + 4))


def test_processes_fill_one_cache_at_once(tmp_path):
    context = multiprocessing.get_context('spawn')
    processes = [context.Process(target=add_many, args=(tmp_path, first)) for first in (0, 20, 30)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    cache = DecodeCache(tmp_path, SPEC)
    assert len(cache) == 70
    assert_right(cache, range(70))


class FullDisk(io.FileIO):
    def write(self, content):
        super().write(bytes(content)[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize('full', ['image.held', 'aspect.held', 'index.bin'])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch, full):
    cache = DecodeCache(tmp_path, SPEC)
    fill(cache, range(3))
    sizes = {name: (tmp_path / name).stat().st_size for name in ('image.held', 'aspect.held', 'index.bin')}
    opened = pathlib.Path.open
    with monkeypatch.context() as patch:
        patch.setattr(
            pathlib.Path,
            'open',
            lambda path, mode: FullDisk(path, 'r+') if (path.name, mode) == (full, 'r+b') else opened(path, mode),
        )
        with pytest.raises(UserError, match=r'^data\.cache_dir: .* \(No space left on device\): .*data\.cache=False$'):
            fill(cache, range(3, 6))
    assert sizes == {name: (tmp_path / name).stat().st_size for name in sizes}
    fill(cache, range(3, 6))
    assert_right(cache, range(6))


def test_a_disk_that_will_be_full_is_told_beforehand(tmp_path):
    cache = DecodeCache(tmp_path / 'new', SPEC)
    cache.check_space(10)
    with pytest.raises(UserError, match=r'^data\.cache_dir: the decoded images take .* MiB, but .* MiB free: .*'):
        cache.check_space(2**60)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'^data\.cache_dir: .*file/below cannot be used \(Not a directory\)'):
        DecodeCache(tmp_path / 'file' / 'below', SPEC)
    taken = DecodeCache(tmp_path / 'taken', SPEC)
    (tmp_path / 'taken').write_text('')
    with pytest.raises(UserError, match=r'^data\.cache_dir: .*taken cannot be used \(File exists\)'):
        fill(taken, [0])


def test_pictures_of_another_shape_are_refused(tmp_path):
    cache = DecodeCache(tmp_path, SPEC)
    with pytest.raises(ValueError, match=r'an example is held as .*\(2, 2, 3\).*, and not as .*\(3, 2, 3\)'):
        cache.add(digest(0), Row({'image': np.zeros((2, 2, 3), np.uint8), 'aspect': np.float32(1)}))


class Unknown(Prepare):
    spec = SPEC

    def __call__(self, example):
        raise AssertionError


def test_every_way_of_decoding_has_a_folder_of_its_own(tmp_path):
    for pixels, name in (
        (TrainingImage(ImagePreprocessor(14), crops=True), 'trainingimage-16x16x3-'),
        (TrainingImage(ImagePreprocessor(14, interpolation='bilinear'), crops=True), 'trainingimage-16x16x3-'),
        (ImageViews(ImagePreprocessor(9, image_width=12)), 'imageviews-9x12x3-'),
    ):
        cache = open_cache(tmp_path, pixels)
        assert cache.folder.name.startswith(name)
        cache.add(digest(0), Row({key: np.zeros(leaf.shape, leaf.dtype) for key, leaf in cache.spec.items()}))
        cache.commit()
        assert digest(0) in open_cache(tmp_path, pixels)
    assert len(list(tmp_path.iterdir())) == 3
    assert open_cache(tmp_path, Unknown()) is None


def test_the_default_folder_is_in_the_users_cache(monkeypatch):
    # The name imported here is the function itself, which tests of whole runs do not get to see.
    monkeypatch.setenv('XDG_CACHE_HOME', '/elsewhere')
    assert default_folder() == pathlib.Path('/elsewhere/jtransfer/decoded')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert default_folder() == pathlib.Path.home() / '.cache/jtransfer/decoded'
