"""Rules: first match wins, and nothing passes in silence."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jtransfer import rules
from jtransfer.errors import UserError

PATHS = ['backbone/stem/conv/kernel', 'backbone/stage1/block0/conv1/kernel', 'head/kernel', 'head/bias']


def test_first_match_wins():
    assigned = rules.assign([('head/bias', 1), ('head/.*', 2), ('.*', 3)], PATHS)
    assert [assigned[path].value for path in PATHS] == [3, 3, 2, 1]
    assert assigned['head/kernel'].pattern == 'head/.*'


@given(st.permutations(PATHS), st.lists(st.sampled_from(['.*', 'head/.*', 'backbone/.*', '.*/kernel']), max_size=4))
def test_matches_the_definition_in_any_order_of_paths(paths, patterns):
    fallback = [*enumerate(patterns)]
    assigned = rules.assign([], paths, fallback=[(p, i) for i, p in fallback] + [('.*', -1)])
    for path in paths:
        expected = next((i for i, p in fallback if re.fullmatch(p, path)), -1)
        assert assigned[path].value == expected


@pytest.mark.parametrize(
    ('pattern', 'message'),
    [
        ('backbon/.*', r"'backbon/\.\*' matches no parameter; the nearest paths are .*backbone"),
        ('head', r"'head' matches no parameter as a whole; 'head/\.\*' would match head/kernel"),
        ('(', 'not a regular expression'),
    ],
)
def test_a_rule_that_matches_nothing_is_an_error(pattern, message):
    with pytest.raises(UserError, match=message):
        rules.assign([(pattern, 0)], PATHS, fallback=[('.*', 1)])


def test_a_rule_that_comes_too_late_is_an_error():
    with pytest.raises(UserError, match='earlier rules take every parameter'):
        rules.assign([('.*', 0), ('head/.*', 1)], PATHS)


def test_an_uncovered_parameter_is_an_error():
    with pytest.raises(UserError, match='no rule covers backbone/stem/conv/kernel'):
        rules.assign([('head/.*', 0)], PATHS)


def test_a_condition_of_its_own_may_stand_in_the_place_of_a_pattern():
    where = rules.Where('the biases', lambda path: path.endswith('bias'))
    assigned = rules.assign([], PATHS, fallback=[(where, 1), ('.*', 0)])
    assert {path for path, match in assigned.items() if match == ('the biases', 1)} == {
        path for path in PATHS if path.endswith('bias')
    }


def test_flatten_and_unflatten_are_inverse():
    tree = {'backbone': {'stem': {'kernel': 1}}, 'head': {'kernel': 2, 'bias': 3}}
    assert rules.unflatten(rules.flatten(tree)) == tree
