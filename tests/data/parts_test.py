"""Tests of jtransfer/data/parts.py."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jtransfer import config
from jtransfer.data.parts import check_batch_size, load_parts, split_record
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task


def source(per_class=10, classes=3, name='array'):
    labels = np.arange(per_class * classes) % classes
    images = np.zeros((len(labels), 4, 4, 3), np.uint8) + np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return ArraySource(images, labels, tuple('abcdef'[:classes]), name=name)


def data(**fields):
    return config.Data(**{'batch_size': 4, **fields})


def sizes(parts):
    return [None if part is None else len(part) for part in (parts.train, parts.validation, parts.test)]


def test_undivided_source_is_held_out_by_class():
    parts = load_parts(data(validation_fraction=0.3, test_fraction=0.2), 0, source())
    assert sizes(parts) == [15, 9, 6]
    for part, count in ((parts.train, 5), (parts.validation, 3), (parts.test, 2)):
        np.testing.assert_array_equal(np.bincount(part.labels['']), [count] * 3)
    together = np.concatenate([part.indices for part in (parts.train, parts.validation, parts.test)])
    np.testing.assert_array_equal(np.sort(together), np.arange(30))
    assert parts.num_classes == 3
    example = parts.test[1]
    assert example['id'] == parts.test.ids[1] == f'array/{parts.test.indices[1]}'
    assert example['image'][0, 0, 0] == parts.test.indices[1]
    assert example['labels'][''] == parts.test.labels[''][1]


def test_no_fraction_no_part():
    assert sizes(load_parts(data(test_fraction=0.0), 0, source())) == [30, None, None]


def test_a_validation_part_does_not_change_the_test_part():
    alone = load_parts(data(), 0, source())
    both = load_parts(data(validation_fraction=0.2), 0, source())
    assert alone.test.ids == both.test.ids


def test_own_parts_are_taken_as_they_are():
    own = {'train': source(name='x'), 'validation': source(2, name='y'), 'test': source(3, name='z')}
    parts = load_parts(data(validation_fraction=0.2, test_fraction=0.2), 0, own)
    assert sizes(parts) == [30, 6, 9]
    assert parts.test.ids == own['test'].ids


def test_missing_parts_come_out_of_the_training_part():
    own = {'train': source(), 'test': source(3)}
    assert sizes(load_parts(data(validation_fraction=0.2), 0, own)) == [24, 6, 9]
    own = {'train': source(), 'validation': source(2)}
    assert sizes(load_parts(data(validation_fraction=0.2), 0, own)) == [24, 6, 6]


def test_few_shot_leaves_the_rest_for_testing():
    parts = load_parts(data(examples_per_class=2, test_fraction=0.0), 0, source())
    assert sizes(parts) == [6, None, 24]
    assert parts.notes == ()
    np.testing.assert_array_equal(np.bincount(parts.train.labels['']), [2, 2, 2])
    assert sizes(load_parts(data(examples_per_class=2, validation_fraction=0.25), 0, source())) == [6, 6, 18]
    assert sizes(load_parts(data(examples_per_class=10), 0, source())) == [30, None, None]


def test_few_shot_from_a_source_with_parts():
    own = {'train': source(), 'test': source(3)}
    assert sizes(load_parts(data(examples_per_class=2), 0, own)) == [6, None, 9]
    parts = load_parts(data(examples_per_class=2, validation_fraction=0.25), 0, own)
    assert sizes(parts) == [6, 6, 9]
    assert parts.notes == ('18 training images not drawn and left out (data.examples_per_class)',)


def test_split_seed():
    def drawn(seed, **fields):
        return load_parts(data(examples_per_class=3, **fields), seed, source()).train.ids

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert drawn(5, split_seed=0) == drawn(0)
    assert drawn(0, split_seed=5) == drawn(5)


def test_split_record():
    parts = load_parts(data(examples_per_class=3), 0, source())
    record = json.loads(json.dumps(split_record(parts)))
    assert record['class_names'] == ['a', 'b', 'c']
    assert set(record) == {'class_names', 'train', 'test'}
    assert record['train']['ids'] == list(parts.train.ids)
    assert record['test']['count'] == 21
    assert record['train']['sha256'] == hashlib.sha256('\n'.join(parts.train.ids).encode()).hexdigest()


def test_built_in_sources():
    parts = load_parts(config.Data(source='digits', examples_per_class=10), 0)
    assert sizes(parts) == [100, None, 1697]
    parts = load_parts(config.Data(source='glyphs'), 0)
    assert sizes(parts) == [40_000, 4_700, 4_700]
    assert parts.num_classes == 47


def test_folder_source(tmp_path):
    for name in ('train/a', 'train/b', 'test/a', 'test/b'):
        (tmp_path / name).mkdir(parents=True)
        for i in range(5):
            Image.new('RGB', (3, 2), (i, i, i)).save(tmp_path / name / f'{i}.png')
    (tmp_path / 'train/a/notes.txt').write_text('x')
    parts = load_parts(data(source=f'folder:{tmp_path}', validation_fraction=0.4), 0)
    assert sizes(parts) == [6, 4, 10]
    assert parts.notes[0].startswith("folder 'train' holds the train part")
    assert parts.notes[1:] == ('1 file in the folders is no image and was left out (.txt 1)',)
    with pytest.raises(UserError, match='is in the train part and in the test part'):
        load_parts(data(source=f'folder:{tmp_path}', test_split='train'), 0)


def test_batch_larger_than_the_training_part():
    with pytest.raises(UserError, match=r'data.batch_size=25 is larger than the training part of 24 examples'):
        load_parts(data(batch_size=25), 0, source())
    assert len(load_parts(data(batch_size=25), 0, source(), training=False).test) == 6
    assert check_batch_size(24, 24) is None


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'source': 'digit'}, "not one of digits, glyphs, folder:PATH, .*tfds:NAME.*'digits'"),
        ({'source': 'folder:'}, 'names no data: write folder:PATH'),
        ({'source': 'folder:/no/such/place'}, 'there is no folder /no/such/place'),
        ({'source': 'digits', 'test_split': 'test'}, "data.test_split='test' has no meaning for data.source=digits"),
        ({'source': 'digits', 'examples_per_class': 175}, "class '8' has only 174 examples"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(UserError, match=message):
        load_parts(data(**fields), 0)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({'training': source()}, "a part is called 'training'"),
        ({'test': source()}, "no part called 'train'"),
        ({'train': source(), 'test': source(classes=2)}, "the classes of part 'test' are not those"),
    ],
)
def test_bad_sources_given(given, message):
    with pytest.raises(UserError, match=message):
        load_parts(data(), 0, given)


def test_a_class_that_the_hold_out_takes_away_is_named():
    labels = np.array([0] * 30 + [1] * 2)
    lopsided = ArraySource(np.zeros((32, 2, 2, 3), np.uint8), labels, ('many', 'few'))
    with pytest.raises(UserError, match=r"the training part, after the hold-out: class 'few' has no examples"):
        load_parts(data(test_fraction=0.9), 0, lopsided)


class Sealed(ArraySource):
    """Pictures that nobody may look at."""

    def __getitem__(self, index):
        raise AssertionError('a picture was decoded')


def sealed(labels, **options):
    names = () if 'tasks' in options else ('a', 'b', 'c')
    return Sealed(np.zeros((len(labels), 4, 4, 3), np.uint8), labels, names, **options)


EVERYTHING = {
    'validation_fraction': 0.2,
    'imbalance': 2.0,
    'label_noise': 0.2,
    'unlabelled_fraction': 0.2,
    'classes': ('c', 'a', 'b'),
}


@pytest.mark.parametrize('duplicates', ['auto', 'ignore'])
def test_nothing_is_decoded_without_need(duplicates):
    groups = [str(index // 2) for index in range(60)]
    for fields in (EVERYTHING, {'examples_per_class': 3, 'validation_fraction': 0.5}):
        for of in (None, groups):
            load_parts(data(duplicates=duplicates, **fields), 0, sealed(np.arange(60) % 3, groups=of))
    with pytest.raises(AssertionError, match='decoded'):
        load_parts(data(duplicates='report'), 0, sealed(np.arange(60) % 3))


def parts_of(parts):
    return [part for part in (parts.train, parts.validation, parts.test, parts.unlabelled) if part is not None]


def disjoint(parts, names):
    """Whether no two parts have an example of one name."""
    each = [set(names(part)) for part in parts_of(parts)]
    return sum(map(len, each)) == len(set().union(*each))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8)), min_size=24, max_size=60),
    st.sampled_from([0.0, 0.2, 0.4]),
    st.sampled_from([0.2, 0.4]),
    st.sampled_from([0, 2]),
    st.integers(0, 2**32 - 1),
)
def test_no_hold_out_divides_a_group(examples, validation, test, per_class, seed):
    labels, groups = zip(*examples, *[(label, group) for label in range(3) for group in (9, 10, 11)], strict=True)
    fields = {'validation_fraction': validation, 'test_fraction': test, 'examples_per_class': per_class}
    try:
        parts = load_parts(data(**fields), seed, sealed(np.array(labels), groups=groups), training=False)
    except UserError:
        assert per_class  # what is left of a few-shot draw may be too little to validate on
        return
    assert disjoint(parts, lambda part: part.groups)
    assert disjoint(parts, lambda part: part.ids)
    if not per_class:
        assert sum(len(part) for part in parts_of(parts)) == len(labels)
        assert set(parts.train.labels['']) == {0, 1, 2}


def test_few_shot_with_groups_keeps_the_groups_it_draws_from_out_of_the_rest():
    groups = [str(index // 6) for index in range(60)]
    parts = load_parts(data(examples_per_class=2, validation_fraction=0.5), 0, sealed(np.arange(60) % 3, groups=groups))
    np.testing.assert_array_equal(np.bincount(parts.train.labels['']), [2, 2, 2])
    assert disjoint(parts, lambda part: part.groups)
    left = 10 - len(set(parts.train.groups))
    assert len(parts.validation) + len(parts.test) == 6 * left
    assert left >= 4
    gone = 6 * (10 - left) - len(parts.train)
    assert parts.notes == (
        f'{gone} images left out, of the same groups as those that were drawn (data.examples_per_class)',
    )


def test_few_shot_that_takes_a_bit_of_every_group_leaves_nothing_to_validate_on():
    groups = ['one', 'other'] * 15
    for per_class, of in ((4, groups), (10, None)):
        fields = {'examples_per_class': per_class, 'validation_fraction': 0.5}
        with pytest.raises(UserError, match=f'data.examples_per_class={per_class} leaves no image to validate on'):
            load_parts(data(**fields), 0, sealed(np.arange(30) % 3, groups=of))


LABELS = {
    'multi_label': (
        np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 10, np.float32),
        (Task('', 'multi_label', ('x', 'y')),),
    ),
    'regression': (np.arange(40, dtype=np.float32), (Task('', 'regression', ('size',)),)),
    'heads': (
        {'age': np.arange(40, dtype=np.float32), 'kind': np.arange(40) % 4},
        (Task('age', 'regression', ('age',)), Task('kind', 'single_label', ('p', 'q', 'r', 's'))),
    ),
}


@pytest.mark.parametrize('kind', LABELS)
def test_other_tasks_are_divided_too(kind):
    labels, tasks = LABELS[kind]
    pool = Sealed(np.zeros((40, 4, 4, 3), np.uint8), labels, tasks=tasks)
    parts = load_parts(data(validation_fraction=0.2, unlabelled_fraction=0.25), 0, pool)
    assert len(parts.validation) == len(parts.test) == 8
    assert len(parts.train) + len(parts.unlabelled) == 24
    assert len(parts.unlabelled) == (8 if kind == 'heads' else 6)  # a quarter of each class, rounded
    assert parts.tasks == tasks
    assert disjoint(parts, lambda part: part.ids)
    for part in parts_of(parts):
        taken = {name: values[part.indices] for name, values in labels.items()} if kind == 'heads' else labels
        if kind == 'heads':
            np.testing.assert_array_equal(part.labels['age'][:, 0], taken['age'])
            np.testing.assert_array_equal(part.labels['kind'], taken['kind'])
            assert np.bincount(part.labels['kind'], minlength=4).min() >= 1
        else:
            np.testing.assert_array_equal(np.squeeze(part.labels['']), np.squeeze(labels[part.indices]))


def test_few_shot_of_other_tasks():
    def few(kind):
        labels, tasks = LABELS[kind]
        pool = Sealed(np.zeros((40, 4, 4, 3), np.uint8), labels, tasks=tasks)
        return load_parts(data(examples_per_class=3, validation_fraction=0.25), 0, pool)

    # The classes are those of the first task that has some.
    np.testing.assert_array_equal(np.bincount(few('heads').train.labels['kind']), [3] * 4)
    with pytest.raises(UserError, match='several labels'):
        few('multi_label')
    with pytest.raises(UserError, match='there are only numbers to predict'):
        few('regression')


def test_the_class_of_one_example_is_named_by_the_task_that_has_classes():
    tasks = (Task('age', 'regression', ('age',)), Task('kind', 'single_label', ('p', 'q')))
    labels = {'age': np.arange(9, dtype=np.float32), 'kind': np.array([0] * 8 + [1])}
    with pytest.raises(UserError, match="class 'q' has 1 example"):
        load_parts(data(), 0, Sealed(np.zeros((9, 4, 4, 3), np.uint8), labels, tasks=tasks))


def test_chosen_classes_of_a_source_in_memory():
    parts = load_parts(data(classes=('c', 'a')), 0, source())
    assert parts.class_names == ('c', 'a')
    assert sizes(parts) == [16, None, 4]
    for index in range(len(parts.test)):
        assert parts.test[index]['labels'][''] == parts.test.labels[''][index]
        name = parts.test.ids[index]
        assert int(name.removeprefix('array/')) % 3 == {0: 2, 1: 0}[int(parts.test.labels[''][index])]
