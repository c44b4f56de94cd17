"""From evaluation batches to logits on the host: exact, one compiled shape, padding dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from jtransfer.errors import UserError
from jtransfer.evaluate.metrics import top_prediction


def predict_logits(
    apply: Callable[[Any], Any], batches: Iterable[Mapping[str, Any]]
) -> tuple[Float32[np.ndarray, 'example classes'], Int32[np.ndarray, ' example']]:
    """Runs a network over batches of one fixed size and drops what was padding.

    A batch's result is fetched only after the next one was dispatched, so that decoding and the device overlap.

    Args:
        apply: uint8 images [batch, side, side, 3] to logits [batch, classes], jitted by the caller.
        batches: each with `image`, `label` [batch] and `mask` [batch], False where a row is padding.

    Returns:
        The logits and the labels of the real examples, in the order of the batches.

    Raises:
        UserError: there is no real example.
        ValueError: a batch whose images have another shape than the first's, which would compile anew.
    """
    logits: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    pending: tuple[Any, np.ndarray] | None = None
    shape: tuple[int, ...] | None = None
    for batch in batches:
        shape = shape or np.shape(batch['image'])
        if np.shape(batch['image']) != shape:
            raise ValueError(f'evaluation batches must share one shape: {np.shape(batch["image"])} after {shape}')
        mask = np.asarray(batch['mask'], bool)
        result = apply(batch['image'])
        labels.append(np.asarray(batch['label'], np.int32)[mask])
        if pending is not None:
            logits.append(_fetch(*pending))
        pending = (result, mask)
    if pending is None or not sum(map(len, labels)):
        raise UserError('there are no examples to evaluate')
    logits.append(_fetch(*pending))
    return np.concatenate(logits), np.concatenate(labels)


def most_wrong(
    logits: Float[np.ndarray, 'example classes'], labels: Int[np.ndarray, ' example'], count: int
) -> Int[np.ndarray, ' wrong']:
    """Numbers of the `count` most confidently wrong examples (fewer if fewer are wrong), the worst first.

    Confidence is the probability of the predicted, wrong class; of equal ones the earlier example comes first.
    """
    predicted, probability = top_prediction(logits)
    wrong = np.flatnonzero(predicted != np.asarray(labels))
    return wrong[np.argsort(-probability[wrong], kind='stable')][:count]


def _fetch(result: Any, mask: np.ndarray) -> np.ndarray:
    return np.asarray(result, np.float32)[mask]
