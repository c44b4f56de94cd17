"""The source `npz:FILE`: arrays of images and labels, divided or not."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer.checks import nearest
from jtransfer.config.data import Data
from jtransfer.data.given import opened
from jtransfer.data.source import check_source
from jtransfer.data.sources import taken
from jtransfer.data.sources.array_names import CLASS_NAMES, find_arrays
from jtransfer.data.sources.array_sizes import check_array_sizes
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.class_names import are_texts, check_names, texts_of
from jtransfer.data.sources.table_columns import Column
from jtransfer.data.sources.table_labels import read_labels
from jtransfer.errors import OutOfMemoryError, UserError
from jtransfer.files.paths import expanded
from jtransfer.out_of_memory import check_room
from jtransfer.tasks.base import Task, single_label

_STREAMED = 'save the images as files, which are streamed (data.source=folder:PATH)'


def load_npz(path: str, data: Data, known: Sequence[Task] = ()) -> dict[str, ArraySource]:
    """Opens arrays of images and labels: `images` and `labels`, or `x` and `y`, with or without the name of a part.

    `train_images`, `x_train` and `images_train` are all the same to it (Keras's files and MedMNIST's are such).
    `groups`, `weights`, `ids` and `class_names` are read where they are there. Labels [n] or [n, 1] of integers are
    classes, [n, classes] of 0 and 1 are several labels an image with `data.task=multi_label`, and others are numbers to
    be predicted. Texts are read as those of a table's column; where there are `class_names`, they are among them.

    Args:
        path: of the `.npz` file.
        data: the configuration; `task` and the names of the parts are read.
        known: see `open_source`.

    Returns:
        The parts that the file has; an undivided one has `train` alone.

    Raises:
        UserError: no such file, none that can be read without running code, arrays far larger than the file (see
            `check_array_sizes`), no images or labels, images of what is no part, or what `ArraySource` refuses.
    """
    file = expanded(path)
    if not file.is_file():
        beside = sorted(other.name for other in file.parent.iterdir()) if file.parent.is_dir() else []
        raise UserError(f'there is no file {file}.{nearest(file.name, beside) if beside else ""}')
    check_room(check_array_sizes(file), f'the arrays of {file}', _STREAMED)
    try:
        with np.load(file, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except MemoryError:
        raise OutOfMemoryError(f'memory ran out for the arrays of {file}: {_STREAMED}') from None
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        hint = '; texts are plain after array.astype(str)' if 'allow_pickle' in str(error) else ''
        raise UserError(f'{file} is no .npz file of plain arrays ({str(error).splitlines()[0]}){hint}') from None
    found = find_arrays(arrays, data, str(file))
    if known:
        sources = {
            part or 'train': _source(file, arrays, part, names, data, None, known)
            for part, names in found.parts.items()
        }
    else:
        if '' not in found.parts and 'train' not in found.parts:
            raise UserError(f'{file} has images of {", ".join(found.parts)}, but none to train on')
        first = '' if '' in found.parts else 'train'
        sources = {'train': _source(file, arrays, first, found.parts[first], data, None)}
        for part, names in found.parts.items():
            if part != first:
                sources[part] = _source(file, arrays, part, names, data, sources['train'].tasks)
    source = next(iter(sources.values()))
    roles = [
        (found.named('images'), taken.IMAGES),
        *taken.labels(found.named('labels'), source.tasks),
        (found.named('groups'), taken.GROUP),
        (found.named('weights'), taken.WEIGHT),
        (found.named('ids'), 'the names of the images'),
        ([CLASS_NAMES] if CLASS_NAMES in arrays else [], 'those of the classes'),
    ]
    source.notes = (taken.taken('array', roles, found.unread),)
    return sources


def _source(
    file: Path,
    arrays: Mapping[str, np.ndarray],
    part: str,
    own: Mapping[str, str],
    data: Data,
    tasks: tuple[Task, ...] | None,
    known: Sequence[Task] = (),
) -> ArraySource:
    images = arrays[own['images']]
    where = f'{file}, {part}' if part else str(file)
    if images.dtype != np.uint8:
        raise UserError(f'{where}: images are {images.dtype}, but must be uint8 with values 0 to 255')
    if images.ndim not in (3, 4):
        raise UserError(f'{where}: images have shape {images.shape}, but must be [n, height, width] (x 1 or 3)')
    if not images.size:
        raise UserError(f'{where} holds no images: {own["images"]} has shape {images.shape}')
    if 'labels' not in own:
        raise UserError(f'{where} has no labels beside {own["images"]}: no array called labels or y')
    labels = arrays[own['labels']]
    if labels.ndim == 2 and labels.shape[1] == 1 and not np.issubdtype(labels.dtype, np.floating):
        labels = labels[:, 0]
    names = tuple(texts_of(arrays['class_names'], where)) if 'class_names' in arrays else ()
    check_names(names, f'{where}, class_names')
    if are_texts(labels):
        tasks, labels = _from_texts(labels, names, data, where, tasks, known)
    tasks = tasks or (_task(labels, names, data, where, known),)
    extra: dict[str, Any] = {}
    for field in ('groups', 'weights', 'ids'):
        if field in own:
            values = arrays[own[field]]
            extra[field] = values if field == 'weights' else texts_of(values, f'{where}, {field}')
    if 'ids' not in extra:
        extra['ids'] = [f'{part or "train"}/{index}' for index in range(len(images))]
    every_class = part in ('', 'train') and not known
    source = ArraySource(images, labels, name=where, tasks=tasks, every_class=False, **extra)
    if every_class:
        check_source(opened(source), where)
    return source


def _from_texts(
    labels: np.ndarray,
    names: tuple[str, ...],
    data: Data,
    where: str,
    tasks: tuple[Task, ...] | None,
    known: Sequence[Task],
) -> tuple[tuple[Task, ...], Any]:
    """Tasks and labels of texts; those of the training part, where there are some, say which classes there are."""
    _no_heads(data, where)
    if labels.ndim != 1:
        raise UserError(f'{where}: labels that are texts have shape {labels.shape}, but must be [n]')
    if tasks and tasks[0].has_classes:
        names = tasks[0].class_names
    column = Column('labels', 'string', texts_of(labels, where), names)
    return read_labels([column], data, where, lambda index: f'image {index}', known)


def _no_heads(data: Data, where: str) -> None:
    if data.task == 'heads':
        raise UserError(f'{where}: data.task=heads is for tables; arrays have one task')


def _task(labels: np.ndarray, names: tuple[str, ...], data: Data, where: str, known: Sequence[Task] = ()) -> Task:
    _no_heads(data, where)
    kind = data.task
    whole = np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool
    if not kind:
        if labels.ndim > 1 and whole:
            raise UserError(f'{where}: labels have shape {labels.shape}: say data.task=multi_label or regression')
        kind = 'single_label' if whole else 'regression'
    if kind == 'single_label':
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f'{where}: labels are {labels.dtype} {list(labels.shape)}, but must be class numbers [n]')
        largest = int(labels.max()) if len(labels) else -1
        if known and not names:
            return single_label([str(number) for number in range(largest + 1)] or known[0].class_names)
        if not names and largest >= len(labels):
            raise UserError(f'{where}: label {largest} of {len(labels)} images: class numbers are 0, 1, 2, …')
        return single_label(names or [str(number) for number in range(largest + 1)])
    outputs = 1 if labels.ndim == 1 else labels.shape[1]
    if names and len(names) != outputs:
        raise UserError(f'{where}: {len(names)} class names for labels of shape {labels.shape}')
    return Task('', kind, names or tuple(str(number) for number in range(outputs)))
