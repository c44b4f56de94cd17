"""A tensor that is not read has its shape and the name of its type, and no values."""

import ml_dtypes
import numpy as np
import pytest

from jtransfer.pretrained.files.unread import is_unread, kind_of, unread


def test_what_is_known_of_it():
    array = unread((2**40, 3), 'float8_e4m3fn')
    assert array.shape == (2**40, 3)
    assert kind_of(array) == 'float8_e4m3fn'
    assert is_unread(array)
    for plain in (np.ones(2, np.complex64), np.ones(2, ml_dtypes.bfloat16), np.ones(2, 'V1')):
        assert not is_unread(plain)
        assert kind_of(plain) == str(plain.dtype)


def test_a_shape_that_cannot_be():
    with pytest.raises(ValueError, match='large'):
        unread((2**62, 2**62), 'complex64')
