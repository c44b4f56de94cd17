"""What a run says about its data."""

import numpy as np

from jtransfer.config.data import Data
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.experiments.data.data_lines import describe_parts, describe_source


def test_parts_are_told_with_classes_and_notes():
    source = ArraySource(np.zeros((20, 2, 2, 3), np.uint8), np.arange(20) % 2, ('ants', 'bees'))
    source.notes = ('read so',)
    parts = load_parts(Data(test_fraction=0.2, batch_size=2), 0, source)
    assert describe_parts(parts, 'it') == [
        'it: 2 classes (ants, bees); images: 16 to train on, 4 to test on',
        'read so',
    ]
    both = {'train': parts.train, 'test': parts.test}
    assert describe_source('test', both, 'it') == [
        'it: 2 classes (ants, bees); images: 4 of the test part',
        'read so',
    ]
    assert describe_source('train', {'train': source}, 'it')[0] == 'it: 2 classes (ants, bees); images: 20'
    chosen = load_parts(Data(test_fraction=0.2, batch_size=2, classes=('bees', 'ants')), 0, source)
    assert describe_parts(chosen, 'it')[0].startswith('it: 2 classes (bees, ants)')
    assert chosen.notes == ('read so',)
