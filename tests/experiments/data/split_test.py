"""Which images and which labels a run was of, compared with what there is now."""

import numpy as np
import pytest

from jtransfer.config.data import Data
from jtransfer.data.parts import load_parts, split_record
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.experiments.data.split import LABELS, same_examples, split_of, what_changed

LABEL = np.arange(20) % 2


def parts(labels=LABEL, count=20):
    source = ArraySource(np.zeros((count, 2, 2, 3), np.uint8), labels[:count], ('ants', 'bees'))
    return load_parts(Data(batch_size=2, test_fraction=0.3), 0, source)


@pytest.mark.parametrize('part', ['train', 'test'])
def test_other_images_and_other_labels_are_told_apart(part):
    before = split_of(parts())
    assert what_changed(before, split_of(parts())) == ''
    assert what_changed(before, split_of(parts(count=18))) == 'images'
    relabelled = split_of(parts((np.arange(20) > 9).astype(int)))
    assert what_changed(before, relabelled) == 'parts'
    now = split_of(parts())
    now[part][LABELS] = 'another'
    assert what_changed(before, now) == 'labels'
    assert same_examples(before, now, part)
    assert same_examples(before, now, 'validation')
    assert not same_examples(before, split_of(parts(count=18)), part)


def test_the_digest_is_of_the_labels():
    for name in ('train', 'test'):
        assert split_of(parts())[name][LABELS] == split_of(parts())[name][LABELS]
    assert (
        split_of(parts())['train'][LABELS]
        != split_of(parts(np.minimum(LABEL, 1) ^ (np.arange(20) < 4)))['train'][LABELS]
    )


def test_what_says_nothing_of_labels_is_compared_by_its_images():
    divided = parts()
    assert what_changed(split_record(divided), split_of(divided)) == ''
    assert what_changed(split_of(divided), split_record(divided)) == ''
