"""Settings of augmentation: what the fields stand for, the order of operations, and what is refused."""

import pytest

from jtransfer import config
from jtransfer.config.augment import Augment
from jtransfer.errors import UserError


def _names(augment):
    return [(stream, operation.name) for stream, operation in augment.steps()]


def test_fields_come_first_and_have_streams_of_their_own():
    augment = Augment(
        crop_scale=(0.5, 1.0), horizontal_flip=0.5, vertical_flip=0.1, hue=0.1, operations=('rotate(5)', 'mixup')
    )
    expected = ['random_resized_crop', 'horizontal_flip', 'vertical_flip', 'color_jitter', 'rotate', 'mixup']
    assert _names(augment) == list(enumerate(expected))


def test_the_stream_of_an_operation_does_not_depend_on_the_fields():
    assert _names(Augment(operations=('rotate(5)', 'invert'))) == [(4, 'rotate'), (5, 'invert')]


def test_a_crop_comes_first_and_keeps_its_stream():
    augment = Augment(horizontal_flip=0.5, operations=('random_crop(4)', 'invert'))
    augment.check('augment.')
    assert _names(augment) == [(4, 'random_crop'), (1, 'horizontal_flip'), (5, 'invert')]


def test_nothing_is_done_by_default():
    augment = Augment()
    augment.check('augment.')
    assert augment.steps() == []
    assert not augment.crops
    assert not augment.mixes


@pytest.mark.parametrize(
    ('augment', 'crops'),
    [
        (Augment(crop_ratio=(0.9, 1.1)), True),
        (Augment(operations=('random_resized_crop',)), True),
        (Augment(operations=('random_square_crop', 'horizontal_flip')), True),
        (Augment(operations=('random_crop(4)',)), False),
        (Augment(operations=('zoom(0.2)',)), False),
    ],
)
def test_whole_pictures_are_kept_for_crops_out_of_them(augment, crops):
    augment.check('augment.')
    assert augment.crops is crops


@pytest.mark.parametrize('name', ['mixup', 'cutmix', 'mixup_or_cutmix'])
def test_mixing_is_told(name):
    assert Augment(operations=('invert', name)).mixes


@pytest.mark.parametrize(
    ('augment', 'words'),
    [
        (Augment(crop_scale=(0.5, 1.0), operations=('random_crop',)), 'random_crop is a second crop'),
        (Augment(operations=('random_crop', 'random_square_crop')), 'random_square_crop is a second crop'),
        (Augment(operations=('invert', 'random_crop')), 'random_crop must be the first'),
        (Augment(operations=('mixup', 'cutmix')), 'mixup_or_cutmix chooses between the two'),
        (Augment(operations=('mixup', 'invert')), 'mixup must be the last'),
        (Augment(operations=('invert', 'rotat')), r"augment.operations\[1\]='rotat': there is no operation 'rotat'"),
        (Augment(crop_scale=(0.0, 1.0)), 'augment.crop_scale'),
        (Augment(crop_scale=(0.5, 1.5)), 'must not go above 1'),
        (Augment(crop_ratio=(2.0, 1.0)), 'augment.crop_ratio'),
        (Augment(horizontal_flip=1.5), 'augment.horizontal_flip=1.5 must be between 0 and 1'),
        (Augment(hue=0.6), 'augment.hue=0.6 must be between 0 and 0.5'),
        (Augment(contrast=-1.0), 'augment.contrast=-1.0 must be at least 0'),
        (Augment(repeats=0), 'augment.repeats=0 must be at least 1'),
        (Augment(sizes=(32, 0)), 'augment.sizes=0 must be at least 1'),
        (Augment(size_schedule='often'), "augment.size_schedule='often' is not one of random, progressive"),
    ],
)
def test_what_cannot_be_is_refused(augment, words):
    with pytest.raises(UserError, match=words):
        augment.check('augment.')


def test_a_flip_and_a_padded_crop_may_come_with_the_fields():
    Augment(horizontal_flip=0.5, operations=('random_crop(4)', 'rand_augment', 'random_erasing')).check('augment.')


def test_operations_survive_dictionaries_and_the_command_line():
    operations = ('rotate(degrees=(-5, 10))', 'mixup(alpha=0.2)')
    changed = config.replace(config.Config(), 'augment.operations', str(operations))
    assert changed.augment.operations == operations
    assert config.from_dict(config.to_dict(changed)) == changed
