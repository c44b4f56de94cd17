"""Names of a head's outputs, as the files of others state them and as a person gives them."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jtransfer.checks import split_values
from jtransfer.errors import UserError
from jtransfer.files.paths import is_file
from jtransfer.files.reading import parse_json, read_bytes
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.load.stored import Stored
from jtransfer.tasks.base import Task
from jtransfer.text.outside import clipped, first_few, printable

REMEDY = 'checkpoint_classes names them instead'
_FILES = ('.json', '.txt')
_MAX_BYTES = 16 * 2**20
_NUMBER = re.compile('[0-9]{1,9}')


def stated_by_timm(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The class names of a config.json of timm; empty where it has none.

    Raises:
        UserError: `label_names` that are no names, or do not number the outputs from 0 on.
    """
    inner = config.get('pretrained_cfg')
    for place in (config, inner if isinstance(inner, Mapping) else {}):
        for field in ('label_names', 'labels'):  # the older name
            if place.get(field):
                return _ordered(place[field], f'config.json: {field}')
    return ()


def stated_by_huggingface(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The class names of a config.json of transformers; empty where it has none.

    Raises:
        UserError: an `id2label` that is no mapping from the numbers of the outputs, 0 on, to names.
    """
    labels = config.get('id2label')
    return _ordered(labels, 'config.json: id2label') if labels else ()


def given_names(names: str | os.PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """Class names as a person gives them: in a sequence, in one text between commas, or in a file.

    A file has one name a line, or is JSON: a list, a mapping from numbers to names, or a config.json with `id2label`
    or `label_names`.

    >>> given_names('ant, bee')
    ('ant', 'bee')

    Raises:
        UserError: a file that is not there or holds no names, or an empty name.
    """
    if not isinstance(names, str | os.PathLike):
        found = tuple(str(name) for name in names)
    else:
        path = Path(names).expanduser()
        text = os.fspath(names)
        if is_file(path):
            found = _from_file(path)
        elif isinstance(names, os.PathLike) or path.suffix in _FILES:
            raise UserError(f'checkpoint_classes={text!r}: no such file')
        else:
            found = tuple(split_values(text))
    if not found or not all(found):
        raise UserError(f'checkpoint_classes={names!r} must name a class for every output; one of the names is empty')
    return found


def name_outputs(stored: Stored, classes: tuple[str, ...]) -> Stored:
    """The checkpoint with other names for the outputs of its only head.

    Raises:
        UserError: it has no head or several, with another number of outputs, or two names are alike.
    """
    source = stored.source or str(stored.path)
    if len(stored.tasks) != 1 or stored.tasks[0].name:
        what = 'several heads' if stored.tasks else 'no head'
        raise UserError(f'checkpoint_classes names the outputs of one head, and {source} has {what}')
    if len(classes) != stored.tasks[0].outputs:
        raise UserError(
            f'checkpoint_classes names {len(classes)} classes ({first_few(classes, 3)}), and the head of {source} has '
            f'{stored.tasks[0].outputs} outputs'
        )
    tasks = heads.check_tasks([dataclasses.replace(stored.tasks[0], class_names=classes)])
    return dataclasses.replace(stored, class_names=classes, tasks=tasks, classes_stated=True)


def about_heads(wanted: Sequence[Task], stored: Stored, kept: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What the report of a load says of heads whose names decided what became of them.

    Args:
        wanted: tasks of the network.
        stored: what it was loaded from.
        kept: see `heads.adopt`.
    """
    notes = [
        f'the outputs of the {path.replace("/", " ")} are put in the order of the classes asked for'
        for path, order in kept.items()
        if order
    ]
    new = [task for task in wanted if heads.path_of(task) not in kept and task.exclusive]
    # What transformers calls classes that nobody has named.
    unnamed = [f'LABEL_{index}' for index in range(stored.num_classes)] == list(stored.class_names)
    if (unnamed or not stored.classes_stated) and any(task.outputs == stored.num_classes for task in new):
        called = 'calls its classes LABEL_0, …' if unnamed else 'does not name its classes'
        notes.append(f'the file {called}; checkpoint_classes names them, and with the names asked for its head is kept')
    return notes


def _from_file(path: Path) -> tuple[str, ...]:
    content = read_bytes(path, _MAX_BYTES)
    if path.suffix != '.json':
        try:
            lines = content.decode('utf-8-sig').splitlines()
        except UnicodeDecodeError as error:
            raise UserError(f'checkpoint_classes: {path} cannot be read: {error}') from None
        return tuple(line.strip() for line in lines if line.strip())
    read = parse_json(content, f'checkpoint_classes: {path}')
    if isinstance(read, Mapping) and not all(_NUMBER.fullmatch(key) for key in read):
        found = stated_by_huggingface(read) or stated_by_timm(read)
        if not found:
            raise UserError(f'checkpoint_classes: {path} has neither id2label nor label_names')
        return found
    return _ordered(read, f'checkpoint_classes: {path}')


def _ordered(labels: Any, what: str) -> tuple[str, ...]:
    """The names of a list, or of a mapping whose keys number the outputs."""
    if isinstance(labels, Mapping):
        wrong = [key for key in labels if not _NUMBER.fullmatch(str(key))]
        if wrong:
            key = clipped(repr(wrong[0]))
            raise UserError(f'{what} has the key {key}, where the number of an output belongs; {REMEDY}')
        numbered = {int(key): name for key, name in labels.items()}
        if sorted(numbered) != list(range(len(labels))):
            missing = next(index for index in range(len(labels) + 1) if index not in numbered)
            raise UserError(
                f'{what} has {len(labels)} names and none for output {missing}: its keys must be the numbers from 0 '
                f'to {len(labels) - 1}; {REMEDY}'
            )
        labels = [numbered[index] for index in range(len(numbered))]
    if not isinstance(labels, list | tuple) or not all(isinstance(name, str | int | float) for name in labels):
        raise UserError(f'{what} holds no class names: {printable(str(labels)[:60])}; {REMEDY}')
    return tuple(str(name) for name in labels)
