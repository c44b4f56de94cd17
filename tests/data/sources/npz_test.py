"""Arrays in a .npz file: what they may be called, and what is wrong with them in one line."""

import numpy as np
import pytest

from jtransfer.config.data import Data
from jtransfer.data.sources.npz import load_npz
from jtransfer.errors import OutOfMemoryError, UserError

IMAGES = np.random.default_rng(0).integers(0, 255, (6, 4, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def save(path, **arrays):
    np.savez(path / 'a.npz', **arrays)
    return str(path / 'a.npz')


@pytest.mark.parametrize('names', [('images', 'labels'), ('x', 'y'), ('X', 'Y'), ('image', 'label')])
def test_undivided(tmp_path, names):
    labels = LABELS.astype(np.uint8)
    sources = load_npz(save(tmp_path, **dict(zip(names, (IMAGES, labels), strict=True))), Data())
    assert list(sources) == ['train']
    assert sources['train'].class_names == ('0', '1', '2')
    np.testing.assert_array_equal(sources['train'][4]['image'], IMAGES[4])
    assert sources['train'][4]['label'] == 1


@pytest.mark.parametrize('form', ['{}_{}', '{1}_{0}'])
@pytest.mark.parametrize('validation', ['val', 'valid', 'validation'])
def test_divided(tmp_path, form, validation):
    arrays = {}
    for part, rows in (('train', slice(0, 6)), (validation, slice(0, 2)), ('test', slice(2, 4))):
        arrays[form.format('images', part)] = IMAGES[rows]
        arrays[form.format('labels', part)] = LABELS[rows, None]
    sources = load_npz(save(tmp_path, **arrays), Data())
    assert {part: len(source) for part, source in sources.items()} == {'train': 6, 'validation': 2, 'test': 2}
    np.testing.assert_array_equal(sources['test'].labels, [2, 0])
    assert sources['test'].ids == ('test/0', 'test/1')


def test_names_groups_and_weights(tmp_path):
    path = save(
        tmp_path,
        images=IMAGES[..., 0],
        labels=LABELS,
        class_names=np.array(['p', 'q', 'r']),
        groups=np.arange(6) // 2,
        weights=np.ones(6),
        ids=np.array(list('uvwxyz')),
    )
    source = load_npz(path, Data())['train']
    assert source.class_names == ('p', 'q', 'r')
    assert source.groups == ('0', '0', '1', '1', '2', '2')
    assert source.ids == tuple('uvwxyz')
    assert source.notes == (
        "array 'images' holds the images, 'labels' the label (single_label), 'groups' the group (no split divides "
        "one), 'weights' the weight in the loss, 'ids' the names of the images, 'class_names' those of the classes",
    )
    np.testing.assert_array_equal(source[0]['image'], IMAGES[0, ..., :1].repeat(3, -1))


def test_several_labels_and_numbers(tmp_path):
    several = np.eye(3, dtype=np.int64)[LABELS]
    source = load_npz(save(tmp_path, images=IMAGES, labels=several), Data(task='multi_label'))['train']
    assert source.tasks[0].kind == 'multi_label'
    np.testing.assert_array_equal(source.labels, several)
    source = load_npz(save(tmp_path, images=IMAGES, labels=LABELS / 2), Data())['train']
    assert source.tasks[0].kind == 'regression'
    assert source.labels.shape == (6, 1)


WORDS = np.array(['dog', 'cat', 'cow', 'dog', 'cat', 'cow'])


@pytest.mark.parametrize('labels', [WORDS, np.char.encode(WORDS, 'utf-8'), WORDS[:, None]])
def test_texts_are_names_of_classes(tmp_path, labels):
    arrays = {'x_train': IMAGES, 'y_train': labels, 'x_test': IMAGES[:2], 'y_test': labels[:2]}
    sources = load_npz(save(tmp_path, **arrays), Data())
    assert sources['train'].class_names == sources['test'].class_names == ('cat', 'cow', 'dog')
    np.testing.assert_array_equal(sources['train'].labels, [2, 0, 1] * 2)
    np.testing.assert_array_equal(sources['test'].labels, [2, 0])
    named = load_npz(save(tmp_path, **arrays, class_names=np.array([b'dog', b'cow', b'cat'])), Data())
    assert named['test'].class_names == ('dog', 'cow', 'cat')
    np.testing.assert_array_equal(named['test'].labels, [0, 2])


def test_texts_may_be_several_labels(tmp_path):
    labels = np.array(['a|b', 'b', '', 'a', 'a', 'b'])
    source = load_npz(save(tmp_path, images=IMAGES, labels=labels), Data(task='multi_label'))['train']
    assert source.class_names == ('a', 'b')
    np.testing.assert_array_equal(source.labels[:3], [[1, 1], [0, 1], [0, 0]])


def test_large_numbers_keep_every_digit(tmp_path):
    times = np.array([1700000000, 1700000001, 1700003600, 16777216, 16777217, 5])
    source = load_npz(save(tmp_path, images=IMAGES, labels=times), Data(task='regression'))['train']
    assert source.labels[:, 0].tolist() == times.tolist()
    assert source[1]['label'].tolist() == [1700000001]


@pytest.mark.parametrize(
    ('arrays', 'settings', 'message'),
    [
        ({'pictures': IMAGES, 'labels': LABELS}, {}, 'has no array called images or x, but pictures, labels'),
        ({'images': IMAGES}, {}, 'has no labels beside images'),
        ({'images': IMAGES / 255, 'labels': LABELS}, {}, 'images are float64, but must be uint8'),
        ({'images': IMAGES[0, 0], 'labels': LABELS}, {}, r'must be \[n, height, width\]'),
        ({'images': IMAGES, 'labels': LABELS[:5]}, {}, '6 images, 5 labels'),
        ({'images': IMAGES, 'labels': np.eye(3, dtype=int)[LABELS]}, {}, 'say data.task=multi_label or regression'),
        ({'images': IMAGES, 'labels': LABELS}, {'task': 'heads'}, 'arrays have one task'),
        ({'x_test': IMAGES, 'y_test': LABELS}, {}, 'has images of test, but none to train on'),
        ({'images': IMAGES, 'labels': np.array([0, 1, 3, 0, 1, 3])}, {}, "class '2' has no examples"),
        ({'images': IMAGES, 'labels': LABELS + 2**40}, {}, 'class numbers are 0, 1, 2'),
        ({'images': IMAGES, 'labels': LABELS, 'class_names': np.array(['p'])}, {}, 'has 1 class|has label 1, outside'),
        ({'images': IMAGES, 'labels': LABELS, 'class_names': np.array(list('pqp'))}, {}, "class name 'p' stands twice"),
        ({'images': IMAGES, 'labels': WORDS, 'class_names': np.array(['dog', 'cat'])}, {}, "image 2: 'cow' is none of"),
        ({'images': IMAGES, 'labels': np.array([b'\xff'] * 6)}, {}, 'texts in bytes must be UTF-8'),
        ({'images': IMAGES, 'labels': WORDS.astype(object)}, {}, r'texts are plain after array\.astype\(str\)'),
        ({'images': IMAGES, 'labels': WORDS}, {'task': 'regression'}, "image 0: 'dog' is not a finite number"),
    ],
)
def test_each_mistake_is_one_clear_line(tmp_path, arrays, settings, message):
    with pytest.raises(UserError, match=message) as caught:
        load_npz(save(tmp_path, **arrays), Data(**settings))
    assert '\n' not in str(caught.value)


def test_pickles_are_never_run(tmp_path):
    with pytest.raises(UserError, match=r'is no \.npz file of plain arrays'):
        load_npz(save(tmp_path, images=np.array([{'a': 1}], object), labels=LABELS), Data())


def test_a_file_that_is_not_there(tmp_path):
    save(tmp_path, images=IMAGES)
    with pytest.raises(UserError, match=r"there is no file .*b\.npz\. Did you mean 'a.npz'"):
        load_npz(str(tmp_path / 'b.npz'), Data())


def test_what_is_no_part_stops_or_is_left_out_and_said(tmp_path):
    arrays = {f'{name}_{part}': array for part in ('train', 'more') for name, array in (('x', IMAGES), ('y', LABELS))}
    path = save(tmp_path, **arrays)
    with pytest.raises(UserError, match=r"beside them 'x_more' \(6\), .*data.train_split=train leaves it out"):
        load_npz(path, Data())
    sources = load_npz(path, Data(train_split='train'))
    assert list(sources) == ['train']
    read = "array 'x_train' holds the images, 'y_train' the label (single_label); not read: 'x_more', 'y_more'"
    assert sources['train'].notes == (read,)
    sources = load_npz(path, Data(train_split='train', test_split='more'))
    assert list(sources) == ['train', 'test']
    assert sources['train'].notes == (
        "arrays 'x_train', 'x_more' hold the images, 'y_train', 'y_more' the labels (single_label)",
    )


def test_arrays_beyond_the_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr('jtransfer.out_of_memory.available_memory', lambda: 300)
    path = save(tmp_path, images=IMAGES, labels=LABELS)
    with pytest.raises(
        OutOfMemoryError, match=r'the arrays of .*a\.npz: 0 MiB of memory are needed.*: save the images as'
    ):
        load_npz(path, Data())
