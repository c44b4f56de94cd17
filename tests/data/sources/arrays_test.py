"""Tests of jtransfer/data/sources/arrays.py."""

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.decode.images import UnreadableImageError, decode_image
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label

IMAGES = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)


def test_rgb():
    source = ArraySource(IMAGES, [0, 1, 1, 0], ('a', 'b'))
    example = source[2]
    np.testing.assert_array_equal(example['image'], IMAGES[2])
    assert (len(source), example['label'], example['id']) == (4, 1, 'array/2')
    assert source.labels.dtype == np.int32


@pytest.mark.parametrize('grey', [IMAGES[..., 0], IMAGES[..., :1]])
def test_grey_becomes_rgb(grey):
    image = ArraySource(grey, [0, 1, 1, 0], ('a', 'b'))[3]['image']
    np.testing.assert_array_equal(image, np.repeat(IMAGES[3, ..., :1], 3, axis=-1))


def test_pictures_of_several_sizes_and_own_ids():
    source = ArraySource([IMAGES[0], IMAGES[1, :2]], [0, 1], ('a', 'b'), ids=('x', 'y'))
    assert source[1]['image'].shape == (2, 6, 3)
    assert source[1]['id'] == 'y'


@pytest.mark.parametrize(
    ('images', 'labels', 'message'),
    [
        (IMAGES / 255, [0, 1, 1, 0], 'images are float64, but must be uint8'),
        (IMAGES[..., :2], [0, 1, 1, 0], r'shape \(5, 6, 2\)'),
        (IMAGES, [0, 1, 1], '4 images, 3 labels'),
        (IMAGES, [0, 1, 1, 2], 'array/3 has label 2'),
        (IMAGES, np.array([0, 1, 1, 2**32]), 'array/3 has label'),
        (IMAGES, [0.0, 1.0, 1.0, 0.0], 'labels are float64'),
        (IMAGES, [0, 0, 0, 0], "class 'b' has no examples"),
    ],
)
def test_bad_arrays(images, labels, message):
    with pytest.raises(UserError, match=message):
        ArraySource(images, labels, ('a', 'b'))


def test_class_numbers_name_the_classes_where_nothing_else_does():
    assert ArraySource(IMAGES, [0, 2, 1, 0]).class_names == ('0', '1', '2')
    with pytest.raises(UserError, match='array/2 has label 9'):
        ArraySource(IMAGES, [0, 1, 9, 0])


def test_labels_of_other_tasks_groups_and_weights():
    pictures = [Image.new('RGB', (4, 3), 'red'), Image.new('L', (2, 5), 7), np.zeros((3, 3), np.uint8)]
    tasks = (single_label(('a', 'b'), 'kind'), Task('age', 'regression', ('age',)))
    labels = {'kind': [0, 1, -1], 'age': [1.5, np.nan, 3]}
    source = ArraySource(pictures, labels, tasks=tasks, groups=[1, 1, 2], weights=[1, 0, 2])
    assert source.tasks == tasks
    assert source.groups == ('1', '1', '2')
    np.testing.assert_array_equal(source.weights, np.float32([1, 0, 2]))
    assert [source[i]['image'].shape for i in range(3)] == [(3, 4, 3), (5, 2, 3), (3, 3, 3)]
    assert source[0]['label']['age'].tolist() == [1.5]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'class_names': ('a', 'b')}, 'class_names are those of the tasks'),
        ({'labels': {'kind': [0, 1]}}, 'labels are of kind, tasks are kind, age'),
        ({'weights': [1, -1]}, 'example array/1 has weight -1.0'),
        ({'weights': [1.0]}, '1 weights for 2 examples'),
        ({'groups': ['g']}, '1 groups for 2 examples'),
        ({'ids': ['same', 'same']}, "two images are called 'same'"),
    ],
)
def test_what_does_not_fit_the_tasks_is_one_line(changes, message):
    tasks = (single_label(('a', 'b'), 'kind'), Task('age', 'regression', ('age',)))
    given = {'labels': {'kind': [0, 1], 'age': [1.0, 2.0]}, 'tasks': tasks, **changes}
    with pytest.raises(UserError, match=message):
        ArraySource(np.zeros((2, 3, 3), np.uint8), **given)


def test_pictures_of_pillow_are_seen_as_their_files_are(tmp_path):
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 255, (6, 5, 4), np.uint8), 'RGBA')
    pictures = [picture, picture.convert('RGB').quantize(8), picture.convert('LA'), picture.convert('CMYK')]
    source = ArraySource(pictures, [0, 1, 0, 1], ('a', 'b'))
    for index, each in enumerate(pictures):
        file = tmp_path / ('a.tif' if each.mode == 'CMYK' else 'a.png')
        each.save(file)
        np.testing.assert_array_equal(source[index]['image'], decode_image(file))


def test_a_broken_picture_of_pillow_is_unreadable(tmp_path):
    file = tmp_path / 'a.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:900])
    with Image.open(file) as torn:
        source = ArraySource([torn, Image.new('RGB', (4, 3))], [0, 1], ('a', 'b'))
        with pytest.raises(UnreadableImageError, match='array/0 cannot be decoded'):
            _ = source[0]


@pytest.mark.parametrize('labels', [['bee', 'ant', 'ant', 'bee'], np.array([b'bee', b'ant', b'ant', b'bee'])])
def test_labels_may_be_names_of_classes(labels):
    source = ArraySource(IMAGES, labels)
    assert source.class_names == ('ant', 'bee')
    np.testing.assert_array_equal(source.labels, [1, 0, 0, 1])
    assert ArraySource(IMAGES, labels, ('bee', 'ant')).labels.tolist() == [0, 1, 1, 0]
    several = ArraySource(IMAGES, {'kind': labels}, tasks=(single_label(('bee', 'ant'), 'kind'),))
    assert several.labels['kind'].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ('labels', 'settings', 'message'),
    [
        ([0, 1, 2, 0], {'class_names': ('a', 'b', 'a')}, "array: the class name 'a' stands twice among a, b, a"),
        ([0, 1, 2, 0], {'class_names': (1, 2, '1')}, "the class name '1' stands twice"),
        (['a', 'b', 'c', 'a'], {'class_names': ('a', 'b')}, "array: label 2: 'c' is none of the classes a, b"),
        ([0, 1, 1, 0], {'tasks': [single_label(('a', 'b', 'a'))]}, "array: the class name 'a' stands twice"),
        ([['a', 'b']] * 4, {}, r'have shape \(4, 2\), but must be \[n\]'),
        (['a', 'b', 'c', 'a'], {'tasks': [Task('', 'regression', ('age',))]}, 'labels are no numbers'),
    ],
)
def test_names_that_do_not_fit_are_one_line(labels, settings, message):
    with pytest.raises(UserError, match=message):
        ArraySource(IMAGES, labels, **settings)


def test_numbers_to_be_predicted_keep_their_digits():
    age = [Task('', 'regression', ('age',))]
    times = [1700000000, 1700000001, 2**24, 2**24 + 1]
    assert ArraySource(IMAGES, times, tasks=age).labels[:, 0].tolist() == times
    assert ArraySource(IMAGES, np.float32(times), tasks=age).labels.dtype == np.float32
