"""A source that somebody hands over has labels by task, and whatever else it has, wherever it is taken."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.config import Data
from jtransfer.data.derive.combine import concatenate, filter_classes, filter_examples, subset
from jtransfer.data.given import Given, opened
from jtransfer.data.part import Part
from jtransfer.data.source import Source
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.opening import given_sources
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label

NAMES = ('a', 'b', 'c')


class Theirs:
    """As little as a source can be, and two things more."""

    class_names = NAMES

    def __init__(self, labels=(0, 1, 2, 0)):
        self.labels = list(labels)
        self.groups = tuple(f'group {label}' for label in self.labels)
        self.ids = [f'id {index}' for index in range(len(self.labels))]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {'image': np.full((2, 2, 3), index, np.uint8), 'label': self.labels[index], 'id': self.ids[index]}

    def content(self, index):
        return bytes([index])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.data())
def test_labels_come_through_every_door_as_they_were(labels, data):
    chosen = data.draw(st.lists(st.integers(0, len(labels) - 1), unique=True))
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    for source in (Theirs(labels), ArraySource(images, labels, NAMES, every_class=False)):
        assert list(source.labels) == labels
        inside = opened(source)
        assert isinstance(inside, Source)
        assert inside.labels[''].tolist() == labels
        assert [inside[index]['labels'][''] for index in range(len(labels))] == labels
        for part in (Part(source, np.array(chosen, np.int64)), subset(source, chosen)):
            assert part.labels[''].tolist() == [labels[index] for index in chosen]
            assert [part[index]['labels'][''] for index in range(len(part))] == part.labels[''].tolist()
        assert filter_examples(source, [label == 1 for label in labels]).labels[''].tolist() == [1] * labels.count(1)
        assert filter_classes(source, NAMES).labels[''].tolist() == labels
        assert concatenate([source, source], ('p', 'q')).labels[''].tolist() == labels * 2


def test_whatever_else_a_source_has_is_there_and_the_rest_is_nothing():
    source = opened(Theirs())
    assert isinstance(source, Given)
    assert (source.groups, source.content(2)) == (('group 0', 'group 1', 'group 2', 'group 0'), bytes([2]))
    assert source.tasks == (single_label(NAMES),)
    assert (source.weights, source.notes, source.pixel_range) == (None, (), ())
    assert (source.missing, source.unchosen, source.complete) == (0, 0, False)
    assert 'label' not in source[0]
    assert opened(source) is source
    again = pickle.loads(pickle.dumps(source))
    assert (again.labels[''].tolist(), again.content(1)) == ([0, 1, 2, 0], bytes([1]))


def test_parts_of_one_experiment_are_taken_in_python():
    parts = given_sources(Data(), {'train': Theirs(), 'test': Theirs([1])})
    assert {name: part.labels[''].tolist() for name, part in parts.items()} == {'train': [0, 1, 2, 0], 'test': [1]}


@pytest.mark.parametrize(
    ('labels', 'tasks'),
    [
        (np.eye(3, dtype=np.float32), [Task('', 'multi_label', NAMES)]),
        ([0.5, np.nan, 2], [Task('', 'regression', ('age',))]),
    ],
)
def test_a_source_of_arrays_keeps_the_form_of_its_labels(labels, tasks):
    source = ArraySource(np.zeros((3, 2, 2, 3), np.uint8), labels, tasks=tasks)
    assert isinstance(source.labels, np.ndarray)
    np.testing.assert_array_equal(opened(source).labels[''], source.labels)
    heads = ArraySource(
        np.zeros((3, 2, 2, 3), np.uint8), {'kind': [0, 1, 2]}, tasks=[Task('kind', 'single_label', NAMES)]
    )
    assert heads.labels.keys() == {'kind'}
    assert opened(heads) is heads


class Numbered(Theirs):
    """Names in a list, and ids that are numbers."""

    def __init__(self):
        super().__init__()
        self.ids, self.class_names = range(4), np.array(NAMES)


def test_names_are_texts_in_a_tuple():
    source = opened(Numbered())
    assert (source.class_names, source.ids) == (NAMES, ('0', '1', '2', '3'))
    parts = given_sources(Data(), {'train': Numbered(), 'test': Theirs([1])})
    assert set(parts) == {'train', 'test'}
    images = np.zeros((2, 2, 2, 3), np.uint8)
    assert ArraySource(images, [0, 1], ('a', 'b'), ids=range(2)).ids == ('0', '1')


def test_labels_that_no_class_has_are_told_where_sources_are_put_together():
    with pytest.raises(UserError, match=r'p: example id 1 has label -2, outside 0 to 2'):
        concatenate([Theirs([0, -2])], ['p'])
    with pytest.raises(UserError, match=r'data.classes: example id 1 has label 3, outside 0 to 2'):
        filter_classes(Theirs([0, 3]), ['a'])
