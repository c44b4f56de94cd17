"""Labelled images that are already in memory, as a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8
from PIL import Image

from jtransfer.data.decode import images as decoding
from jtransfer.data.decode.grey import UnknownRangeError
from jtransfer.data.decode.narrow import Narrow
from jtransfer.data.given import opened
from jtransfer.data.source import Example, Source, check_source
from jtransfer.data.sources.class_names import are_texts, check_names, class_name, numbered, texts_of
from jtransfer.errors import UserError
from jtransfer.inputs.prepare import NOT_READ
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.door import ONLY, bare, by_task
from jtransfer.tasks.labels import take

# Advice for whoever makes such a source.
_TAKES_IT = '; every_class=False takes it, to evaluate on'


class ArraySource(Source):
    """A source over arrays; see `jtransfer.data.source.Source`.

    Attributes:
        class_names: in label order.
        labels: class number of every image, or whatever the tasks have; of several tasks a dictionary by their names.
        ids: name of every image.
        tasks: what the labels are of.
        groups: of every image, if they were given.
        weights: of every image, if they were given.
        notes: lines a person should know.
    """

    class_names: tuple[str, ...]
    labels: Any
    ids: Sequence[str]
    tasks: tuple[Task, ...]
    groups: tuple[str, ...] | None
    weights: Float32[np.ndarray, ' n'] | None
    notes: tuple[str, ...]

    def __init__(
        self,
        images: UInt8[np.ndarray, 'n h w 3'] | UInt8[np.ndarray, 'n h w'] | Sequence[Any] | Mapping[str, Any],
        labels: Any,
        class_names: Sequence[str] = (),
        ids: Sequence[str] | None = None,
        name: str = 'array',
        *,
        tasks: Sequence[Task] = (),
        groups: Sequence[Any] | None = None,
        weights: Sequence[float] | Float[np.ndarray, ' n'] | None = None,
        every_class: bool = True,
    ) -> None:
        """Checks everything; copies no image.

        Args:
            images: uint8, RGB or grey (height x width, or one channel); pictures of several sizes, or of Pillow, as a
                sequence. Of a network that reads something else, arrays by field, one row an example:
                `{'feature': features}`.
            labels: class numbers [n], 0 to number of classes - 1, or names of classes; of other tasks see
                `jtransfer.tasks.Task`, of several a dictionary by their names.
            class_names: in label order; left out where there are tasks. Left out: where labels are names, those that
                there are, sorted; where they are class numbers, the numbers.
            ids: unique names. None: `NAME/0`, `NAME/1`, …
            name: names the source in errors and ids.
            tasks: what the labels are of, where it is anything but one class an image.
            groups: of every image: what has the same one is never divided by a split.
            weights: of every image, ≥ 0: how much it counts in the training loss.
            every_class: whether each class must have an example; a part to test on need not.

        Raises:
            UserError: lengths that differ, images that are not uint8 RGB or grey, labels outside the range or of
                another form than the tasks', a class without examples, fewer than two classes, two of one name.
        """
        class_names = tuple(map(str, class_names))
        check_names(class_names, name)
        given = by_task(labels)
        if not tasks and ONLY in given and are_texts(given[ONLY]):
            class_names, given[ONLY] = _numbered(given[ONLY], class_names, name)
        if not tasks and not class_names and ONLY in given:
            class_names = _numbers(given[ONLY])
        self.tasks = tuple(tasks) or ((single_label(class_names),) if class_names else ())
        self.class_names = self.tasks[0].class_names if self.tasks else ()
        if tasks and class_names:
            raise UserError(f'{name}: class_names are those of the tasks: leave them out')
        count, what = _rows(images, name)
        self.ids = tuple(f'{name}/{i}' for i in range(count)) if ids is None else tuple(map(str, ids))
        labelled = len(next(iter(given.values()), ()))
        if not count == labelled == len(self.ids):
            raise UserError(f'{name}: {count} {what}, {labelled} labels and {len(self.ids)} ids do not match')
        if len(set(self.ids)) < len(self.ids):
            twice = next(example for example, number in Counter(self.ids).items() if number > 1)
            raise UserError(f"{name}: two images are called '{twice}'")
        of = {task.name: task for task in self.tasks}
        self._labels = {key: _read(values, of.get(key), name) for key, values in given.items()}
        self.labels = bare(self._labels)
        self.groups = None if groups is None else tuple(str(group) for group in groups)
        self.weights = None if weights is None else np.asarray(weights, np.float32)
        self._images = images
        if not isinstance(images, Mapping):
            for image in images if not isinstance(images, np.ndarray) else images[:1]:
                if not isinstance(image, Image.Image):
                    _check_image(np.asarray(image), name)
        try:
            check_source(opened(self), name, every_class)
        except UserError as error:
            if not every_class or not len(self.ids):
                raise
            check_source(opened(self), name, every_class=False)
            raise UserError(f'{error}{_TAKES_IT}') from None

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """The example at an index, images as RGB.

        Raises:
            UnreadableImageError: a picture of Pillow's whose file is broken, or whose mode is no picture's.
        """
        labels = take(self._labels, index)
        if isinstance(self._images, Mapping):
            own = {name: values[index] for name, values in self._images.items()}
            return {**own, 'label': bare(labels), 'labels': labels, 'id': self.ids[index]}
        rgb, narrow = _rgb(self._images[index], self.ids[index])
        return {'image': rgb, 'label': bare(labels), 'labels': labels, 'id': self.ids[index], 'narrow': narrow}


def _rows(images: Any, name: str) -> tuple[int, str]:
    """How many examples there are, and what they are called."""
    if not isinstance(images, Mapping):
        return len(images), 'images'
    counts = {field: len(values) for field, values in images.items()}
    if len(set(counts.values())) != 1:
        told = ', '.join(f'{count} of {field}' for field, count in counts.items()) or 'none'
        raise UserError(f'{name}: the fields must have a row for each example: {told}')
    if wrong := sorted(set(counts) & NOT_READ):
        raise UserError(f"{name}: '{wrong[0]}' is no field that a network reads: hand it over by itself")
    return next(iter(counts.values())), f'rows of {", ".join(counts)}'


def _numbers(labels: np.ndarray) -> tuple[str, ...]:
    """Names of classes that are known by their numbers alone."""
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1 or not labels.size:
        return ()
    # A number beyond the examples is no class number: it is told as a label outside the range.
    return tuple(str(number) for number in range(min(int(labels.max()) + 1, len(labels))))


def _rgb(image: Any, name: str) -> tuple[UInt8[np.ndarray, 'h w 3'], Narrow | None]:
    if isinstance(image, Image.Image):
        try:
            # As a file of the same picture is seen: a palette is no grey, and transparency is over white.
            rgb, narrow = decoding.as_seen(image)
            return rgb, narrow and narrow._replace(grey=False)
        except UnknownRangeError as error:
            raise decoding.UnreadableImageError(f'{name} is {error}: scale it to 8 bits first') from None
        except (OSError, ValueError) as error:
            raise decoding.UnreadableImageError(f'{name} cannot be decoded: {error}') from error
    image = np.asarray(image)
    image = image[..., None] if image.ndim == 2 else image
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3))), None


def _check_image(image: np.ndarray, name: str) -> None:
    if image.dtype != np.uint8:
        raise UserError(f'{name}: images are {image.dtype}, but must be uint8 with values 0 to 255')
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or 0 in image.shape:
        raise UserError(f'{name}: an image has shape {image.shape}, but must be height x width (x 1 or 3)')


def _read(values: np.ndarray, task: Task | None, name: str) -> np.ndarray:
    """The labels of a task in its form."""
    if task is not None and task.exclusive and are_texts(values):
        return _numbered(values, task.class_names, name)[1]
    return (task or single_label(('',))).read(values, name)


def _numbered(labels: np.ndarray, names: Sequence[str], name: str) -> tuple[tuple[str, ...], Int32[np.ndarray, ' n']]:
    """Names of the classes, and the numbers of labels that are names."""
    if labels.ndim != 1:
        raise UserError(f'{name}: labels that are names have shape {labels.shape}, but must be [n]')
    own = [class_name(text) for text in texts_of(labels, name)]
    return numbered(own, tuple(map(class_name, names)), lambda index: f'{name}: label {index}')
