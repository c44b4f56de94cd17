"""The metrics against scikit-learn, hand-written forms and invariants."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as reference

from jtransfer.errors import UserError
from jtransfer.tasks.metrics import class_figures
from jtransfer.tasks.metrics import classification as m


def random_case(seed, examples=200, classes=7, scale=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, examples)
    logits = rng.normal(0, scale, (examples, classes)).astype(np.float32)
    logits[np.arange(examples), labels] += scale
    return logits, labels.astype(np.int32), [f'class {i}' for i in range(classes)]


@pytest.mark.parametrize(('classes', 'scale'), [(2, 1.0), (7, 2.0), (40, 0.3)])
def test_agrees_with_scikit_learn(classes, scale):
    logits, labels, names = random_case(classes, classes=classes, scale=scale)
    got = m.classification_metrics(logits, labels, names)
    predicted, every = logits.argmax(1), np.arange(classes)
    assert got.examples == len(labels)
    assert got.top1 == pytest.approx(reference.accuracy_score(labels, predicted))
    assert got.k == min(5, classes)
    if classes > 5:
        assert got.top_k == pytest.approx(reference.top_k_accuracy_score(labels, logits, k=5, labels=every))
    else:
        assert got.top_k == 1.0
    assert got.loss == pytest.approx(reference.log_loss(labels, softmax(np.float64(logits), axis=1), labels=every))
    assert got.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    np.testing.assert_array_equal(got.confusion_matrix, reference.confusion_matrix(labels, predicted, labels=every))
    precision, recall, f1, count = reference.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=np.nan
    )
    for entry, *expected in zip(got.per_class, precision, recall, f1, count, strict=True):
        values = [entry.precision, entry.accuracy, entry.f1, entry.examples]
        np.testing.assert_allclose([np.nan if v is None else v for v in values], expected, rtol=1e-12)


def test_expected_calibration_error_by_hand():
    logits, labels, names = random_case(3, examples=500)
    bins = 15
    probability = softmax(np.float64(logits), axis=1).max(1)
    correct = logits.argmax(1) == labels
    expected = 0.0
    for i in range(bins):
        inside = (probability > i / bins) & (probability <= (i + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - probability[inside].mean())
    got = m.classification_metrics(logits, labels, names, bins=bins)
    assert got.expected_calibration_error == pytest.approx(expected)
    assert sum(b.examples for b in got.calibration) == 500
    assert [b.low for b in got.calibration[1:]] == [b.high for b in got.calibration[:-1]]
    assert (got.calibration[0].accuracy, got.calibration[0].confidence) == (None, None)


def test_sure_and_wrong_has_calibration_error_one():
    got = m.classification_metrics(np.float32([[50, 0], [50, 0]]), np.array([1, 1]), ['a', 'b'])
    assert got.expected_calibration_error == pytest.approx(1.0)
    assert got.loss == pytest.approx(50.0)


def test_huge_logits_do_not_overflow():
    got = m.classification_metrics(np.float32([[3e38, -3e38], [1e4, -1e4]]), np.array([0, 1]), ['a', 'b'])
    assert got.loss == pytest.approx(1e4)


def test_interval_follows_the_confidence():
    logits, labels, names = random_case(0)
    narrow = m.classification_metrics(logits, labels, names, confidence=0.5).top1_interval
    wide = m.classification_metrics(logits, labels, names, confidence=0.99).top1_interval
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_absent_classes_have_no_accuracy():
    logits = np.float32([[2, 1, 0, 0], [2, 1, 0, 0], [0, 1, 0, 0]])
    got = m.classification_metrics(logits, np.array([0, 1, 1]), list('abcd'))
    assert [c.accuracy for c in got.per_class] == [1.0, 0.5, None, None]
    assert [c.precision for c in got.per_class] == [0.5, 1.0, None, None]
    assert got.per_class[3].f1 is None
    assert got.balanced_accuracy == pytest.approx(0.75)
    assert got.confusion_matrix.shape == (4, 4)


def test_ties_go_to_the_smaller_class_number():
    logits = np.zeros((8, 8), np.float32)
    got = m.classification_metrics(logits, np.arange(8), list('abcdefgh'))
    assert got.top1 == pytest.approx(1 / 8)
    assert got.top_k == pytest.approx(5 / 8)
    np.testing.assert_array_equal(got.confusion_matrix[:, 0], np.ones(8))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 9), examples=st.integers(1, 60), block=st.integers(1, 70))
def test_order_and_blocks_change_nothing(seed, classes, examples, block):
    logits, labels, names = random_case(seed, examples, classes)
    logits = np.round(logits)  # so that ties occur
    order = np.random.default_rng(seed).permutation(examples)
    got = m.classification_metrics(logits, labels, names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_figures, '_BLOCK', block)
        other = m.classification_metrics(logits[order], labels[order], names)
    np.testing.assert_array_equal(got.confusion_matrix, other.confusion_matrix)
    assert got.per_class == other.per_class
    assert (got.top1, got.top_k, got.top1_interval) == (other.top1, other.top_k, other.top1_interval)
    assert got.loss == pytest.approx(other.loss)
    assert got.expected_calibration_error == pytest.approx(other.expected_calibration_error)
    assert 0 <= got.top1_interval[0] <= got.top1 <= got.top1_interval[1] <= 1
    assert got.top1 <= got.top_k <= 1
    assert np.trace(got.confusion_matrix) == round(got.top1 * examples)


@pytest.mark.parametrize(
    ('logits', 'labels', 'names', 'message'),
    [
        ([[0, np.nan], [0, 1]], [0, 1], 'ab', r'1 of 2 examples are not finite \(first: example 0\)'),
        ([[0, 1], [0, np.inf]], [0, 1], 'ab', 'first: example 1'),
        ([[0, 1], [0, 1]], [0, 2], 'ab', 'label 2 of example 1 is outside 0 … 1'),
        ([[0, 1]], [0], 'abc', '3 class names for 2 logits'),
        (np.zeros((0, 2)), np.zeros(0, int), 'ab', 'no examples'),
    ],
)
def test_bad_input_is_one_clear_line(logits, labels, names, message):
    with pytest.raises(UserError, match=message):
        m.classification_metrics(np.asarray(logits, np.float32), np.asarray(labels), list(names))


def test_lengths_must_agree():
    # A TypeError where the shapes of the annotations are checked at run time.
    with pytest.raises((UserError, TypeError)):
        m.classification_metrics(np.zeros((1, 2), np.float32), np.array([0, 1]), ['a', 'b'])


def test_to_dict_is_plain_json():
    logits, labels, names = random_case(0)
    got = m.classification_metrics(logits, labels, names)
    values = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert values['top1'] == got.top1
    assert values['top1_interval'] == list(got.top1_interval)
    assert values['per_class'][2]['name'] == 'class 2'
    assert len(values['calibration']) == 15
    assert 'confusion_matrix' not in values
    assert got.class_names == tuple(names)


def test_a_matrix_that_cannot_be_read_is_a_table_of_mistakes():
    few, many = (m.classification_metrics(*random_case(0, classes=classes)).blocks() for classes in (40, 41))
    assert [panel.kind for block in few for panel in block.panels] == ['matrix', 'bars', 'listing', 'listing']
    assert [panel.kind for block in many for panel in block.panels] == ['listing', 'bars', 'listing']
    assert [block.last for block in few] == [block.last for block in many] == [False, True]
    assert few[0].panels[0].names[2] == 'class 2'
    worst = [row[2] for row in few[1].panels[0].rows]
    assert worst == sorted(worst, key=lambda accuracy: (accuracy is None, accuracy))
