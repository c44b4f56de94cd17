"""Losses and weights of the examples of a batch, by the names that the configuration has for them.

A loss here gives every example a loss and a weight, and the batch's loss is `weighted_mean` of them. The weights depend
on the targets alone. Whoever splits a batch (micro-batches, devices) therefore sums the weights of all of it first and
gives `weighted_mean` that total, so that the parts add up to the loss of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Num

from jtransfer.config.optim import Loss
from jtransfer.errors import UserError

# From logits [batch, outputs] and targets (class numbers [batch], or [batch, outputs]) to losses and weights, [batch].
LossFunction: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]

BINARY = ('binary', 'binary_sum')
REGRESSION = ('mse', 'huber')

# Least probability of a target in the reverse cross-entropy, which would have log 0 otherwise, as in the authors' code.
# The paper calls its logarithm A; it is -9.21 here.
REVERSE_CLIP = 1e-4


def cross_entropy(
    logits: Float[Array, 'batch classes'], targets: Num[Array, 'batch ...'], label_smoothing: float = 0.0
) -> Float[Array, ' batch']:
    """Softmax cross-entropy of every example, in nats.

    Args:
        logits: unnormalised log-probabilities.
        targets: class numbers [batch], or probabilities [batch, classes].
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al., 2016), in [0, 1).

    Raises:
        UserError: the targets fit the logits in neither form.
    """
    return optax.softmax_cross_entropy(logits.astype(jnp.float32), _dense(logits, targets, label_smoothing))


def make_loss(loss: Loss, label_smoothing: float, num_classes: int) -> LossFunction:
    """The loss of every example, and how much the example weighs.

    Targets are class numbers [batch], or [batch, outputs]: probabilities, several labels an example (`binary`), numbers
    (`mse`, `huber`). Class numbers are made one-hot where a loss wants the second.

    Class weights act as in torch.nn.functional.cross_entropy and its binary counterpart. With class numbers an example
    weighs as its class does, and `weighted_mean` is the weighted mean; an example whose class weighs nothing counts
    nothing (torch still counts the share that label smoothing gives to other classes). With probabilities, and with
    `binary`, each class's term of an example's loss is multiplied by its weight, and all examples weigh 1.

    Label smoothing s over C classes makes a target t into t (1 - s) + s / C, for `binary` too, as timm has it for class
    numbers and for mixed labels; before `binary_threshold`.

    The focal loss is that of Lin et al. (2017) for a softmax, (1 - p)^gamma (-log p). For probabilities t, it and the
    generalized cross-entropy (1 - p^q) / q (Zhang and Sabuncu, 2018) are sums over classes of t times these. In the
    symmetric cross-entropy (Wang et al., 2019) the reverse part takes a target below `REVERSE_CLIP` for that.

    Args:
        loss: which, and its options.
        label_smoothing: share of a target spread evenly over all classes, in [0, 1).
        num_classes: outputs of the head, ≥ 1.

    Returns:
        From logits and targets to float32 losses and weights [batch], ≥ 0. It raises `UserError` for targets of another
        form.

    Raises:
        UserError: another number of class weights than of classes, or options that do not go together.
    """
    _check(loss, label_smoothing, num_classes)

    def function(
        logits: Float[Array, 'batch outputs'], targets: Num[Array, 'batch ...']
    ) -> tuple[Float[Array, ' batch'], Float[Array, ' batch']]:
        dense = _dense(logits, targets, label_smoothing)
        logits = logits.astype(jnp.float32)
        weights = example_weights(loss, targets)
        if loss.name == 'mse':
            return optax.squared_error(logits, dense).mean(-1), weights
        if loss.name == 'huber':
            return optax.huber_loss(logits, dense, delta=loss.huber_delta).mean(-1), weights
        classes = jnp.asarray(loss.class_weights or [1.0] * num_classes, jnp.float32)
        if loss.name in BINARY:
            return _binary(loss, logits, dense, classes), weights
        log_p = jax.nn.log_softmax(logits)
        losses = jnp.sum(classes * dense * _term(loss, log_p), -1)
        hard = targets.ndim == 1
        if loss.name == 'symmetric_cross_entropy':
            reverse = -jnp.sum(jnp.exp(log_p) * jnp.log(jnp.clip(dense, REVERSE_CLIP, 1.0)), -1)
            of_class = weights if hard else dense @ classes
            losses = loss.symmetric_alpha * losses + loss.symmetric_beta * of_class * reverse
        # The weight is in there already, and comes in again with the weighted mean.
        return jnp.where(weights > 0, losses / jnp.where(weights > 0, weights, 1.0), 0.0), weights

    return function


def example_weights(loss: Loss, targets: Num[Array, 'batch ...']) -> Float[Array, ' batch']:
    """How much each example weighs in the mean, float32; what a function of `make_loss` gives beside the losses.

    Args:
        loss: as for `make_loss`.
        targets: of the same batch.
    """
    if targets.ndim == 1 and loss.class_weights and loss.name not in BINARY:
        return jnp.asarray(loss.class_weights, jnp.float32)[targets]
    return jnp.ones(targets.shape[:1], jnp.float32)


def weighted_mean(
    losses: Float[Array, ' batch'], weights: Float[Array, ' batch'], total: Float[Array, ''] | None = None
) -> Float[Array, '']:
    """The sum of weights times losses over the sum of weights.

    Args:
        losses: of the examples.
        weights: of the examples, ≥ 0.
        total: what to divide by instead of the sum of these weights. With the sum over the whole of a batch, the
            results for its parts *add up* to its loss; with an n-th of that, they average to it over n parts.

    Returns:
        A scalar; 0 where there is no weight at all.
    """
    total = weights.sum() if total is None else total
    return jnp.sum(weights * losses) / jnp.where(total > 0, total, 1.0)


def accuracy(
    logits: Float[Array, 'batch outputs'], targets: Num[Array, 'batch ...'], loss_name: str = 'cross_entropy'
) -> Float[Array, ' batch']:
    """How right each example is, in [0, 1], where outputs are classes.

    Args:
        logits: of the head.
        targets: as for `make_loss`. Where labels are mixed in training, class numbers say more than the mixture.
        loss_name: name of the loss.

    Returns:
        Whether the largest output is the class, or the most probable one; with several labels an example (`binary` and
        targets of outputs), the share of classes on whose presence the sign of the output agrees.
    """
    if targets.ndim == 1:
        return (logits.argmax(-1) == targets).astype(jnp.float32)
    if loss_name in BINARY:
        return ((logits > 0) == (targets > 0.5)).mean(-1, dtype=jnp.float32)
    return (logits.argmax(-1) == targets.argmax(-1)).astype(jnp.float32)


def _check(loss: Loss, label_smoothing: float, num_classes: int) -> None:
    loss.check('loss.')
    if loss.name in REGRESSION:
        for name, given in (('label_smoothing', label_smoothing), ('loss.class_weights', loss.class_weights)):
            if given:
                raise UserError(
                    f'{name}={given} is for classes, and loss.name={loss.name} is for numbers: leave it out'
                )
    if loss.class_weights and len(loss.class_weights) != num_classes:
        raise UserError(f'loss.class_weights has {len(loss.class_weights)} weights for {num_classes} classes')
    threshold = loss.binary_threshold
    if not threshold:
        return
    if loss.name not in BINARY:
        raise UserError(f'loss.binary_threshold={threshold} is for loss.name=binary, not {loss.name}')
    low = label_smoothing / num_classes
    high = 1 - label_smoothing + low
    if not low <= threshold < high:
        raise UserError(
            f'loss.binary_threshold={threshold} must lie between the targets that label_smoothing={label_smoothing} '
            f'makes of 0 and 1 with {num_classes} classes, {low:.4g} and {high:.4g}'
        )


def _dense(
    logits: Float[Array, 'batch outputs'], targets: Num[Array, 'batch ...'], label_smoothing: float
) -> Float[Array, 'batch outputs']:
    """Float32 targets of the logits' shape, smoothed."""
    outputs = logits.shape[-1]
    numbers = targets.ndim == 1 and jnp.issubdtype(targets.dtype, jnp.integer)
    # Of a single output, a class number says nothing: one-hot, number 0 would be 1.
    if numbers and outputs > 1:
        targets = jax.nn.one_hot(targets, outputs)
    elif targets.shape != logits.shape:
        forms = [*['whole class numbers [batch]'] * (outputs > 1), f'[batch, {outputs}]']
        raise UserError(
            f'targets {targets.dtype} {list(targets.shape)} do not fit outputs {list(logits.shape)}: '
            f'{" or ".join(forms)} would'
        )
    return optax.smooth_labels(targets.astype(jnp.float32), label_smoothing)


def _binary(
    loss: Loss, logits: Float[Array, 'batch classes'], dense: Float[Array, 'batch classes'], classes: Array
) -> Float[Array, ' batch']:
    if loss.binary_threshold:
        dense = (dense > loss.binary_threshold).astype(jnp.float32)
    terms = classes * optax.sigmoid_binary_cross_entropy(logits, dense)
    return terms.mean(-1) if loss.name == 'binary' else terms.sum(-1)


def _term(loss: Loss, log_p: Float[Array, 'batch classes']) -> Float[Array, 'batch classes']:
    """What each class costs as the target, from the log-probabilities."""
    if loss.name == 'focal':
        # Away from probability 1, where the derivative of its power is infinite for gamma < 1.
        log_rest = jnp.log(-jnp.expm1(jnp.minimum(log_p, -jnp.finfo(jnp.float32).eps)))
        return jnp.exp(loss.focal_gamma * log_rest) * -log_p
    if loss.name == 'generalized_cross_entropy':
        return -jnp.expm1(loss.generalized_q * log_p) / loss.generalized_q
    return -log_p
