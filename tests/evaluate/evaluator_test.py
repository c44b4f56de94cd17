"""Evaluation batches to logits: padding is dropped, one shape compiles, batching changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.errors import UserError
from jtransfer.evaluate.evaluator import predict_logits


def padded_batches(images, labels, size):
    for start in range(0, len(images), size):
        image, label = images[start : start + size], labels[start : start + size]
        fill = size - len(image)
        # Padding that would show: bright images under a label that is never right.
        yield {
            'inputs': {'image': np.concatenate([image, np.full((fill, *image.shape[1:]), 255, np.uint8)])},
            'labels': {'': np.concatenate([label, np.full(fill, 99, np.int32)])},
            'mask': np.arange(size) < len(image),
        }


def linear(images):
    flat = images.reshape(len(images), -1).astype(jnp.float32)
    return jnp.stack([flat.sum(1), flat[:, 0], -flat[:, 1]], axis=1)


def one_head(held):
    return {'': linear(held['image'])}


@settings(max_examples=15, deadline=None)
@given(examples=st.integers(1, 23), size=st.integers(1, 9))
def test_batching_and_padding_change_nothing(examples, size):
    rng = np.random.default_rng(examples)
    images = rng.integers(0, 256, (examples, 4, 4, 3), np.uint8)
    labels = rng.integers(0, 3, examples).astype(np.int32)
    outputs, labelled = predict_logits(one_head, padded_batches(images, labels, size))
    assert outputs.keys() == labelled.keys() == {''}
    logits, got = outputs[''], labelled['']
    np.testing.assert_array_equal(got, labels)
    np.testing.assert_array_equal(logits, np.asarray(linear(images)))
    assert (logits.dtype, got.dtype) == (np.float32, np.int32)


def test_several_heads_come_back_by_name():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 4, 4, 3), np.uint8)
    numbers = rng.normal(size=(7, 2)).astype(np.float32)
    numbers[2] = np.nan
    labels = {'species': np.int32([0, 1, -1, 2, 0, 1, 2]), 'size': numbers}

    def batches():
        for start in (0, 4):
            rows = np.resize(np.arange(start, min(start + 4, 7)), 4)
            yield {
                'inputs': {'image': images[rows]},
                'labels': {name: values[rows] for name, values in labels.items()},
                'mask': np.arange(start, start + 4) < 7,
            }

    outputs, got = predict_logits(
        lambda held: {'species': linear(held['image']), 'size': linear(held['image'])[:, :2]}, batches()
    )
    assert list(outputs) == ['species', 'size']
    np.testing.assert_array_equal(outputs['species'], np.asarray(linear(images)))
    np.testing.assert_array_equal(outputs['size'], np.asarray(linear(images)[:, :2]))
    np.testing.assert_array_equal(got['species'], labels['species'])
    np.testing.assert_array_equal(got['size'], numbers)
    assert (got['species'].dtype, got['size'].dtype, outputs['size'].dtype) == (np.int32, np.float32, np.float32)


def test_several_labels_an_image_stay_rows():
    images, labels = np.zeros((3, 4, 4, 3), np.uint8), np.float32([[1, 0], [0, 0], [1, 1]])
    batch = {'inputs': {'image': images}, 'labels': {'': labels}, 'mask': np.array([True, True, False])}
    _, got = predict_logits(one_head, [batch])
    np.testing.assert_array_equal(got[''], labels[:2])


def test_compiles_once():
    traces = []

    @jax.jit
    def apply(held):
        traces.append(held['image'].shape)
        return one_head(held)

    images, labels = np.zeros((11, 4, 4, 3), np.uint8), np.zeros(11, np.int32)
    predict_logits(apply, padded_batches(images, labels, 4))
    assert traces == [(4, 4, 4, 3)]


def test_ragged_batches_are_refused():
    batches = [
        {'inputs': {'image': np.zeros((n, 2, 2, 3), np.uint8)}, 'labels': {'': np.zeros(n)}, 'mask': np.ones(n)}
        for n in (4, 3)
    ]
    with pytest.raises(ValueError, match=r'\(3, 2, 2, 3\)} after .*\(4, 2, 2, 3\)'):
        predict_logits(one_head, batches)


EMPTY = {'inputs': {'image': np.zeros((2, 2, 2, 3))}, 'labels': {'': [0, 0]}, 'mask': [False, False]}


@pytest.mark.parametrize('batches', [[], [EMPTY]])
def test_nothing_to_evaluate(batches):
    with pytest.raises(UserError, match='no examples'):
        predict_logits(one_head, batches)
