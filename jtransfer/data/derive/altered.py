"""What a study asks to be done to the training part: thinned-out classes, wrong labels, a part without labels."""

from __future__ import annotations

import numpy as np

from jtransfer import config
from jtransfer.data.derive import studies
from jtransfer.data.derive.combine import WithLabels
from jtransfer.data.part import Part
from jtransfer.errors import UserError
from jtransfer.tasks.door import ONLY
from jtransfer.tasks.labels import strata


def altered(train: Part, data: config.Data, seed: int) -> tuple[Part, Part | None, tuple[str, ...]]:
    """The training part as the configuration wants it; with the defaults, as it is.

    In this order: `data.imbalance` leaves examples out, `data.unlabelled_fraction` sets some apart, `data.label_noise`
    makes labels of the rest wrong.

    Args:
        train: the training part.
        data: the configuration.
        seed: of the draws.

    Returns:
        The training part, the part without labels if there is one, and a line about each change.

    Raises:
        UserError: a study that makes no sense for these labels.
    """
    notes: list[str] = []
    if not (data.imbalance > 1 or data.unlabelled_fraction or data.label_noise):
        return train, None, ()
    if data.imbalance > 1:
        kept = studies.long_tail(_classes(train, 'imbalance'), data.imbalance, seed, train.class_names)
        notes.append(f'data.imbalance={data.imbalance:g} keeps {len(kept):,} of {len(train):,} training images')
        train = Part(train.source, train.indices[kept])
    unlabelled = None
    if data.unlabelled_fraction:
        with_labels, without = studies.unlabelled(strata(train.labels, train.tasks), data.unlabelled_fraction, seed)
        notes.append(f'{len(without):,} training images are set apart without their labels')
        train, unlabelled = Part(train.source, train.indices[with_labels]), Part(train.source, train.indices[without])
    if data.label_noise:
        labels, changed = studies.noisy_labels(
            _classes(train, 'label_noise'), data.label_noise, data.label_noise_kind, seed, len(train.class_names)
        )
        everywhere = np.array(train.source.labels[ONLY])
        everywhere[train.indices] = labels
        notes.append(f'{int(changed.sum()):,} of {len(train):,} training labels are wrong ({data.label_noise_kind})')
        train = Part(WithLabels(train.source, {ONLY: everywhere}), train.indices)
    return train, unlabelled, tuple(notes)


def _classes(train: Part, field: str) -> np.ndarray:
    tasks, labels = train.tasks, train.labels
    if ONLY not in labels or not tasks[0].exclusive:
        held = tasks[0].held if ONLY in labels else 'several heads'
        raise UserError(f'data.{field} is for one label an image, and these have {held}: leave it out')
    return labels[ONLY]
