"""The heads of a network by their tasks: where their parameters are, and which of a checkpoint's are to be kept."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer import rules
from jtransfer.errors import UserError
from jtransfer.pretrained.load.stored import Stored
from jtransfer.tasks.base import Task, single_label
from jtransfer.text.outside import printable

ONE, SEVERAL = 'head', 'heads'
_LISTED = 5


def class_names(tasks: Sequence[Task]) -> tuple[str, ...]:
    """The names of the outputs where there is one head; none where there are several."""
    return tasks[0].class_names if tasks and not tasks[0].name else ()


def head_of(path: str) -> str:
    """The head that a path of the variables belongs to, `head` or `heads/NAME`; '' for one outside the heads.

    >>> head_of('params/heads/colour/kernel')
    'heads/colour'
    """
    parts = path.split('/')[1:]
    if parts[:1] == [ONE]:
        return ONE
    return '/'.join(parts[:2]) if parts[:1] == [SEVERAL] else ''


def path_of(task: Task) -> str:
    """The head of a task, as `head_of` names it."""
    return f'{SEVERAL}/{task.name}' if task.name else ONE


def check_tasks(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks of one network.

    Raises:
        UserError: none, two of one name, one without a name among several, or two outputs of one name.
    """
    tasks = tuple(tasks)
    names = [task.name for task in tasks]
    if not tasks:
        raise UserError('tasks is empty; num_classes=0 is a network without a head')
    if len(tasks) > 1 and '' in names:
        raise UserError(f'each of {len(tasks)} tasks needs a name: its head is heads/NAME')
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"two tasks have the name '{twice}'")
    for task in tasks:
        called = f" of task '{task.name}'" if task.name else ''
        if len(set(task.class_names)) < len(task.class_names):
            twice = Counter(task.class_names).most_common(1)[0][0]
            raise UserError(f"the class name '{printable(twice)}' stands twice among class_names{called}")
    return tasks


def in_words(tasks: Iterable[Task]) -> str:
    """What is to be learnt, in words: `2 classes (ants, bees)`, or `size: 1 number (mm), tags: 2 labels (x, y)`."""
    return ', '.join(_in_words(task) for task in tasks)


def _in_words(task: Task) -> str:
    names = ', '.join(map(printable, task.class_names[:_LISTED])) + ', …' * (len(task.class_names) > _LISTED)
    what = f'{task.in_words()} ({names})'
    return f'{task.name}: {what}' if task.name else what


def matches(first: Sequence[Task], second: Sequence[Task]) -> bool:
    """Whether tasks mean the same outputs, in the same order, see `same`."""
    return len(first) == len(second) and all(map(same, first, second))


def same(first: Task, second: Task) -> bool:
    """Whether two tasks mean the same outputs, whatever their weight and the scaling that training found."""
    return _meaning(first) == _meaning(second)


def _meaning(task: Task) -> Task:
    return dataclasses.replace(task, weight=1.0, offset=(), scale=())


def chosen_tasks(
    stored: Stored | None,
    num_classes: int | None,
    class_names: Sequence[str] | None,
    tasks: Sequence[Task] | None,
) -> tuple[Task, ...]:
    """What the heads of a network are to be for, from the arguments of `load_model`.

    Raises:
        UserError: arguments that contradict each other, or none of them for a network without a checkpoint.
    """
    if tasks is not None:
        if num_classes is not None or class_names is not None:
            raise UserError('tasks say what the heads are for: leave num_classes and class_names out')
        return check_tasks(tasks)
    if class_names is not None:
        if num_classes is not None and num_classes != len(class_names):
            raise UserError(f'num_classes={num_classes}, but {len(class_names)} class names')
        names = tuple(str(name) for name in class_names)
        return check_tasks([single_label(names)]) if names else ()
    if num_classes is not None:
        if num_classes < 0:
            raise UserError(f'num_classes={num_classes} must be at least 0 (0: no head)')
        return (single_label([str(index) for index in range(num_classes)]),) if num_classes else ()
    if stored is None:
        raise UserError('a network of random weights needs num_classes or class_names, or tasks')
    return stored.tasks


def kept_heads(
    wanted: tuple[Task, ...],
    stored: Stored | None,
    num_classes: int | None,
    class_names: Sequence[str] | None,
    tasks: Sequence[Task] | None,
) -> tuple[tuple[Task, ...], Mapping[str, tuple[int, ...]]]:
    """The tasks with the scaling of the stored heads that they keep, and which heads these are, see `adopt`."""
    named = class_names is not None or tasks is not None
    # Classes that are only numbered are not those of somebody who calls theirs by number.
    if stored is None or (num_classes is not None and not named) or (named and not stored.classes_stated):
        return wanted, {}
    return adopt(wanted, stored.tasks)


def adopt(wanted: Sequence[Task], stored: Sequence[Task]) -> tuple[tuple[Task, ...], Mapping[str, tuple[int, ...]]]:
    """The tasks of a network that keeps what heads it can, and which heads these are.

    A head is kept where its task has the same name, kind and outputs, in any order; with it comes the scaling of its
    numbers, since the head means nothing with another. A task that states other scaling gets a new head.

    Returns:
        The tasks, and by the head that is kept the place of each of its outputs in the stored head; an empty tuple
        where they stand there in the same order.
    """
    result, kept = [], {}
    for task in wanted:
        for match in stored:
            if (order := _order(task, match)) is None:
                continue
            offset, scale = (_taken(values, order) for values in (match.offset, match.scale))
            if task.offset in ((), offset) and task.scale in ((), scale):
                task = dataclasses.replace(task, offset=offset, scale=scale)
                kept[path_of(task)] = order
            break
        result.append(task)
    return tuple(result), kept


def _taken(values: tuple[float, ...], order: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(values[index] for index in order) if values and order else values


def _order(wanted: Task, stored: Task) -> tuple[int, ...] | None:
    """Where the outputs of a task stand in a stored one; none where that is not the same task.

    Empty where they stand in the same order. Of outputs that share a name only the order tells which is which.
    """
    if same(wanted, stored):
        return ()
    if (wanted.name, wanted.kind) != (stored.name, stored.kind):
        return None
    names = sorted(set(stored.class_names))
    if sorted(wanted.class_names) != names or stored.outputs != len(names):
        return None
    if not same(dataclasses.replace(wanted, class_names=stored.class_names, offset=(), scale=()), stored):
        return None
    places = {name: index for index, name in enumerate(stored.class_names)}
    return tuple(places[name] for name in wanted.class_names)


def reordered(variables: Mapping[str, Any], orders: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The variables with the outputs of some heads in another order.

    Args:
        variables: of the network, nested.
        orders: by head, as `adopt` gives them.
    """
    flat = dict(rules.flatten(variables))
    for path, value in flat.items():
        order = orders.get(head_of(path), ())
        if order and _OUTPUT_LAYER.fullmatch(path):
            flat[path] = np.asarray(value)[..., list(order)]
    return dict(rules.unflatten(flat))


# The layer whose outputs a head's are, in one of a single part, of several, and in an auxiliary one.
_OUTPUT_LAYER = re.compile(r'params/(head|heads/[^/]+)/(part\d+/|[^/]+/fc2/)?(kernel|bias)')


def rescale(variables: Mapping[str, Any], tasks: Sequence[Task], wanted: Sequence[Task]) -> dict[str, Any]:
    """The variables with heads whose numbers have another scaling, and are the same in their own units.

    Networks of runs with different training parts are put on one scale before their weights are averaged. What needs no
    change is passed on as it is.

    Args:
        variables: of the network.
        tasks: of its heads, in any order.
        wanted: the same tasks with the scaling to come to.
    """
    goal = {path_of(task): task for task in wanted}
    changes = {}
    for task in tasks:
        other = goal[path_of(task)]
        if (task.offset, task.scale) != (other.offset, other.scale):
            changes[path_of(task)] = (*_scaling(task), *_scaling(other))
    flat = dict(rules.flatten(variables)) if changes else {}
    for path, value in flat.items():
        if head_of(path) in changes and path.startswith('params/'):
            offset, scale, new_offset, new_scale = changes[head_of(path)]
            own = np.asarray(value, np.float64) * scale
            own = own + offset - new_offset if path.endswith('/bias') else own
            flat[path] = (own / new_scale).astype(np.float32)
    return dict(rules.unflatten(flat)) if changes else dict(variables)


def _scaling(task: Task) -> tuple[np.ndarray, np.ndarray]:
    return np.array(task.offset or (0.0,)), np.array(task.scale or (1.0,))
