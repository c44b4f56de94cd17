"""Weights of the classes by how many examples they have, for the loss."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from jtransfer.checks import one_of
from jtransfer.errors import UserError


def class_weights(
    labels: Int[np.ndarray, ' n'] | Float[np.ndarray, 'n classes'], num_classes: int, balance: str, beta: float
) -> tuple[float, ...]:
    """A weight for each class, larger where there are fewer examples.

    Args:
        labels: of the training part alone, of examples that have one: class numbers, or 0 and 1 for each of several
            labels, where those with a class are its examples.
        num_classes: how many classes there are.
        balance: `inverse`, 1 / n (scikit-learn's `balanced`, but for the scale), or `effective_number`, (1 - beta) /
            (1 - beta^n) (Cui et al., 2019, "Class-balanced loss based on effective number of samples").
        beta: of `effective_number`, in [0, 1): with 0 all classes weigh the same, near 1 it is `inverse`.

    Returns:
        The weights in label order, each > 0, with mean 1 over the classes.

    Raises:
        UserError: a class without examples, or another balance.
    """
    one_of('loss.class_balance', balance, ('inverse', 'effective_number'))
    counts = np.bincount(labels, minlength=num_classes) if labels.ndim == 1 else labels.sum(axis=0, dtype=np.float64)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        more = f' ({len(empty)} such)' if len(empty) > 1 else ''
        raise UserError(
            f'loss.class_balance={balance}: class {empty[0]} of 0 to {num_classes - 1} has no training example to be '
            f'weighed by{more}'
        )
    if balance == 'inverse':
        weights = 1 / counts
    else:
        with np.errstate(divide='ignore'):
            # 1 - beta^n, which would round to nothing near beta = 1.
            weights = (1 - beta) / -np.expm1(counts * np.log(beta))
    return tuple((weights / weights.mean()).tolist())
