"""A source of pictures as they are encoded, with whatever a table says about them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from jtransfer.config.data import Data
from jtransfer.data.decode import images
from jtransfer.data.source import Example, Source, check_source
from jtransfer.data.sources.table_labels import Facts
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, take


class EncodedSource(Source):
    """Pictures that are decoded when they are asked for; see `jtransfer.data.source.Source`.

    Attributes:
        tasks: what is to be learnt.
        class_names: of the first task, in label order.
        labels: of every example, by task.
        ids: of every example.
        groups: of every example, if there are groups.
        weights: float32 [n], if there are weights.
        notes: lines a person should know.
        pixel_range: as `data.pixel_range`.
        complete: whether an image has all labels that apply, so that a class which none has is known to be absent.
    """

    class_names: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    tasks: tuple[Task, ...]
    groups: tuple[str, ...] | None
    weights: Float32[np.ndarray, ' n'] | None
    notes: tuple[str, ...]
    pixel_range: tuple[float, ...]
    complete: bool

    def __init__(self, facts: Facts, ids: Sequence[str], max_pixels: int, pixel_range: Sequence[float] = ()) -> None:
        """Takes what is known of the examples.

        Args:
            facts: tasks, labels, groups and weights.
            ids: of every example.
            max_pixels: an image of more pixels is refused.
            pixel_range: as `data.pixel_range`.
        """
        self.tasks, self.labels = facts.tasks, facts.labels
        self.class_names = facts.tasks[0].class_names
        self.groups, self.weights = facts.groups, facts.weights
        self.complete = facts.complete
        self.ids = tuple(ids)
        self._max_pixels, self.pixel_range = max_pixels, tuple(pixel_range)
        self.notes = facts.notes

    @abc.abstractmethod
    def content(self, index: int) -> bytes:
        """The encoded bytes of the picture at an index."""

    @abc.abstractmethod
    def _place(self, index: int) -> str:
        """Names the picture at an index in errors."""

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Decodes the picture at an index.

        Raises:
            UnreadableImageError: names it.
        """
        image, narrow = images.read_image(self.content(index), self._place(index), self._max_pixels, self.pixel_range)
        return {'image': image, 'labels': take(self.labels, index), 'id': self.ids[index], 'narrow': narrow}


def check_parts(sources: dict[str, Any], data: Data, where: str, training: bool = True) -> None:
    """Raises `UserError` for parts that cannot be those of one experiment.

    Where only some classes are wanted (`data.classes`), the others may be empty.

    Args:
        sources: by part.
        data: the configuration.
        where: names the data set in errors.
        training: whether they are to be trained on.
    """
    for part, source in sources.items():
        check_source(source, f'{where} ({part})', every_class=training and part == 'train' and not data.classes)
    if not training:
        return
    weights = sources['train'].weights
    if weights is not None and not weights.any():
        raise UserError(f'{where}: every training example has weight 0')
