"""Losses against scikit-learn, torch, timm and the closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.config.optim import LOSSES, Loss
from jtransfer.errors import UserError
from jtransfer.tasks.losses import (
    BINARY,
    REGRESSION,
    accuracy,
    cross_entropy,
    example_weights,
    make_loss,
    weighted_mean,
)

RANDOM = np.random.default_rng(0)
LOGITS = (3 * RANDOM.standard_normal((20, 5))).astype(np.float32)
LABELS = np.arange(20, dtype=np.int32) % 5
SOFT = RANDOM.dirichlet(np.full(5, 0.5), 20).astype(np.float32)
MULTI_HOT = (RANDOM.uniform(size=(20, 5)) < 0.4).astype(np.float32)
NUMBERS = (2 * RANDOM.standard_normal((20, 5))).astype(np.float32)
WEIGHTS = (0.2, 1.0, 3.0, 0.5, 2.0)
FORMS = {'hard': LABELS, 'soft': SOFT}


@functools.cache
def compiled(name, smoothing, classes, **options):
    return jax.jit(make_loss(Loss(name, **options), smoothing, classes))


def ours(name, targets, smoothing=0.0, logits=LOGITS, **options):
    """Losses and weights of the examples."""
    return compiled(name, smoothing, logits.shape[-1], **options)(jnp.asarray(logits), jnp.asarray(targets))


def mean(*args, **kwargs):
    return float(weighted_mean(*ours(*args, **kwargs)))


@pytest.fixture(scope='module')
def torch():
    """PyTorch, where it is installed."""
    return pytest.importorskip('torch')


def as_tensor(torch, array):
    tensor = torch.from_numpy(np.array(array))
    return tensor.double() if tensor.is_floating_point() else tensor.long()


def test_cross_entropy_is_scikit_learns_log_loss():
    losses = cross_entropy(jnp.array(LOGITS), jnp.array(LABELS))
    assert losses.shape == (20,)
    expected = sklearn.metrics.log_loss(LABELS, scipy.special.softmax(LOGITS.astype(np.float64), axis=1))
    np.testing.assert_allclose(losses.mean(), expected, rtol=1e-6)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.9])
def test_smoothing_mixes_in_the_mean_over_all_classes(smoothing):
    log_probabilities = scipy.special.log_softmax(LOGITS.astype(np.float64), axis=1)
    own = -log_probabilities[np.arange(20), LABELS]
    expected = (1 - smoothing) * own - smoothing * log_probabilities.mean(axis=1)
    losses = cross_entropy(jnp.array(LOGITS), jnp.array(LABELS), smoothing)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_equal_logits_cost_the_logarithm_of_the_classes():
    losses = cross_entropy(jnp.zeros((2, 7)), jnp.array([0, 6]), 0.3)
    np.testing.assert_allclose(losses, np.log(7), rtol=1e-6)


def test_low_precision_logits_are_summed_in_float32():
    losses = cross_entropy(jnp.array(LOGITS, jnp.bfloat16), jnp.array(LABELS))
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, cross_entropy(jnp.array(LOGITS), jnp.array(LABELS)), atol=0.05)


@pytest.mark.parametrize('smoothing', [0.0, 0.2])
@pytest.mark.parametrize('form', FORMS)
def test_the_configured_cross_entropy_is_the_plain_one(form, smoothing):
    losses, weights = ours('cross_entropy', FORMS[form], smoothing)
    np.testing.assert_allclose(losses, cross_entropy(jnp.array(LOGITS), jnp.array(FORMS[form]), smoothing), rtol=1e-6)
    np.testing.assert_array_equal(weights, np.ones(20))


@pytest.mark.parametrize('weights', [(), WEIGHTS])
@pytest.mark.parametrize('smoothing', [0.0, 0.2])
@pytest.mark.parametrize('form', FORMS)
def test_cross_entropy_is_torchs(torch, form, smoothing, weights):
    expected = torch.nn.functional.cross_entropy(
        as_tensor(torch, LOGITS),
        as_tensor(torch, FORMS[form]),
        weight=torch.tensor(weights).double() if weights else None,
        label_smoothing=smoothing,
    )
    assert mean('cross_entropy', FORMS[form], smoothing, class_weights=weights) == pytest.approx(
        expected.item(), rel=1e-5
    )


@pytest.mark.parametrize('weights', [(), WEIGHTS])
def test_binary_is_torchs_binary_cross_entropy(torch, weights):
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        as_tensor(torch, LOGITS),
        as_tensor(torch, MULTI_HOT),
        weight=torch.tensor(weights).double() if weights else None,
        reduction='none',
    )
    assert mean('binary', MULTI_HOT, class_weights=weights) == pytest.approx(expected.mean().item(), rel=1e-5)
    total = expected.sum(1).mean().item()
    assert mean('binary_sum', MULTI_HOT, class_weights=weights) == pytest.approx(total, rel=1e-5)


def test_regression_losses_are_torchs(torch):
    outputs, numbers = as_tensor(torch, LOGITS), as_tensor(torch, NUMBERS)
    assert mean('mse', NUMBERS) == pytest.approx(torch.nn.functional.mse_loss(outputs, numbers).item(), rel=1e-5)
    for delta in (0.3, 1.0, 4.0):
        expected = torch.nn.functional.huber_loss(outputs, numbers, delta=delta).item()
        assert mean('huber', NUMBERS, huber_delta=delta) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize('name', BINARY)
@pytest.mark.parametrize(('smoothing', 'threshold'), [(0.0, 0.0), (0.1, 0.0), (0.1, 0.2), (0.0, 0.5)])
def test_binary_is_timms(torch, name, smoothing, threshold):
    pytest.importorskip('tests.golden.reference').import_timm()
    from timm.data.mixup import mixup_target
    from timm.loss import BinaryCrossEntropy

    theirs = BinaryCrossEntropy(smoothing, threshold or None, sum_classes=name == 'binary_sum')
    logits, labels = as_tensor(torch, LOGITS), as_tensor(torch, LABELS)
    options = {'binary_threshold': threshold}
    assert mean(name, LABELS, smoothing, **options) == pytest.approx(theirs(logits, labels).item(), rel=1e-5)
    # timm smooths mixed labels where it mixes them; here they come unsmoothed.
    mixed = mixup_target(labels, 5, 0.7, smoothing)
    plain = mixup_target(labels, 5, 0.7).numpy().astype('f4')
    expected = theirs(logits, mixed.double()).item()
    assert mean(name, plain, smoothing, **options) == pytest.approx(expected, rel=1e-5)


def test_binary_takes_class_numbers_one_hot_and_smooths_them():
    off = 0.3 / 5
    targets = np.where(np.eye(5)[LABELS] > 0, 1 - 0.3 + off, off)
    terms = -targets * scipy.special.log_expit(LOGITS) - (1 - targets) * scipy.special.log_expit(-LOGITS)
    np.testing.assert_allclose(ours('binary', LABELS, 0.3)[0], terms.mean(1), rtol=1e-5)
    np.testing.assert_allclose(ours('binary_sum', LABELS, 0.3)[0], terms.sum(1), rtol=1e-5)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('gamma', [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_its_formula_in_torch(torch, form, gamma):
    logits = as_tensor(torch, LOGITS).requires_grad_()
    targets = as_tensor(torch, FORMS[form])
    targets = torch.nn.functional.one_hot(targets, 5) if form == 'hard' else targets
    p = torch.softmax(logits, -1)
    expected = (targets * (1 - p) ** gamma * -torch.log(p)).sum(-1)
    losses, _ = ours('focal', FORMS[form], focal_gamma=gamma)
    np.testing.assert_allclose(losses, expected.detach(), rtol=2e-5, atol=1e-7)
    expected.mean().backward()
    function = make_loss(Loss('focal', focal_gamma=gamma), 0.0, 5)
    grads = jax.jit(jax.grad(lambda x: weighted_mean(*function(x, jnp.asarray(FORMS[form])))))(jnp.asarray(LOGITS))
    np.testing.assert_allclose(grads, logits.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('smoothing', [0.0, 0.2])
def test_the_limits_of_focal_and_generalized_cross_entropy(form, smoothing):
    expected, _ = ours('cross_entropy', FORMS[form], smoothing)
    np.testing.assert_allclose(ours('focal', FORMS[form], smoothing, focal_gamma=0.0)[0], expected, rtol=1e-6)
    small, _ = ours('generalized_cross_entropy', FORMS[form], smoothing, generalized_q=1e-5)
    np.testing.assert_allclose(small, expected, rtol=1e-3)
    targets = np.eye(5)[LABELS] if form == 'hard' else SOFT
    targets = targets * (1 - smoothing) + smoothing / 5
    p = scipy.special.softmax(LOGITS.astype(np.float64), axis=1)
    for q in (0.3, 0.7, 1.0):
        losses, _ = ours('generalized_cross_entropy', FORMS[form], smoothing, generalized_q=q)
        np.testing.assert_allclose(losses, (targets * (1 - p**q) / q).sum(1), rtol=1e-5)
    if form == 'hard' and not smoothing:
        np.testing.assert_allclose(losses, 1 - p[np.arange(20), LABELS], rtol=1e-5)  # q = 1: the absolute error


def test_symmetric_cross_entropy_is_its_authors_formula_in_torch(torch):
    # The two clips of github.com/HanxunH/SCELoss-Reproduce, which reproduces the authors' results.
    logits, labels = as_tensor(torch, LOGITS), as_tensor(torch, LABELS)
    predicted = torch.softmax(logits, -1).clamp(1e-7, 1.0)
    wanted = torch.nn.functional.one_hot(labels, 5).double().clamp(1e-4, 1.0)
    reverse = -(predicted * wanted.log()).sum(-1)
    expected = 0.3 * torch.nn.functional.cross_entropy(logits, labels) + 0.8 * reverse.mean()
    options = {'symmetric_alpha': 0.3, 'symmetric_beta': 0.8}
    assert mean('symmetric_cross_entropy', LABELS, **options) == pytest.approx(expected.item(), rel=1e-5)


def test_symmetric_cross_entropy_of_probabilities():
    log_p = scipy.special.log_softmax(LOGITS.astype(np.float64), axis=1)
    forward, reverse = -(SOFT * log_p).sum(1), -(np.exp(log_p) * np.log(np.maximum(SOFT, 1e-4))).sum(1)
    plain, _ = ours('symmetric_cross_entropy', SOFT)
    np.testing.assert_allclose(plain, 0.1 * forward + reverse, rtol=1e-5)
    weighed, weights = ours('symmetric_cross_entropy', SOFT, class_weights=WEIGHTS)
    expected = 0.1 * -(SOFT * log_p * WEIGHTS).sum(1) + SOFT @ np.array(WEIGHTS) * reverse
    np.testing.assert_allclose(weighed, expected, rtol=1e-5)
    np.testing.assert_array_equal(weights, np.ones(20))


CLASSIFICATION = [name for name in LOSSES if name not in (*BINARY, *REGRESSION)]


@pytest.mark.parametrize('name', CLASSIFICATION)
def test_with_class_numbers_an_example_weighs_as_its_class(name):
    losses, weights = ours(name, LABELS, class_weights=WEIGHTS)
    np.testing.assert_allclose(losses, ours(name, LABELS)[0], rtol=1e-5)
    np.testing.assert_array_equal(weights, np.asarray(WEIGHTS, 'f4')[LABELS])


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('name', CLASSIFICATION)
def test_a_class_without_weight_counts_nothing(name, smoothing):
    some = LABELS != 2
    options = {'class_weights': (1.0, 2.0, 0.0, 3.0, 4.0)}
    whole = mean(name, LABELS, smoothing, **options)
    assert whole == pytest.approx(mean(name, LABELS[some], smoothing, logits=LOGITS[some], **options), rel=1e-5)


@pytest.mark.parametrize('name', CLASSIFICATION)
def test_equal_class_weights_change_nothing_with_class_numbers(name):
    assert mean(name, LABELS, class_weights=(3.0,) * 5) == pytest.approx(mean(name, LABELS), rel=1e-5)


def forms_of(name):
    """Targets in every form a loss takes."""
    other = MULTI_HOT if name in BINARY else NUMBERS if name in REGRESSION else SOFT
    return {'hard': LABELS, 'dense': other}


@pytest.mark.parametrize('form', ['hard', 'dense'])
@pytest.mark.parametrize('name', LOSSES)
def test_extreme_logits_have_finite_losses_and_gradients(name, form):
    random = np.random.default_rng(1)
    logits = random.choice([-1e4, 0.0, 1e4], (20, 5)).astype('f4')
    logits[:5] = 1e4 * np.eye(5)  # sure, and right
    logits[5:10] = -1e4 * np.eye(5)  # sure, and wrong
    targets = jnp.asarray(forms_of(name)[form])
    for loss in (Loss(name), Loss(name, focal_gamma=0.3), Loss(name, generalized_q=0.01)):
        function = make_loss(loss, 0.0, 5)
        value, grads = jax.jit(jax.value_and_grad(lambda x, f=function: weighted_mean(*f(x, targets))))(logits)
        assert np.isfinite(value)
        assert np.isfinite(grads).all()
        assert np.abs(grads).max() > 0 or name in ('focal', 'generalized_cross_entropy')


@pytest.mark.parametrize('form', ['hard', 'dense'])
@pytest.mark.parametrize('name', LOSSES)
def test_the_gradient_is_that_of_finite_differences(name, form):
    function = make_loss(Loss(name), 0.0, 5)
    targets, logits = jnp.asarray(forms_of(name)[form]), jnp.asarray(LOGITS)
    run = jax.jit(lambda x: weighted_mean(*function(x, targets)))
    direction = np.random.default_rng(2).standard_normal(logits.shape).astype('f4')
    slope = (run(logits + 0.01 * direction) - run(logits - 0.01 * direction)) / 0.02
    assert float(jnp.vdot(jax.jit(jax.grad(run))(logits), direction)) == pytest.approx(float(slope), rel=1e-2, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(LOSSES),
    st.sampled_from(['hard', 'dense']),
    st.sampled_from([0.1, 1.0, 30.0, 1e4]),
    st.integers(0, 10**6),
)
def test_losses_are_never_negative_and_know_no_order(name, form, scale, seed):
    random = np.random.default_rng(seed)
    logits = (scale * random.standard_normal((20, 5))).astype('f4')
    targets = forms_of(name)[form]
    losses, weights = ours(name, targets, logits=logits)
    assert losses.shape == weights.shape == (20,)
    assert losses.dtype == weights.dtype == jnp.float32
    assert (losses >= 0).all()
    order = random.permutation(20)
    moved, _ = ours(name, targets[order], logits=logits[order])
    np.testing.assert_allclose(moved, losses[order], rtol=1e-5)


def test_parts_of_a_batch_add_up_to_the_whole():
    losses, weights = ours('focal', LABELS, class_weights=WEIGHTS)
    whole = weighted_mean(losses, weights)
    assert float(whole) == pytest.approx(np.average(losses, weights=weights), rel=1e-6)
    total = example_weights(Loss('focal', class_weights=WEIGHTS), jnp.asarray(LABELS)).sum()
    parts = [weighted_mean(losses[part], weights[part], total) for part in (slice(0, 3), slice(3, 8), slice(8, 20))]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-6)
    # Means of parts whose weights differ are another number.
    thirds = [float(weighted_mean(losses[part], weights[part])) for part in (slice(0, 3), slice(3, 8), slice(8, 20))]
    assert np.mean(thirds) != pytest.approx(float(whole), rel=1e-3)


def test_no_weight_at_all_is_no_loss():
    def loss(scale):
        return weighted_mean(scale * jnp.ones(3), jnp.zeros(3))

    assert [float(x) for x in jax.value_and_grad(loss)(2.0)] == [0.0, 0.0]


@pytest.mark.parametrize(
    ('loss', 'smoothing', 'message'),
    [
        (Loss(class_weights=(1.0, 2.0)), 0.0, 'loss.class_weights has 2 weights for 5 classes'),
        (Loss('mse'), 0.1, 'label_smoothing=0.1 is for classes, and loss.name=mse is for numbers: leave it out'),
        (Loss('huber', class_weights=WEIGHTS), 0.0, 'loss.class_weights=.* is for classes, and loss.name=huber'),
        (Loss('focal', binary_threshold=0.2), 0.0, 'loss.binary_threshold=0.2 is for loss.name=binary, not focal'),
        (Loss('binary', binary_threshold=0.1), 0.6, 'must lie between .* with 5 classes, 0.12 and 0.52'),
        (Loss('binary', binary_threshold=0.6), 0.6, 'must lie between .* with 5 classes, 0.12 and 0.52'),
        (Loss('focall'), 0.0, 'loss.name'),
    ],
)
def test_options_that_do_not_go_together_are_refused(loss, smoothing, message):
    with pytest.raises(UserError, match=message):
        make_loss(loss, smoothing, 5)


@pytest.mark.parametrize(
    ('logits', 'targets', 'message'),
    [
        (LOGITS, SOFT[:, :4], r'targets float32 \[20, 4\] do not fit outputs \[20, 5\]'),
        (LOGITS, NUMBERS[:, 0], r'class numbers \[batch\] or \[batch, 5\] would'),
        (LOGITS[:, :1], LABELS, r'targets int32 \[20\] do not fit outputs \[20, 1\]: \[batch, 1\] would'),
    ],
)
def test_targets_of_another_form_are_refused(logits, targets, message):
    with pytest.raises(UserError, match=message):
        make_loss(Loss('mse'), 0.0, logits.shape[1])(jnp.asarray(logits), jnp.asarray(targets))


def test_accuracy():
    logits = jnp.asarray([[2.0, 1.0, -1.0], [-3.0, -2.0, -1.0]])
    assert accuracy(logits, jnp.array([0, 1])).tolist() == [1, 0]
    soft = jnp.asarray([[0.3, 0.6, 0.1], [0.1, 0.1, 0.8]])
    assert accuracy(logits, soft).tolist() == [0, 1]
    several = jnp.asarray([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(accuracy(logits, several, 'binary'), [2 / 3, 1])
    assert accuracy(logits, jnp.array([0, 2]), 'binary_sum').tolist() == [1, 1]
