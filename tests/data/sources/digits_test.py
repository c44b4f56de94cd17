"""Tests of jtransfer/data/sources/digits.py."""

import numpy as np
from sklearn import datasets

from jtransfer.data.sources.digits import load_digits


def test_digits_are_scikit_learns():
    source, original = load_digits(), datasets.load_digits()
    assert len(source) == 1797
    assert source.class_names == tuple('0123456789')
    np.testing.assert_array_equal(source.labels, original.target)
    example = source[7]
    assert example['id'] == 'digits/7'
    assert example['image'].shape == (8, 8, 3)
    np.testing.assert_allclose(example['image'] / 255 * 16, np.repeat(original.images[7][..., None], 3, -1), atol=0.04)
    assert max(source[i]['image'].max() for i in range(20)) == 255
