"""Tests of jtransfer/data/decode/memory.py."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from jtransfer import config
from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.decode.mapped import MappedRows
from jtransfer.data.decode.memory import can_be_cached, decode_part, readable_part
from jtransfer.data.derived import Derived
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.folder import load_folder
from jtransfer.errors import DataWarning, OutOfMemoryError, UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import ImageViews, TrainingImage
from jtransfer.inputs.prepare import Prepare
from jtransfer.tasks.base import Task
from tests.flips import flip

PIXELS = TrainingImage(ImagePreprocessor(8))


class Unknown(Prepare):
    """Cannot be described, and may lack the memory for images of one width."""

    spec = PIXELS.spec

    def __init__(self, width=0):
        self.width = width

    def __call__(self, example):
        """As `PIXELS`."""
        if example['image'].shape[1] == self.width:
            raise MemoryError
        return PIXELS(example)


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
    assert decoded.inputs['image'].shape == (10, 8, 8, 3)
    assert decoded.inputs['image'].dtype == np.uint8
    for i in range(10):
        np.testing.assert_array_equal(decoded.inputs['image'][i], PIXELS(part[i])['image'])
    np.testing.assert_array_equal(decoded.labels[''], part.labels[''])
    assert decoded.ids == part.ids
    np.testing.assert_allclose(decoded.inputs['aspect'], [1, 1.25, 1.5, 1.75, 2] * 2)
    assert decoded.skipped == ()
    assert seen == [(i + 1, 10) for i in range(10)]


@pytest.mark.parametrize('workers', [0, 3])
@pytest.mark.parametrize('look_through', [functools.partial(decode_part, prepare=PIXELS), readable_part])
def test_the_first_unreadable_image_is_named(folder, workers, look_through):
    truncate(folder / 'b/3.jpg')
    truncate(folder / 'a/2.jpg')
    with pytest.raises(UnreadableImageError, match=r'a/2.jpg is a truncated or damaged JPEG'):
        look_through(part_of(folder), workers=workers)


@pytest.mark.parametrize('workers', [0, 3])
def test_unreadable_images_are_skipped_and_listed(folder, workers):
    whole = decode_part(part_of(folder), PIXELS)
    truncate(folder / 'b/3.jpg')
    truncate(folder / 'a/0.jpg')
    kept = [1, 2, 3, 4, 5, 6, 7, 9]
    (folder / 'b' / '4.jpg').write_bytes(b'')
    kept.remove(9)
    with pytest.warns(DataWarning) as told:
        decoded = decode_part(part_of(folder), PIXELS, workers, skip_unreadable=True)
    assert [str(warning.message) for warning in told] == [
        f'3 unreadable images left out: {folder}/a/0.jpg is a truncated or damaged JPEG (2 such); '
        f'{folder}/b/4.jpg is an empty file, not an image'
    ]
    assert decoded.skipped == ('a/0.jpg', 'b/3.jpg', 'b/4.jpg')
    np.testing.assert_array_equal(decoded.inputs['image'], whole.inputs['image'][kept])
    np.testing.assert_array_equal(decoded.labels[''], whole.labels[''][kept])
    np.testing.assert_array_equal(decoded.inputs['aspect'], whole.inputs['aspect'][kept])
    assert decoded.ids == tuple(whole.ids[i] for i in kept)
    with pytest.warns(DataWarning, match='^3 unreadable images left out: '):
        part, skipped = readable_part(part_of(folder), workers, skip_unreadable=True)
    assert skipped == decoded.skipped
    assert part.ids == decoded.ids


@pytest.mark.parametrize('look_through', [functools.partial(decode_part, prepare=PIXELS), readable_part])
def test_a_class_must_not_disappear(folder, look_through):
    for path in (folder / 'b').iterdir():
        truncate(path)
    with (
        pytest.warns(DataWarning, match='5 unreadable images left out'),
        pytest.raises(UserError, match="every image of class 'b' is unreadable"),
    ):
        look_through(part_of(folder), skip_unreadable=True)


def test_nothing_readable(folder):
    for path in folder.glob('*/*.jpg'):
        truncate(path)
    with (
        pytest.warns(DataWarning, match='10 unreadable images left out'),
        pytest.raises(UserError, match=r'none of 10 images can be read, the first of them a/0.jpg'),
    ):
        decode_part(part_of(folder), PIXELS, skip_unreadable=True)


MODES = ('RGB', 'L', 'LA', 'RGBA', 'P', 'CMYK', 'I;16', '1', 'rotated')


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    """Two real photographs in every mode, large and small, in two classes."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp('photographs')
    for name, pixels in zip(('china', 'flower'), load_sample_images().images, strict=True):
        (folder / name).mkdir()
        photograph = Image.fromarray(pixels).resize((160, 107))
        for mode in MODES:
            if mode == 'rotated':
                exif = Image.Exif()
                exif[0x0112] = 6
                photograph.save(folder / name / 'rotated.jpg', exif=exif)
            elif mode == 'I;16':
                deep = np.asarray(photograph.convert('L'), np.uint16) * 257
                Image.fromarray(deep).save(folder / name / 'deep.png')
            else:
                suffix = {'CMYK': 'jpg', 'RGB': 'jpg', 'P': 'gif'}.get(mode, 'png')
                photograph.convert(mode).save(folder / name / f'{mode}.{suffix}')
    return folder


@pytest.fixture
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('cache') / 'new'


class Counting(Derived):
    """A source that counts what is decoded."""

    def __init__(self, source):
        super().__init__(source)
        self.decoded = []

    def __getitem__(self, index):
        self.decoded.append(index)
        return self.source[index]


def counted(folder, indices=None):
    source = Counting(load_folder(str(folder))['train'])
    return Part(source, np.arange(len(source)) if indices is None else np.asarray(indices))


def assert_same(decoded, direct):
    assert decoded.inputs.keys() == direct.inputs.keys()
    for name, rows in decoded.inputs.items():
        np.testing.assert_array_equal(np.asarray(rows), direct.inputs[name])
        assert rows.dtype == direct.inputs[name].dtype
    np.testing.assert_equal(decoded.labels, direct.labels)
    assert (decoded.ids, decoded.skipped, decoded.tasks) == (direct.ids, direct.skipped, direct.tasks)


@pytest.mark.parametrize('workers', [0, 3])
@pytest.mark.parametrize(
    'pixels',
    [
        TrainingImage(ImagePreprocessor(32), crops=True),
        TrainingImage(ImagePreprocessor(32, crop_fraction=0.9, interpolation='bilinear'), crops=False),
        ImageViews(ImagePreprocessor(24), crops=5, scales=(1.0, 1.5)),
    ],
)
def test_cached_pictures_are_the_decoded_ones_and_decoded_once(photographs, cache, pixels, workers):
    direct = decode_part(counted(photographs), pixels)
    assert isinstance(direct.inputs['image'], np.ndarray)
    assert not isinstance(direct.inputs['image'], np.memmap)
    first, second = counted(photographs), counted(photographs)
    assert_same(decode_part(first, pixels, workers, cache=cache), direct)
    assert sorted(first.source.decoded) == list(range(len(MODES) * 2))
    again = decode_part(second, pixels, workers, cache=cache)
    assert_same(again, direct)
    assert second.source.decoded == []
    assert isinstance(again.inputs['image'], np.memmap)


@pytest.mark.parametrize('workers', [0, 2])
def test_cached_pictures_that_the_disk_changed_are_decoded_again_and_said(photographs, cache, workers):
    part = part_of(photographs)
    direct = decode_part(part, PIXELS)
    decode_part(part, PIXELS, cache=cache)
    (pixels,) = cache.rglob('image.held')
    flip(pixels)
    with pytest.warns(DataWarning, match='^1 cached image in .* had changed on the disk: decoded again$'):
        assert_same(decode_part(part, PIXELS, workers, cache=cache), direct)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert_same(decode_part(part, PIXELS, workers, cache=cache), direct)


def test_a_damaged_record_costs_one_picture_and_is_said_once(photographs, cache):
    direct = decode_part(part_of(photographs), PIXELS)
    decode_part(part_of(photographs), PIXELS, cache=cache)
    (index,) = cache.rglob('index.bin')
    flip(index, 36 * 3)
    part = counted(photographs)
    with pytest.warns(DataWarning, match=r'^1 record of the index in .* had changed on the disk: their images are dec'):
        assert_same(decode_part(part, PIXELS, cache=cache), direct)
    assert part.source.decoded == [3]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert_same(decode_part(part, PIXELS, cache=cache), direct)


def test_only_what_a_part_asks_for_is_decoded(photographs, cache):
    direct = decode_part(counted(photographs), PIXELS)
    few = counted(photographs, [9, 2, 11])
    decoded = decode_part(few, PIXELS, cache=cache)
    assert few.source.decoded == [9, 2, 11]
    np.testing.assert_array_equal(decoded.inputs['image'], direct.inputs['image'][[9, 2, 11]])
    more = counted(photographs, [2, 3, 9])
    decoded = decode_part(more, PIXELS, cache=cache)
    assert more.source.decoded == [3]
    assert isinstance(decoded.inputs['image'], MappedRows)
    np.testing.assert_array_equal(decoded.inputs['image'], direct.inputs['image'][[2, 3, 9]])
    assert decoded.inputs['image'].nbytes == direct.inputs['image'][[2, 3, 9]].nbytes


def test_names_do_not_matter_and_contents_do(folder, cache):
    decode_part(counted(folder), PIXELS, cache=cache)
    (folder / 'a/0.jpg').rename(folder / 'b/moved.jpg')
    Image.new('RGB', (20, 10), 'red').save(folder / 'a/1.jpg')
    (folder / 'a/copy.jpg').write_bytes((folder / 'a/2.jpg').read_bytes())
    changed = counted(folder)
    decoded = decode_part(changed, PIXELS, cache=cache)
    assert [changed.ids[i] for i in changed.source.decoded] == ['a/1.jpg']
    assert_same(decoded, decode_part(counted(folder), PIXELS))


@pytest.mark.parametrize('workers', [0, 3])
def test_unreadable_images_are_skipped_with_a_cache_too(folder, cache, workers):
    truncate(folder / 'b/3.jpg')
    (folder / 'a/0.jpg').unlink()
    (folder / 'a/0.jpg').symlink_to('nowhere.jpg')
    with pytest.warns(DataWarning, match='2 unreadable images left out: .*a/0.jpg: no such file'):
        direct = decode_part(counted(folder), PIXELS, skip_unreadable=True)
    for _ in range(2):
        with pytest.raises(UnreadableImageError, match=r'a/0.jpg: no such file'):
            decode_part(counted(folder), PIXELS, workers, cache=cache)
        with pytest.warns(DataWarning, match='2 unreadable images left out: .*a/0.jpg: no such file'):
            again = decode_part(counted(folder), PIXELS, workers, skip_unreadable=True, cache=cache)
        assert_same(again, direct)


def test_what_was_decoded_before_an_unreadable_image_is_kept(folder, cache):
    truncate(folder / 'b/3.jpg')
    for decoded in (list(range(9)), [8]):
        part = counted(folder)
        with pytest.raises(UnreadableImageError, match=r'b/3.jpg is a truncated or damaged JPEG'):
            decode_part(part, PIXELS, cache=cache)
        assert part.source.decoded == decoded


def test_a_file_that_changes_while_it_is_read_is_not_kept(folder, cache, monkeypatch):
    part = counted(folder)
    contents = iter([b'before', b'after'])
    monkeypatch.setattr(part.source, 'content', lambda index: next(contents), raising=False)
    with pytest.raises(UserError, match=r'^a/0.jpg was changed while it was read'):
        decode_part(part, PIXELS, cache=cache)
    assert not (cache).exists() or not list((cache).rglob('image.held'))


@pytest.mark.parametrize('reason', ['source', 'pixels'])
def test_what_cannot_be_known_again_is_decoded_into_memory(folder, cache, reason):
    part, pixels = part_of(folder), PIXELS
    if reason == 'source':
        source = ArraySource([part[i]['image'] for i in range(len(part))], part.labels[''], part.class_names, part.ids)
        part = Part(source, np.arange(len(part)))
    else:
        pixels = Unknown()
    assert not can_be_cached(part, pixels)
    assert can_be_cached(part_of(folder), PIXELS)
    assert_same(decode_part(part, pixels, cache=cache), decode_part(part_of(folder), PIXELS))
    assert not (cache).exists()


class Several:
    """Two tasks and weights over a folder of pictures."""

    def __init__(self, source):
        n = len(source)
        self.source, self.class_names, self.ids = source, source.class_names, source.ids
        self.tasks = (Task('kind', 'single_label', source.class_names), Task('marks', 'multi_label', ('x', 'y')))
        marks = np.stack([np.arange(n) % 2, np.arange(n) == n - 1], axis=1).astype(np.float32)
        self.labels = {'kind': source.labels[''], 'marks': marks}
        self.weights = np.linspace(0, 1, n, dtype=np.float32)

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        labels = {name: values[index] for name, values in self.labels.items()}
        return {**self.source[index], 'labels': labels}

    def content(self, index):
        return self.source.content(index)


@pytest.mark.parametrize('cached', [False, True])
def test_several_tasks_and_weights(folder, cache, cached):
    truncate(folder / 'b/3.jpg')
    source = Several(load_folder(str(folder))['train'])
    part = Part(source, np.arange(10))
    with pytest.warns(DataWarning, match='1 unreadable image left out'):
        decoded = decode_part(part, PIXELS, skip_unreadable=True, cache=cache if cached else None)
    kept = [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert decoded.tasks == source.tasks
    np.testing.assert_array_equal(decoded.weights, source.weights[kept])
    for name, values in source.labels.items():
        np.testing.assert_array_equal(decoded.labels[name], values[kept])
    truncate(folder / 'b/4.jpg')
    with (
        pytest.warns(DataWarning, match='2 unreadable images left out'),
        pytest.raises(UserError, match="every image of class 'y' is unreadable"),
    ):
        decode_part(part, PIXELS, skip_unreadable=True)


@pytest.mark.parametrize('kill_after', [1, 10, 17])
def test_a_process_that_was_killed_is_gone_on_from(photographs, cache, kill_after):
    from tests.data import decode_killed

    program = pathlib.Path(decode_killed.__file__)
    done = subprocess.run(
        [sys.executable, program, photographs, cache, str(kill_after)],
        env={**os.environ, 'PYTHONPATH': str(program.parents[2])},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    part = counted(photographs)
    decoded = decode_part(part, decode_killed.PIXELS, cache=cache)
    assert part.source.decoded == list(range(kill_after // 4 * 4, len(MODES) * 2))
    assert_same(decoded, decode_part(counted(photographs), decode_killed.PIXELS))


@pytest.fixture
def deep(tmp_path):
    """A folder of 16-bit images, two of which hold 12 bits."""
    for number, (name, top) in enumerate((('a/0', 4095), ('a/1', 65535), ('b/0', 3000), ('b/1', 60_000))):
        path = tmp_path / 'deep' / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.linspace(number, top, 64).astype(np.uint16).reshape(8, 8)).save(path)
    return tmp_path / 'deep'


def test_a_sliver_of_16_bits_is_told_each_time(deep, tmp_path):
    note = r'2 of 4 images have 16 bits .*first a/0.png: 0 to 4,095.*; data.pixel_range=0,4095 says'
    part, cache = part_of(deep), tmp_path / 'cache'
    for look in (readable_part, functools.partial(decode_part, prepare=PIXELS)):
        with pytest.warns(DataWarning, match=note):
            look(part)
    # Also when nothing is decoded any more.
    for _ in range(2):
        with pytest.warns(DataWarning, match=note):
            decode_part(part_of(deep), PIXELS, cache=cache)
    with pytest.warns(DataWarning, match='1 of 2 images'):
        decode_part(Part(part.source, np.array([2, 3])), PIXELS, cache=cache)


def test_pictures_of_another_pixel_range_are_others(deep, tmp_path):
    cache, images = tmp_path / 'cache', []
    for ends in ((), (0.0, 4095.0), (0.0, 3000.0), (0.0, 4095.0)):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter('always')
            part = Part(load_folder(str(deep), pixel_range=ends)['train'], np.arange(4))
            images.append(np.array(decode_part(part, PIXELS, cache=cache).inputs['image']))
            np.testing.assert_array_equal(images[-1], decode_part(part, PIXELS).inputs['image'])
        assert len(told) == (2 if ends == () else 0)
    assert images[0][0].max() < 20 < images[1][0].max()
    assert not np.array_equal(images[1], images[2])
    np.testing.assert_array_equal(images[1], images[3])


def test_memory_that_does_not_suffice_for_one_image_is_one_image_less(folder):
    part, pixels = part_of(folder), Unknown(30)
    with pytest.warns(DataWarning, match='a/2.jpg takes more memory than there is for one image'):
        assert decode_part(part, pixels, skip_unreadable=True).skipped == ('a/2.jpg', 'b/2.jpg')
    with pytest.raises(
        UnreadableImageError, match=r'a/2\.jpg takes more memory than there is for one image; .*skip_unread'
    ):
        decode_part(part, pixels, workers=2)


def test_images_beyond_the_memory_are_refused_before_one_is_decoded(folder, monkeypatch):
    monkeypatch.setattr('jtransfer.out_of_memory.available_memory', lambda: 10 * (8 * 8 * 3 + 4) - 1)
    with pytest.raises(OutOfMemoryError, match=r'the 10 images, decoded: 0 MiB of memory are .*data.placement=stream'):
        decode_part(part_of(folder), PIXELS, progress=lambda *_: pytest.fail('decoded'))
    monkeypatch.setattr('jtransfer.out_of_memory.available_memory', lambda: 10 * (8 * 8 * 3 + 4))
    assert len(decode_part(part_of(folder), PIXELS)) == 10
