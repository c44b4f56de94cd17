"""What a source of labelled images is, and the checks that hold for every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Int32, UInt8

from jtransfer.errors import UserError


class Example(TypedDict):
    """One labelled image.

    Attributes:
        image: RGB picture, uint8, height x width x 3.
        label: class number.
        id: name of the example, unique and stable in its source.
    """

    image: UInt8[np.ndarray, 'h w 3']
    label: int
    id: str


@runtime_checkable
class Source(Protocol):
    """Labelled images by index; the labels are known without decoding an image.

    Indexing must be safe from several threads, and the source picklable where it is to be streamed by processes.

    Attributes:
        class_names: of all classes, in label order.
        labels: class number of every example.
        ids: name of every example.
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> Int32[np.ndarray, ' n']: ...

    @property
    def ids(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def check_source(source: Source, name: str, every_class: bool = True) -> None:
    """Checks what every source must keep to.

    Args:
        source: labels, ids and class names are looked at, no image is decoded.
        name: names the source in errors.
        every_class: whether each class must have an example (training and undivided sources).

    Raises:
        UserError: fewer than two classes, no example, a label outside the range, a class without examples.
    """
    classes = len(source.class_names)
    if classes < 2:
        only = f" ('{source.class_names[0]}')" if classes else ''
        raise UserError(f'{name} has {classes} class{only}: at least 2 are needed to train a classifier')
    labels = np.asarray(source.labels)
    if not len(labels):
        raise UserError(f'{name} has no examples')
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        first = outside[0]
        raise UserError(
            f'{name}: example {source.ids[first]} has label {labels[first]}, outside 0 to {classes - 1} '
            f'({classes} classes)'
        )
    if every_class:
        check_every_class(labels, source.class_names, name)


def check_every_class(labels: Int32[np.ndarray, ' n'], class_names: Sequence[str], name: str) -> None:
    """Raises `UserError` that names the first class without an example."""
    empty = np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0)
    if len(empty):
        more = f' (and {len(empty) - 1} more)' if len(empty) > 1 else ''
        raise UserError(f"{name}: class '{class_names[empty[0]]}'{more} has no examples")
