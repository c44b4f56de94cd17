"""Settings of cross-validation: every mistake is one line that names the field."""

import dataclasses

import pytest

from jtransfer.config.crossval import CrossVal
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'folds': 1}, 'crossval.folds=1 must be at least 2'),
        ({'repeats': 0}, 'crossval.repeats=0 must be at least 1'),
        ({'splitter': 'stratify'}, "Did you mean 'stratified'"),
        ({'afterwards': 'ensembles'}, "Did you mean 'ensemble'"),
        ({'seed': -1}, 'crossval.seed=-1'),
        ({'seed': 2**32}, r'crossval.seed=4294967296 must be below 2\*\*32'),
        ({'afterwards': 'soup', 'test_fraction': 0.6, 'soup_fraction': 0.4}, 'must leave examples for folds'),
        ({'test_fraction': 1.0}, 'crossval.test_fraction=1.0'),
        ({'soup_fraction': 0.0}, 'leaves nothing to choose the members of a soup by'),
        ({'duplicate_embeddings': 1.0}, 'crossval.duplicate_embeddings=1.0'),
        ({'splitter': 'leave_one_group_out', 'repeats': 2}, 'has one division only'),
    ],
)
def test_each_mistake_is_one_clear_line(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        dataclasses.replace(CrossVal(), **changes).check('crossval.')
    assert '\n' not in str(caught.value)


def test_a_seed_of_zero_is_a_seed():
    CrossVal(seed=0).check('crossval.')
