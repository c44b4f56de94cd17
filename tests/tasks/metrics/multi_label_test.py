"""Several labels an image: against scikit-learn, by hand, and what the interval and the thresholds must keep to."""

import json
import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics as reference

from jtransfer.errors import UserError
from jtransfer.tasks.metrics import multi_label as m
from jtransfer.tasks.thresholds import fit_thresholds

NAMES = [f'class {i}' for i in range(5)]


def random_case(seed=0, examples=150, classes=5, ties=False):
    rng = np.random.default_rng(seed)
    labels = (rng.random((examples, classes)) < np.linspace(0.1, 0.7, classes)).astype(np.float32)
    logits = rng.normal(0, 1.5, (examples, classes)) + 2 * labels - 1
    return (np.round(logits) if ties else logits).astype(np.float32), labels


@pytest.mark.parametrize('ties', [False, True])
def test_agrees_with_scikit_learn(ties):
    logits, labels = random_case(1, ties=ties)
    got = m.multi_label_metrics(logits, labels, NAMES)
    predicted = expit(np.float64(logits)) >= 0.5
    assert got.mean_average_precision == pytest.approx(
        reference.average_precision_score(labels, logits, average='macro')
    )
    assert got.micro_average_precision == pytest.approx(
        reference.average_precision_score(labels, logits, average='micro')
    )
    assert got.roc_auc == pytest.approx(reference.roc_auc_score(labels, logits, average='macro'))
    assert got.subset_accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    assert got.hamming_loss == pytest.approx(reference.hamming_loss(labels, predicted))
    assert got.macro_f1 == pytest.approx(reference.f1_score(labels, predicted, average='macro'))
    assert got.micro_f1 == pytest.approx(reference.f1_score(labels, predicted, average='micro'))
    of_class = [reference.log_loss(labels[:, i], expit(np.float64(logits[:, i])), labels=[0, 1]) for i in range(5)]
    assert got.loss == pytest.approx(np.mean(of_class))
    precision, recall, f1, positives = reference.precision_recall_fscore_support(labels, predicted)
    for i, entry in enumerate(got.per_class):
        expected = [precision[i], recall[i], f1[i], positives[i]]
        assert [entry.precision, entry.recall, entry.f1, entry.positives] == pytest.approx(expected)
        assert entry.average_precision == pytest.approx(reference.average_precision_score(labels[:, i], logits[:, i]))
        assert entry.roc_auc == pytest.approx(reference.roc_auc_score(labels[:, i], logits[:, i]))


def test_a_class_without_positives_is_left_out_of_the_means():
    logits, labels = random_case(2)
    with_empty = np.concatenate([labels, np.zeros((len(labels), 1), np.float32)], axis=1)
    more = np.concatenate([logits, np.full((len(labels), 1), -9, np.float32)], axis=1)
    got, plain = m.multi_label_metrics(more, with_empty, [*NAMES, 'none']), m.multi_label_metrics(logits, labels, NAMES)
    empty = got.per_class[-1]
    assert (empty.positives, empty.average_precision, empty.roc_auc, empty.recall, empty.precision, empty.f1) == (
        0, None, None, None, None, None,
    )  # fmt: skip
    assert got.mean_average_precision == plain.mean_average_precision
    assert (got.roc_auc, got.macro_f1) == (plain.roc_auc, plain.macro_f1)
    json.dumps(got.to_dict(), allow_nan=False)


def test_fitted_thresholds_are_the_best_there_are():
    logits, labels = random_case(4)
    fitted = fit_thresholds(logits, labels)
    got = m.multi_label_metrics(logits, labels, NAMES, thresholds=fitted)
    probability = expit(np.float64(logits))
    for i, entry in enumerate(got.per_class):
        best = max(reference.f1_score(labels[:, i], probability[:, i] >= t) for t in probability[:, i])
        assert entry.f1 == pytest.approx(best)
        assert entry.threshold == fitted[i]
    assert got.macro_f1 > m.multi_label_metrics(logits, labels, NAMES).macro_f1
    assert got.thresholds == fitted


def test_extreme_logits_stay_finite():
    logits, labels = np.float32([[1e4, -1e4], [-1e4, 1e4]]), np.float32([[1, 0], [1, 0]])
    got = m.multi_label_metrics(logits, labels, ['a', 'b'])
    assert got.loss == pytest.approx(5e3)
    assert math.isfinite(got.mean_average_precision_interval[0])


def test_headline_and_json():
    logits, labels = random_case(5)
    got = m.multi_label_metrics(logits, labels, NAMES, confidence=0.9)
    low, high = got.score_interval
    assert got.headline() == (
        f'mean average precision {got.score:.1%} (90% interval {low:.1%} to {high:.1%}) on 150 examples'
    )
    values = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert values['score'] == values['mean_average_precision'] == got.score
    assert values['per_class'][0]['name'] == 'class 0'


@pytest.mark.parametrize(
    ('logits', 'labels', 'names', 'message'),
    [
        (np.zeros((0, 2)), np.zeros((0, 2)), 'ab', 'no examples'),
        (np.zeros((2, 2)), np.eye(2), 'abc', '3 class names for 2'),
        (np.zeros((2, 2)), 2 * np.eye(2), 'ab', '0 or 1'),
        (np.zeros((2, 2)), np.zeros((2, 2)), 'ab', 'none of the 2 examples has any'),
        (np.full((2, 2), np.nan), np.eye(2), 'ab', '2 of 2 examples are not finite'),
    ],
)
def test_what_cannot_be_measured_is_refused(logits, labels, names, message):
    with pytest.raises(UserError, match=message):
        m.multi_label_metrics(logits, labels, list(names))


def test_interval_encloses_the_mean():
    logits, labels = random_case(3, examples=40)
    metrics = m.multi_label_metrics(logits, labels, NAMES)
    low, high = metrics.mean_average_precision_interval
    assert low < metrics.mean_average_precision < high
    assert metrics.resamples == 1000
