"""Tests of jtransfer/data/derive/combine.py."""

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.derive.combine import WithLabels, concatenate, filter_classes, filter_examples, subset
from jtransfer.data.part import Part
from jtransfer.data.source import Source, check_source
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label

SMALL = settings(max_examples=30, deadline=None, derandomize=True)


@dataclasses.dataclass(frozen=True)
class Plain:
    """A source of one-pixel pictures, each of its own colour, with whatever a source may have."""

    class_names: tuple[str, ...]
    labels: Any
    ids: tuple[str, ...]
    tasks: tuple[Task, ...] = ()
    groups: tuple[str, ...] | None = None
    weights: Any = None
    shade: int = 0
    notes: tuple[str, ...] = ()
    pixel_range: tuple[float, ...] = ()

    def content(self, index):
        """Bytes that are like no other example's."""
        return bytes([self.shade, index])

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        pixel = np.full((1, 1, 3), self.shade + index, np.uint8)
        return {'image': pixel, 'label': np.asarray(self.labels)[index], 'id': self.ids[index]}


class NoContent(Plain):
    """One that was never a file."""

    content: Any = None


def plain(labels, names='ab', prefix='x', kind=Plain, **more):
    labels = np.array(labels, np.int32)
    return kind(tuple(names), labels, tuple(f'{prefix}{index}' for index in range(len(labels))), **more)


MULTI = Plain(
    ('red', 'green', 'blue'),
    np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]], np.float32),
    ('p', 'q', 'r'),
    (Task('', 'multi_label', ('red', 'green', 'blue')),),
    groups=('g', 'g', 'h'),
    weights=[1, 2, 3],
)
AGES = Plain(('age',), np.array([[3.0], [4.0]], np.float32), ('s', 't'), (Task('', 'regression', ('age',)),))
HEADS = Plain(
    ('cat', 'dog'),
    {'kind': np.array([0, 1], np.int32), 'age': np.array([[1.0], [np.nan]], np.float32)},
    ('u', 'v'),
    (Task('kind', 'single_label', ('cat', 'dog')), Task('age', 'regression', ('age',))),
)


def test_classes_are_united_by_name_in_the_order_in_which_they_come_up():
    first, second = plain([1, 0, 1], 'ba'), plain([0, 1, 2, 1], 'cab', 'y', shade=100)
    both = concatenate([first, second])
    check_source(both, 'both')
    assert isinstance(both, Source)
    assert both.class_names == ('b', 'a', 'c')
    assert both.tasks == (single_label('bac'),)
    np.testing.assert_array_equal(both.labels[''], [1, 0, 1, 2, 1, 0, 1])
    assert both.labels[''].dtype == np.int32
    assert both.ids == ('x0', 'x1', 'x2', 'y0', 'y1', 'y2', 'y3')
    assert both.groups is None
    assert both.weights is None
    example = both[5]
    assert (example['labels'][''], example['id'], example['image'][0, 0, 0]) == (0, 'y2', 102)
    assert both.content(5) == bytes([100, 2])
    assert concatenate([first, plain([0], 'b', 'z', NoContent)]).content is None
    assert pickle.loads(pickle.dumps(both))[5]['id'] == 'y2'


@SMALL
@given(st.lists(st.lists(st.sampled_from('abcd'), min_size=1, max_size=6), min_size=1, max_size=4))
def test_every_example_keeps_its_class(rows):
    sources = []
    for number, names in enumerate(rows):
        own = tuple(dict.fromkeys(names))
        sources.append(plain([own.index(name) for name in names], own, f'{number}/', shade=20 * number))
    joined = concatenate(sources)
    assert [joined.class_names[label] for label in joined.labels['']] == [name for names in rows for name in names]
    assert joined.class_names == tuple(dict.fromkeys(name for names in rows for name in names))
    assert [joined[index]['image'][0, 0, 0] for index in range(len(joined))] == [
        20 * number + index for number, names in enumerate(rows) for index in range(len(names))
    ]


def test_only_ids_that_two_sources_have_get_the_name_of_their_source():
    first = dataclasses.replace(plain([0, 1]), ids=('same', 'one'))
    second = dataclasses.replace(plain([0, 1]), ids=('two', 'same'))
    assert concatenate([first, second], ['p', 'q']).ids == ('p/same', 'one', 'two', 'q/same')
    assert concatenate([first, second]).ids == ('0/same', 'one', 'two', '1/same')
    third = dataclasses.replace(plain([0]), ids=('p/same',))
    with pytest.raises(UserError, match="1 ids, such as 'p/same', are of two examples: name the sources otherwise"):
        concatenate([first, second, third], ['p', 'q', 'r'])


def test_groups_need_every_source_and_weights_only_one():
    grouped = plain([0, 1], groups=('g', 'h'), weights=[0.5, 2])
    assert concatenate([grouped, plain([0], prefix='y')]).groups is None
    assert concatenate([grouped, plain([0], prefix='y', groups=('g',))]).groups == ('g', 'h', 'g')
    weights = concatenate([plain([0], prefix='y'), grouped]).weights
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, [1, 0.5, 2])


def test_labels_of_other_tasks_are_put_one_after_another():
    several = concatenate([MULTI, subset(MULTI, [2, 0])], ['p', 'q'])
    np.testing.assert_array_equal(several.labels[''], MULTI.labels[[0, 1, 2, 2, 0]])
    assert several.tasks == MULTI.tasks
    assert several.groups == ('g', 'g', 'h', 'h', 'g')
    np.testing.assert_array_equal(several.weights, [1, 2, 3, 3, 1])
    heads = concatenate([HEADS, HEADS], ['p', 'q'])
    np.testing.assert_array_equal(heads.labels['kind'], [0, 1, 0, 1])
    np.testing.assert_array_equal(heads.labels['age'], [[1], [np.nan], [1], [np.nan]])


@pytest.mark.parametrize(
    ('sources', 'names', 'message'),
    [
        ([], None, 'there are no sources'),
        ([plain([0]), plain([1])], ['p', 'p'], 'all different, unlike p, p'),
        (
            [plain([0, 1]), MULTI],
            ['p', 'q'],
            r"the tasks of 'q' \(multi_label of 3\) are not those of 'p' \(single_label of 2\)",
        ),
        ([MULTI, AGES], None, r"the tasks of '1' \(regression of 1\)"),
        ([MULTI, filter_classes(MULTI, ['red', 'green'])], None, 'only sources of the same tasks'),
        ([plain([0, 1]), HEADS], None, r'kind: single_label of 2, age: regression of 1'),
    ],
)
def test_sources_that_do_not_go_together_are_refused(sources, names, message):
    with pytest.raises(UserError, match=message):
        concatenate(sources, names)


@SMALL
@given(st.permutations(range(6)), st.integers(1, 6))
def test_a_subset_is_what_was_chosen_in_that_order(order, number):
    source = plain([0, 1, 0, 1, 1, 0])
    part = subset(source, order[:number])
    assert part.ids == tuple(source.ids[i] for i in order[:number])
    again = subset(part, np.arange(number)[::-1])
    assert again.source is part.source
    assert again.ids == part.ids[::-1]


@pytest.mark.parametrize(
    ('indices', 'message'),
    [
        ([0, 3], r'index 3 is outside the source of 3 examples \(0 to 2\)'),
        ([-1], 'index -1 is outside'),
        ([0, 2, 2], 'index 2 comes 2 times'),
        ([0.5], 'indices are float64'),
        ([[0, 1]], r'indices are int64 \[1, 2\]'),
    ],
)
def test_indices_that_cannot_be_are_refused(indices, message):
    with pytest.raises(UserError, match=message):
        subset(plain([0, 1, 0]), indices)


def test_examples_are_kept_by_a_mask_or_by_asking():
    source = plain([0, 1, 0, 1])
    assert len(subset(source, [])) == 0
    by_mask = filter_examples(source, source.labels == 1)
    assert by_mask.ids == filter_examples(source, lambda index: source.labels[index] == 1).ids == ('x1', 'x3')
    for mask in ([True, False], np.array([0, 1, 0, 1])):
        with pytest.raises(UserError, match=r'must be bool \[4\], one for each example'):
            filter_examples(source, mask)


@SMALL
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=20), st.permutations('abcd'), st.integers(1, 4))
def test_of_single_labels_only_examples_of_the_chosen_classes_stay(labels, order, number):
    source, chosen = plain(labels, 'abcd', shade=9), order[:number]
    wanted = [index for index, label in enumerate(labels) if label >= 0 and 'abcd'[label] in chosen]
    if not wanted:
        with pytest.raises(UserError, match='there is no example of these classes'):
            filter_classes(source, chosen)
        return
    found = filter_classes(source, chosen)
    assert found.class_names == found.tasks[0].class_names == tuple(chosen)
    assert found.ids == tuple(source.ids[index] for index in wanted)
    assert [chosen[label] for label in found.labels['']] == ['abcd'[labels[index]] for index in wanted]
    last = found[len(found) - 1]
    assert last['labels'][''] == found.labels[''][-1]
    assert last['image'][0, 0, 0] == 9 + wanted[-1]
    assert found.content(0) == source.content(wanted[0])


def test_what_else_a_source_has_is_kept_when_classes_are_chosen():
    found = filter_classes(
        plain([0, 1, 2], 'abc', groups=('g', 'h', 'i'), weights=[1, 2, 3], notes=('read so',), pixel_range=(0.0, 9.0)),
        'ca',
    )
    assert found.groups == ('g', 'i')
    np.testing.assert_array_equal(found.weights, [1, 3])
    assert (found.notes, found.missing, found.unchosen) == (('read so',), 0, 1)
    assert found.pixel_range == (0.0, 9.0)


def test_of_several_labels_the_columns_are_chosen_and_all_examples_stay():
    found = filter_classes(MULTI, ['blue', 'red'])
    check_source(found, 'found', every_class=False)
    np.testing.assert_array_equal(found.labels[''], [[1, 1], [0, 0], [0, 0]])
    assert found.tasks == (Task('', 'multi_label', ('blue', 'red')),)
    assert found.ids == MULTI.ids
    assert found.groups == MULTI.groups
    np.testing.assert_array_equal(found[0]['labels'][''], [1, 1])


@pytest.mark.parametrize(
    ('source', 'classes', 'message'),
    [
        (MULTI, ['red', 'gren'], "data.classes: there is no class 'gren'. Did you mean 'green'"),
        (MULTI, ['red', 'red'], 'has one name twice'),
        (AGES, ['age'], 'the labels are numbers: leave it out'),
        (HEADS, ['cat'], 'the labels are several heads: leave it out'),
    ],
)
def test_classes_that_cannot_be_chosen_are_refused(source, classes, message):
    with pytest.raises(UserError, match=message):
        filter_classes(source, classes)


def test_other_labels_change_nothing_else():
    source = plain([0, 1, 1], groups=('g', 'h', 'i'), weights=[1, 2, 3], shade=5)
    other = WithLabels(source, {'': np.array([1, 1, 0], np.int32)})
    assert isinstance(other, Source)
    part = Part(other, np.array([2, 0]))
    np.testing.assert_array_equal(part.labels[''], [0, 1])
    assert part.ids == ('x2', 'x0')
    assert part.groups == ('i', 'g')
    np.testing.assert_array_equal(part.weights, [3, 1])
    assert part.content(0) == source.content(2)
    assert part.class_names == source.class_names
    assert part.tasks == (single_label('ab'),)
    assert len(other) == 3
    assert part[0]['labels'][''] == 0
    assert part[0]['image'][0, 0, 0] == 7
    bare = WithLabels(plain([0, 1], kind=NoContent), {'': np.array([1, 1])})
    assert (bare.groups, bare.weights, bare.content) == (None, None, None)
    heads = WithLabels(HEADS, {'kind': np.array([1, -1]), 'age': np.ones((2, 1), np.float32)})
    np.testing.assert_equal(Part(heads, np.array([1])).labels, {'kind': np.array([-1]), 'age': np.ones((1, 1))})


@pytest.mark.parametrize(
    ('source', 'labels', 'message'),
    [
        (plain([0, 1]), np.array([0, 1, 1]), '3 labels for 2 examples'),
        (plain([0, 1]), np.array([0, 2]), 'example x1 has label 2, outside 0 to 1'),
        (MULTI, np.zeros((3, 2), np.float32), r'must be floating numbers \[3, 3\]'),
    ],
)
def test_labels_that_the_tasks_cannot_have_are_refused(source, labels, message):
    with pytest.raises(UserError, match=message):
        WithLabels(source, {'': labels})


def test_sources_that_are_decoded_differently_share_no_cache():
    one, other = plain([0, 1], prefix='x'), plain([0, 1], prefix='y', pixel_range=(0.0, 9.0))
    assert concatenate([one, plain([0, 1], prefix='y')]).content is not None
    assert concatenate([one, other]).content is None
    assert concatenate([other]).pixel_range == (0.0, 9.0)
