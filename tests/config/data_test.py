"""Settings of the data: every mistake is one line that names the field."""

import dataclasses

import pytest

from jtransfer.config.data import Data
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'task': 'multilabel'}, "data.task='multilabel' is not one of .*Did you mean 'multi_label'"),
        ({'duplicates': 'groups'}, "Did you mean 'group'"),
        ({'label_noise': 1.0}, r'data.label_noise=1.0 must be at least 0 and below 1'),
        ({'label_noise_kind': 'symmetrical'}, "Did you mean 'symmetric'"),
        ({'unlabelled_fraction': -0.1}, 'data.unlabelled_fraction=-0.1'),
        ({'imbalance': 0.5}, 'data.imbalance=0.5 must be at least 1'),
        ({'sampling': 'balance'}, "Did you mean 'balanced'"),
        ({'placement': 'gpu'}, "data.placement='gpu' is not one of auto, device, host, stream"),
        ({'placement': 'host', 'cache': False}, 'data.placement=host keeps the images in the cache file'),
        ({'cache_budget_mib': 0}, 'data.cache_budget_mib=0 must be at least 1'),
        ({'classes': ('cat',)}, 'must be two classes or more'),
        ({'classes': ('cat', 'dog', 'cat')}, 'has one name twice'),
        ({'label_columns': ('a', 'a')}, 'data.label_columns=.* has one name twice'),
        ({'duplicate_distance': 33}, 'must be between 0 and 32 bits'),
        ({'label_separator': ''}, 'data.label_separator is empty'),
        ({'validation_fraction': 0.6, 'test_fraction': 0.4}, 'must leave examples to train on'),
        ({'pixel_range': (0.0,)}, 'data.pixel_range=0 must be two numbers, the least value and the largest'),
        ({'pixel_range': (1.0, 0.0)}, 'must be two numbers, the least value and the largest'),
        ({'pixel_range': (0.0, float('inf'))}, 'must be two numbers'),
        ({'split_seed': -1}, 'data.split_seed=-1 must be at least 0'),
        ({'split_seed': 2**32}, r'data.split_seed=4294967296 must be below 2\*\*32'),
    ],
)
def test_each_mistake_is_one_clear_line(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        dataclasses.replace(Data(), **changes).check('data.')
    assert '\n' not in str(caught.value)


def test_defaults_are_valid_and_stay_what_they_are():
    data = Data()
    data.check('data.')
    assert data == Data()
