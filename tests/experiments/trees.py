"""Comparisons of variables, leaf by leaf."""

import numpy as np

from jtransfer import rules


def assert_identical(one, other, where=''):
    """The leaves below a path are the same, bit for bit."""
    one, other = ({p: leaf for p, leaf in rules.flatten(tree).items() if p.startswith(where)} for tree in (one, other))
    assert one.keys() == other.keys()
    assert one
    for path, leaf in one.items():
        assert np.asarray(leaf).tobytes() == np.asarray(other[path]).tobytes(), path


def differing(one, other, where):
    """Paths of the leaves that differ."""
    one, other = rules.flatten(one), rules.flatten(other)
    return {path for path in one if path.startswith(where) and not np.array_equal(one[path], other[path])}
