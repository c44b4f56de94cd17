"""Settings of a search."""

import pytest

from jtransfer.config.search import Search
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'sampler': 'tpee'}, r"search\.sampler='tpee' is not one of .*Did you mean 'tpe'"),
        ({'pruner': 'mean'}, r"search\.pruner='mean' is not one of"),
        ({'trials': 0}, r'search\.trials=0 must be at least 1'),
        ({'folds': -1}, r'search\.folds=-1 must be at least 0'),
        ({'folds': 1}, r'search\.folds=1 is no division'),
        ({'seed': -1}, r'search\.seed=-1 must be at least 0'),
        ({'seed': 2**32}, r'search\.seed=4294967296 must be below 2\*\*32'),
        ({'pruner': 'median', 'folds': 2, 'sampler': 'gird'}, r"Did you mean 'grid'"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Search(**settings).check('search.')


def test_a_seed_of_0_is_a_seed():
    Search(seed=0).check('search.')
    assert Search().seed is None
