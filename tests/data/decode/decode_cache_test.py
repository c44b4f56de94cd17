"""The cache of decoded images: what is kept is right, whatever happens to the process or the disk."""

import dataclasses
import errno
import functools
import io
import multiprocessing
import os
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.decode import decode_cache
from jtransfer.data.decode.decode_cache import DecodeCache, Square, default_folder, digest_of, open_cache
from jtransfer.data.decode.narrow import Narrow
from jtransfer.errors import UserError
from jtransfer.inputs.image import Preprocessing, evaluation_pixels, training_pixels
from tests.flips import flip, places

SHAPE = (3, 2, 3)


def square(number):
    """A picture that tells its number."""
    return Square(np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8), 7 + number, 5)


def digest(number):
    return digest_of(str(number).encode())


def fill(cache, numbers):
    for number in numbers:
        cache.add(digest(number), square(number))
    cache.commit()


def assert_right(cache, numbers):
    rows = cache.rows([digest(number) for number in numbers])
    for row, number in zip(rows, numbers, strict=True):
        np.testing.assert_array_equal(cache.images()[row], square(number).pixels)
    expected = np.array([square(n).width / square(n).height for n in numbers], np.float32)
    np.testing.assert_array_equal(cache.aspects(rows), expected)


def test_what_was_added_is_there_for_the_next(tmp_path):
    cache = DecodeCache(tmp_path / 'new', SHAPE)
    assert (len(cache), digest(1) in cache) == (0, False)
    fill(cache, [1, 2])
    fill(cache, [2, 0])
    again = DecodeCache(tmp_path / 'new', SHAPE)
    for each in (cache, again):
        assert len(each) == 3
        assert_right(each, [0, 1, 2, 1])
        assert digest(3) not in each


def test_nothing_is_written_before_there_is_something(tmp_path):
    DecodeCache(tmp_path / 'new', SHAPE).commit()
    assert not (tmp_path / 'new').exists()


def test_chunks_are_written_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_cache, '_CHUNK_ROWS', 4)
    cache = DecodeCache(tmp_path, SHAPE)
    for number in range(11):
        cache.add(digest(number), square(number))
        assert digest(number) in cache
        assert len(DecodeCache(tmp_path, SHAPE)) == (number + 1) // 4 * 4


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_two_that_write_in_turn_keep_everything_once(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp('cache')
    caches = [DecodeCache(folder, SHAPE) for _ in range(2)]
    added = set()
    for _ in range(5):
        numbers = data.draw(st.lists(st.integers(0, 20), max_size=6))
        fill(caches[data.draw(st.integers(0, 1))], numbers)
        added |= set(numbers)
    last = DecodeCache(folder, SHAPE)
    assert len(last) == len(added)
    if added:
        assert_right(last, sorted(added))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(index=st.integers(0, 36 * 4), pixels=st.integers(0, 18 * 4) | st.just(18 * 4), noise=st.binary(max_size=70))
def test_a_file_that_breaks_off_anywhere_holds_no_wrong_picture(tmp_path_factory, index, pixels, noise):
    folder = tmp_path_factory.mktemp('cache')
    fill(DecodeCache(folder, SHAPE), range(4))
    # What a killed process leaves behind the pixels is behind all that the index speaks of.
    behind = noise if pixels == 18 * 4 else b''
    for name, size, more in (('index.bin', index, noise), ('pixels.bin', pixels, behind)):
        os.truncate(folder / name, size)
        with (folder / name).open('ab') as file:
            file.write(more)
    cache = DecodeCache(folder, SHAPE)
    intact = min(index // 36, pixels // 18)
    assert len(cache) == intact
    if intact:
        assert_right(cache, range(intact))
    fill(cache, range(6))
    assert_right(cache, range(6))
    assert_right(DecodeCache(folder, SHAPE), range(6))


def test_a_flipped_bit_is_never_another_picture_in_silence(tmp_path):
    narrow = Narrow(3, 900, True)
    cache = DecodeCache(tmp_path, SHAPE)
    for number in range(4):
        cache.add(digest(number), dataclasses.replace(square(number), narrow=narrow))
    cache.commit()
    for name in ('pixels.bin', 'index.bin', 'narrow.bin'):
        path = tmp_path / name
        content = path.read_bytes()
        for position in places(len(content), 40):
            flip(path, position)
            again = DecodeCache(tmp_path, SHAPE)
            known = [number for number in range(4) if digest(number) in again]
            whole = [number for number in known if again.is_whole(digest(number))]
            if whole:
                assert_right(again, whole)
            assert len(whole) == {'pixels.bin': 3, 'index.bin': 3, 'narrow.bin': 4}[name]
            assert all(again.narrow(digest(number)) in (None, narrow) for number in range(4))
            path.write_bytes(content)


@pytest.mark.parametrize('harm', ['record', 'last record', 'index cut', 'pixels cut', 'killed'])
def test_a_row_is_never_used_again_by_another_picture(tmp_path, harm):
    fill(DecodeCache(tmp_path, SHAPE), range(50))
    reader = DecodeCache(tmp_path, SHAPE)
    mapped, before = reader.images(), (tmp_path / 'pixels.bin').read_bytes()
    if 'record' in harm:
        flip(tmp_path / 'index.bin', 36 * (10 if harm == 'record' else 49) + 3)
    elif harm == 'killed':
        with (tmp_path / 'pixels.bin').open('ab') as file:
            file.write(bytes(25))
    else:
        name, size = ('index.bin', 36) if harm == 'index cut' else ('pixels.bin', 18)
        os.truncate(tmp_path / name, 20 * size + 5)
    writer = DecodeCache(tmp_path, SHAPE)
    fill(writer, range(51))
    rows = 20 if harm == 'pixels cut' else 50
    assert (tmp_path / 'pixels.bin').read_bytes()[: rows * 18] == before[: rows * 18]
    np.testing.assert_array_equal(mapped[:rows], np.frombuffer(before, np.uint8).reshape(50, *SHAPE)[:rows])
    assert writer.damaged == {'index cut': 0, 'pixels cut': 30, 'killed': 0}.get(harm, 1)
    for each in (writer, DecodeCache(tmp_path, SHAPE)):
        assert all(each.is_whole(digest(number)) for number in range(51))
        assert_right(each, range(51))
    # What was said once is not said again.
    assert each.damaged == 0
    fill(reader, [60])
    assert_right(reader, [*range(51), 60])
    assert_right(DecodeCache(tmp_path, SHAPE), [*range(51), 60])


def test_a_picture_that_the_disk_changed_is_decoded_again_once(tmp_path):
    fill(DecodeCache(tmp_path, SHAPE), range(3))
    flip(tmp_path / 'pixels.bin', 20)
    cache = DecodeCache(tmp_path, SHAPE)
    assert [cache.is_whole(digest(number)) for number in range(4)] == [True, False, True, True]
    cache.forget(digest(1))
    assert digest(1) not in cache
    fill(cache, [1])
    for each in (cache, DecodeCache(tmp_path, SHAPE)):
        assert each.is_whole(digest(1))
        assert_right(each, range(3))
        assert len(each) == 4
    (tmp_path / 'pixels.bin').unlink()
    assert not cache.is_whole(digest(0))


def test_zeros_that_a_power_cut_leaves_are_no_pictures(tmp_path):
    fill(DecodeCache(tmp_path, SHAPE), range(2))
    for name, size in (('index.bin', 36), ('pixels.bin', 18)):
        with (tmp_path / name).open('ab') as file:
            file.write(bytes(3 * size))
    assert len(DecodeCache(tmp_path, SHAPE)) == 2


def add_many(folder, first):
    cache = DecodeCache(folder, SHAPE)
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
    cache = DecodeCache(tmp_path, SHAPE)
    assert len(cache) == 70
    assert_right(cache, range(70))


class FullDisk(io.FileIO):
    def write(self, content):
        super().write(bytes(content)[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize('full', ['pixels.bin', 'index.bin'])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch, full):
    cache = DecodeCache(tmp_path, SHAPE)
    fill(cache, range(3))
    sizes = {name: (tmp_path / name).stat().st_size for name in ('pixels.bin', 'index.bin')}
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
    cache = DecodeCache(tmp_path / 'new', SHAPE)
    cache.check_space(10)
    with pytest.raises(UserError, match=r'^data\.cache_dir: the decoded images take .* MiB, but .* MiB free: .*'):
        cache.check_space(2**60)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'^data\.cache_dir: .*file/below cannot be used \(Not a directory\)'):
        DecodeCache(tmp_path / 'file' / 'below', SHAPE)
    taken = DecodeCache(tmp_path / 'taken', SHAPE)
    (tmp_path / 'taken').write_text('')
    with pytest.raises(UserError, match=r'^data\.cache_dir: .*taken cannot be used \(File exists\)'):
        fill(taken, [0])


def test_pictures_of_another_shape_are_refused(tmp_path):
    cache = DecodeCache(tmp_path, SHAPE)
    with pytest.raises(ValueError, match=r'pixels are uint8 \(2, 2, 3\), not uint8 \(3, 2, 3\)'):
        cache.add(digest(0), Square(np.zeros((2, 2, 3), np.uint8), 2, 2))


def test_every_way_of_decoding_has_a_folder_of_its_own(tmp_path):
    for pixels, name in (
        (training_pixels(Preprocessing(14), crops=True), 'whole_picture-16x16-'),
        (training_pixels(Preprocessing(14, interpolation='bilinear'), crops=True), 'whole_picture-16x16-'),
        (
            functools.partial(evaluation_pixels, preprocessing=Preprocessing(9, image_width=12)),
            'evaluation_pixels-9x12-',
        ),
    ):
        cache = open_cache(tmp_path, pixels)
        assert cache.folder.name.startswith(name)
        fill_one = Square(np.zeros(cache.shape, np.uint8), 1, 1)
        cache.add(digest(0), fill_one)
        cache.commit()
        assert digest(0) in open_cache(tmp_path, pixels)
    assert len(list(tmp_path.iterdir())) == 3
    assert open_cache(tmp_path, lambda image: image) is None


def test_the_default_folder_is_in_the_users_cache(monkeypatch):
    # The name imported here is the function itself, which tests of whole runs do not get to see.
    monkeypatch.setenv('XDG_CACHE_HOME', '/elsewhere')
    assert default_folder() == pathlib.Path('/elsewhere/jtransfer/decoded')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert default_folder() == pathlib.Path.home() / '.cache/jtransfer/decoded'
