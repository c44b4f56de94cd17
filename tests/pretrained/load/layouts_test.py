"""Every layout comes back from its inverse, and means what torch means by it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jtransfer.pretrained.load import layouts

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


HEADS = (12, 3, 4)
CASES = {
    'same': (layouts.SAME, normal(3, 4), [(3, 4)]),
    'linear': (layouts.LINEAR, normal(5, 3), [(3, 5)]),
    'convolution': (layouts.CONV, normal(6, 3, 2, 5), [(2, 5, 3, 6)]),
    'a leading one': (layouts.Leading(1), normal(7), [(1, 7)]),
    'two leading ones before a linear layer': (layouts.Leading(2, layouts.LINEAR), normal(5, 3), [(1, 1, 3, 5)]),
    'flattened': (layouts.Flattened(2, 3), normal(4, 5 * 6), [(30, 4)]),
    'fused heads': (layouts.Heads(), normal(36, 12), [HEADS] * 3),
    'biases of fused heads': (layouts.Heads(), normal(36), [(3, 4)] * 3),
    'heads alone': (layouts.Heads(), normal(12, 12), [HEADS]),
    'heads in Flax order': (layouts.Heads(transposed=True), normal(12, 12), [HEADS]),
    'out of heads': (layouts.HeadsOut(), normal(12, 12), [(3, 4, 12)]),
    'out of heads in Flax order': (layouts.HeadsOut(transposed=True), normal(12, 12), [(3, 4, 12)]),
}


@pytest.mark.parametrize('case', CASES)
def test_there_and_back_is_exact(case):
    layout, array, shapes = CASES[case]
    ours = layout.load(array, shapes)
    assert [part.shape for part in ours] == shapes
    np.testing.assert_array_equal(layout.export(ours), array)
    assert len({part.tobytes() for part in ours}) == len(ours)


@given(st.permutations(range(4)))
def test_any_order_of_axes_has_its_inverse(axes):
    layout = layouts.Transposed(tuple(axes))
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(layout.export(layout.load(array, [()])), array)


def test_a_flattened_layer_sees_the_picture_in_our_order():
    """The product with a picture flattened (channel, h, w) equals ours with (h, w, channel)."""
    picture, weight = normal(5, 2, 3), normal(4, 30)
    kernel = layouts.Flattened(2, 3).load(weight, [(30, 4)])[0]
    np.testing.assert_allclose(picture.transpose(1, 2, 0).reshape(-1) @ kernel, weight @ picture.reshape(-1), rtol=1e-5)


def test_fused_rows_are_queries_then_keys_then_values_head_by_head():
    token, weight = normal(12), normal(36, 12)
    query, key, value = layouts.Heads().load(weight, [HEADS] * 3)
    rows = (weight @ token).reshape(3, 3, 4)
    for kernel, row in zip((query, key, value), rows, strict=True):
        np.testing.assert_allclose(np.einsum('d,dhs->hs', token, kernel), row, rtol=1e-5)


@pytest.mark.parametrize(
    ('layout', 'array', 'shapes', 'message'),
    [
        (layouts.Flattened(2, 3), normal(4, 31), [()], '31 inputs are no multiple of 2×3'),
        (layouts.Heads(), normal(35, 12), [HEADS] * 3, '35 rows cannot be 3 × 3 heads'),
        (layouts.Heads(), normal(36, 12), [()] * 3, 'cannot be 3 × 0 heads'),
        (layouts.HeadsOut(), normal(12, 13), [(3, 4, 12)], '13 inputs cannot be 3 heads'),
        (layouts.CONV, normal(3, 4), [()], 'axes'),
    ],
)
def test_what_cannot_have_a_layout_is_said(layout, array, shapes, message):
    with pytest.raises(ValueError, match=message):
        layout.load(array, shapes)


@pytest.mark.parametrize('layout', [layouts.Heads(), layouts.Heads(transposed=True), layouts.HeadsOut()])
@pytest.mark.parametrize('shape', [(), (2, 1, 2)])
def test_heads_of_a_number_or_a_cube(layout, shape):
    with pytest.raises(ValueError, match='weight'):
        layout.load(np.zeros(shape, np.float32), [(12, 3, 4)])
