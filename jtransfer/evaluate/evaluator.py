"""From evaluation batches to outputs on the host: exact, one compiled shape, padding dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.errors import UserError
from jtransfer.tasks.labels import Labels


def predict_logits(
    apply: Callable[[Any], Mapping[str, Any]], batches: Iterable[Mapping[str, Any]]
) -> tuple[Labels, Labels]:
    """Runs a network over batches of one fixed size and drops what was padding.

    A batch's result is fetched only after the next one was dispatched, so that decoding and the device overlap.

    Args:
        apply: what is held of a batch, by field, to outputs [batch, outputs] by task; jitted by the caller.
        batches: each with `inputs`, `labels` ([batch] or [batch, outputs], by task) and `mask` [batch], False where a
            row is padding.

    Returns:
        The outputs, float32, and the labels of the real examples (int32 class numbers, otherwise as they came), by
        task, in the order of the batches.

    Raises:
        UserError: there is no real example.
        ValueError: a batch whose inputs have another shape than the first's, which would compile anew.
    """
    outputs: list[Labels] = []
    labels: list[Labels] = []
    examples = 0
    pending: tuple[Mapping[str, Any], np.ndarray] | None = None
    shape: dict[str, tuple[int, ...]] | None = None
    for batch in batches:
        own = {name: np.shape(values) for name, values in batch['inputs'].items()}
        shape = shape or own
        if own != shape:
            raise ValueError(f'evaluation batches must share one shape: {own} after {shape}')
        mask = np.asarray(batch['mask'], bool)
        result = apply(batch['inputs'])
        labels.append(_select(batch['labels'], mask))
        examples += int(mask.sum())
        if pending is not None:
            outputs.append(_fetch(*pending))
        pending = (result, mask)
    if pending is None or not examples:
        raise UserError('there are no examples to evaluate')
    outputs.append(_fetch(*pending))
    return _join(outputs), _join(labels)


def _select(labels: Mapping[str, Any], mask: np.ndarray) -> Labels:
    return {
        name: np.asarray(values, np.int32 if np.ndim(values) == 1 else None)[mask] for name, values in labels.items()
    }


def _fetch(result: Mapping[str, Any], mask: np.ndarray) -> Labels:
    return {name: np.asarray(values, np.float32)[mask] for name, values in result.items()}


def _join(parts: Sequence[Labels]) -> Labels:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
