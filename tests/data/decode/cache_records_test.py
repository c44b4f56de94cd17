"""A record tells whether it is as it was written."""

import numpy as np
import pytest

from jtransfer.data.decode.cache_records import NARROW, NOTHING, RECORD, are_whole, lost, sealed


@pytest.mark.parametrize('kind', [RECORD, NARROW])
def test_no_flipped_bit_and_no_zeros_are_a_whole_record(kind):
    content = np.random.default_rng(0).integers(0, 256, 3 * kind.itemsize, np.uint8)
    records = sealed(content.view(kind))
    assert are_whole(records).tolist() == [True] * 3
    for bit in range(8 * kind.itemsize):
        changed = records.copy()
        changed.view(np.uint8)[kind.itemsize + bit // 8] ^= 1 << bit % 8
        assert are_whole(changed).tolist() == [True, False, True]
    assert not are_whole(np.zeros(2, kind)).any()


def test_the_record_of_a_row_that_holds_nothing_is_whole():
    (record,) = found = np.frombuffer(lost(7), RECORD)
    assert are_whole(found).all()
    assert (record['digest'].tobytes(), record['row']) == (NOTHING, 7)
