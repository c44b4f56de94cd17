"""Tests of jtransfer/data/source.py."""

import types

import numpy as np
import pytest

from jtransfer.data.given import opened
from jtransfer.data.source import Source, check_every_class, check_source
from jtransfer.errors import UserError
from jtransfer.tasks.base import single_label


def source(labels, class_names):
    labels = np.array(labels, np.int32)
    return opened(types.SimpleNamespace(labels=labels, class_names=class_names, ids=[f'picture {i}' for i in labels]))


@pytest.mark.parametrize(
    ('labels', 'class_names', 'message'),
    [
        ([0, 1, 2], ('a', 'b'), r'animals: example picture 2 has label 2, outside 0 to 1 \(2 classes\)'),
        ([0, 1, 2], ('a', 'b', 'a'), "animals: the class name 'a' stands twice among a, b, a"),
        ([0, 0], ('a',), r"animals has 1 class \('a'\): at least 2"),
        ([], (), 'animals has 0 class'),
        ([], ('a', 'b'), 'animals has no examples'),
        ([0, 0, 2], ('a', 'b', 'c'), "class 'b' has no examples"),
    ],
)
def test_bad_sources(labels, class_names, message):
    with pytest.raises(UserError, match=message):
        check_source(source(labels, class_names), 'animals')


def test_a_test_part_may_lack_a_class():
    assert check_source(source([0, 2], ('a', 'b', 'c')), 'animals', every_class=False) is None


def test_first_empty_class_and_the_number_of_others_are_said():
    with pytest.raises(UserError, match=r"here: class 'b' \(and 1 more\) has no examples"):
        check_every_class({'': np.array([0, 2], np.int32)}, (single_label(('a', 'b', 'c', 'd')),), 'here')


def test_a_class_of_sources_that_sets_too_little_is_told_what():
    class Nothing(Source):
        def __getitem__(self, index):
            raise AssertionError

    for name in ('ids', 'labels', 'class_names'):
        with pytest.raises(NotImplementedError, match=f'Nothing sets no {name}'):
            getattr(Nothing(), name)
