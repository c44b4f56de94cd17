"""A source made of another one is as that one, and goes to another process with whatever was asked of it."""

import pickle

import numpy as np

from jtransfer.data.derived import Derived
from jtransfer.data.part import Part
from jtransfer.data.source import Source
from jtransfer.tasks.base import Task, single_label

NAMES = ('a', 'b')
# What every source has, as attributes.
FACTS = (
    *('class_names', 'labels', 'ids', 'tasks', 'groups', 'weights', 'content', 'pixel_range', 'notes', 'missing'),
    *('unchosen', 'complete'),
)


class Full(Source):
    """A source that has everything."""

    def __init__(self):
        self.class_names, self.ids, self.tasks = NAMES, ('x', 'y', 'z'), (Task('', 'multi_label', NAMES),)
        self.labels = {'': np.eye(3, 2, dtype=np.float32)}
        self.groups, self.weights, self.notes = ('g', 'g', 'h'), np.ones(3, np.float32), ('a line',)
        self.pixel_range, self.complete, self.missing, self.unchosen = (0.0, 9.0), True, 1, 2

    def __getitem__(self, index):
        return {'image': np.zeros((1, 1, 3), np.uint8), 'labels': self.labels[''][index], 'id': self.ids[index]}

    def content(self, index):
        return self.ids[index].encode()


class Least(Source):
    """A source that has nothing it need not have."""

    def __init__(self):
        self.class_names, self.ids, self.labels = NAMES, ('x', 'y'), {'': np.array([0, 1])}

    def __getitem__(self, index):
        raise AssertionError


def test_it_has_what_the_other_has_but_for_what_was_left_out():
    own, source = Derived(Full()), Full()
    for name in set(FACTS) - {'labels', 'weights', 'content', 'missing', 'unchosen'}:
        assert getattr(own, name) == getattr(source, name), name
    np.testing.assert_array_equal(own.labels[''], source.labels[''])
    np.testing.assert_array_equal(own.weights, source.weights)
    assert (own.content(2), own[2]['id'], len(own)) == (b'z', 'z', 3)
    assert (own.missing, own.unchosen) == (0, 0)


def test_what_a_source_does_not_say_is_nothing():
    for source in (Least(), Derived(Least()), Part(Least(), np.arange(2))):
        assert {name: getattr(source, name) for name in FACTS[3:]} == {
            **dict.fromkeys(('groups', 'weights', 'content')),
            **{'tasks': (single_label(NAMES),), 'pixel_range': (), 'notes': (), 'missing': 0, 'unchosen': 0},
            'complete': False,
        }
        assert len(source) == 2


def test_it_goes_to_another_process_after_everything_was_asked():
    part = Part(Derived(Full()), np.array([2, 0]))
    for name in FACTS:
        getattr(part, name)
    again = pickle.loads(pickle.dumps(part))
    assert (again.ids, again.groups, again.content(0), again[1]['id']) == (('z', 'x'), ('h', 'g'), b'z', 'x')
