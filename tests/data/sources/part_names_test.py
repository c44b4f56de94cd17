"""What parts are called."""

import pytest

from jtransfer.config.data import Data
from jtransfer.data.sources.part_names import check_known, choose_splits, part_called, part_of_name
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('part', 'names'),
    [
        (
            'train',
            'train Training train_set training-set trainset TrainData train_images images_train TRAIN',
        ),
        ('validation', 'val valid validation dev eval evaluation val_set ValidationSet validset dev-images eval_data'),
        ('test', 'test testing Test_Set testset test_images dataset_test testing.data'),
        ('', 'bus trains train2 eval2 unlabeled images set testament Tr Te fold_a holdout valve detest'),
    ],
)
def test_a_part_is_known_by_its_common_names(part, names):
    assert {name: part_called(name) for name in names.split()} == dict.fromkeys(names.split(), part)
    assert part_called('test set') == 'test'


def test_what_a_person_says_goes_before_the_common_names():
    data = Data(train_split='test', test_split='B')
    assert [part_of_name(name, data) for name in ('test', 'B', 'train', 'testing', 'eval')] == [
        'train',
        'test',
        '',
        '',
        'validation',
    ]


def test_a_split_for_each_part():
    splits = ('training', 'dev', 'test', 'extra')
    assert choose_splits(splits, {}, 'it') == {'train': 'training', 'validation': 'dev', 'test': 'test'}
    assert choose_splits(splits, {'train': 'extra', 'test': 'dev'}, 'it') == {'train': 'extra', 'test': 'dev'}
    with pytest.raises(UserError, match=r"^it has both 'val' and 'eval': say which one with data\.validation_split$"):
        choose_splits(('train', 'val', 'eval'), {}, 'it')


def test_what_is_no_part_stops_unless_a_part_is_named():
    check_known('it', {'train': 'train'}, ['extra'], {'train': 'train'})
    check_known('it', {'train': 'train'}, [], {})
    with pytest.raises(UserError, match=r"^it has .*\('train'\).* extra, .*data\.train_split=train "):
        check_known('it', {'train': 'train'}, ['extra'], {})
