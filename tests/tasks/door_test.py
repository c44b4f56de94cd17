"""What goes in at the door and comes out again is the same, in whichever form people have it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jtransfer.tasks.door import bare, by_task, is_by_task

ARRAYS = arrays.arrays(
    st.sampled_from([np.int32, np.float32, np.float64]),
    st.one_of(st.tuples(st.integers(1, 5)), st.tuples(st.integers(1, 5), st.integers(1, 3))),
)
NAMED = st.dictionaries(st.text('abc', min_size=1, max_size=2), ARRAYS, min_size=1, max_size=3)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.one_of(ARRAYS, NAMED))
def test_there_and_back_are_the_same_arrays(values):
    inside = by_task(values)
    assert is_by_task(inside)
    assert all(a is b for a, b in zip(by_task(inside).values(), inside.values(), strict=True))
    outside = bare(inside)
    if isinstance(values, dict):
        assert outside.keys() == values.keys()
        assert all(outside[name] is values[name] for name in values)
    else:
        assert inside.keys() == {''}
        assert outside is values


def test_what_becomes_an_array_is_made_one():
    assert by_task([0, 1])[''].tolist() == [0, 1]
    assert by_task({'kind': [0, 1]})['kind'].tolist() == [0, 1]
    assert not is_by_task({'kind': [0, 1]})
    assert not is_by_task(np.arange(2))
