"""The outputs of several networks for the same images, averaged."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import log_expit, log_softmax, logsumexp

from jtransfer.tasks.base import Task


def mean_outputs(task: Task, outputs: Float[np.ndarray, 'network ... output']) -> Float[np.ndarray, '... output']:
    """The outputs whose probabilities are the mean of those of several networks; of numbers, their mean.

    Computed from logarithms throughout, so that a class of vanishing probability stays finite.

    Args:
        task: what the outputs are of.
        outputs: of each network: logits, or numbers.

    Returns:
        Float64 logits whose softmax (one label an image) or sigmoid (several) is the mean probability.
    """
    values = np.asarray(outputs, np.float64)
    if len(values) == 1 or task.kind == 'regression':
        return values.mean(axis=0)
    if task.kind == 'single_label':
        return logsumexp(log_softmax(values, axis=-1), axis=0) - np.log(len(values))
    # The number of networks cancels in the ratio of the two means.
    return logsumexp(log_expit(values), axis=0) - logsumexp(log_expit(-values), axis=0)
