"""What is to be learnt from the columns of a table: tasks and labels, and the groups and weights of its examples."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from jtransfer.config.data import Data
from jtransfer.data.sources.class_names import (
    INTEGER,
    NUMBER,
    check_names,
    class_name,
    numbered,
    plain_numbers,
    sorted_classes,
)
from jtransfer.data.sources.table_columns import Column, Roles
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.door import by_task
from jtransfer.tasks.labels import Labels, take
from jtransfer.text.outside import printable

# From the number of an example to its name in errors: 'row 3'.
RowName = Callable[[int], str]

# As pandas and R write them. Among class names they may be names (Namibia), so that only numbers know them.
_NO_NUMBER = ('', 'nan', 'na')
# What a column of a head holds, by the kind of its task.
_KINDS = {'single_label': 'string', 'regression': 'float'}
_TRUTH = {'0': 0.0, 'false': 0.0, '1': 1.0, 'true': 1.0}


@dataclasses.dataclass(frozen=True, eq=False)
class Facts:
    """What a table says about its examples, but for their pictures.

    Attributes:
        tasks: what is to be learnt.
        labels: of every example, by task.
        groups: of every example, if there are groups.
        weights: of every example, if they have weights.
        complete: whether an image has all labels that apply (several names in a column), so that a class which none
            has is known to be absent.
        notes: lines about how the columns were understood.
    """

    tasks: tuple[Task, ...]
    labels: Labels
    groups: tuple[str, ...] | None
    weights: Float32[np.ndarray, ' n'] | None
    complete: bool = False
    notes: tuple[str, ...] = ()

    def take(self, indices: Int64[np.ndarray, ' m']) -> Facts:
        """The same of some of the examples."""
        groups = None if self.groups is None else tuple(self.groups[index] for index in indices)
        weights = None if self.weights is None else self.weights[indices]
        return Facts(self.tasks, take(self.labels, indices), groups, weights, self.complete, self.notes)


def read_facts(
    columns: Mapping[str, Column], roles: Roles, data: Data, where: str, row: RowName, known: Sequence[Task] = ()
) -> Facts:
    """Tasks, labels, groups and weights of all examples of a table.

    Args:
        columns: the table, by the names of its columns.
        roles: which column says what.
        data: the configuration; `task` and `label_separator` are read.
        where: names the table in errors.
        row: names an example in errors.
        known: what a network that is to be evaluated has been trained for. Empty: the table is to be trained on.

    Raises:
        UserError: a cell that does not fit, columns that fit no task, an example without group or with no valid weight.
    """
    tasks, labels = read_labels([columns[name] for name in roles.labels], data, where, row, known)
    groups = weights = None
    if roles.group:
        groups = tuple(_texts(columns[roles.group]))
        if '' in groups:
            raise UserError(f"{where}: {row(groups.index(''))} has no group in column '{roles.group}'")
    if roles.weight:
        numbers = _numbers(columns[roles.weight], where, row)
        wrong = np.flatnonzero(~(numbers >= 0))
        if len(wrong):
            cell = columns[roles.weight].cells[wrong[0]]
            raise UserError(
                f"{where}: column '{roles.weight}', {row(wrong[0])}: weight '{cell}' must be a number of at least 0"
            )
        weights = numbers.astype(np.float32)
    complete = len(tasks) == 1 and tasks[0].any_number and tasks[0].class_names != roles.labels
    notes = (*roles.in_words(tasks), *_written_alike(columns, roles, tasks, data))
    return Facts(tasks, labels, groups, weights, complete, notes)


def read_labels(
    columns: Sequence[Column], data: Data, where: str, row: RowName, known: Sequence[Task] = ()
) -> tuple[tuple[Task, ...], Labels]:
    """Tasks and labels of label columns; the arguments are those of `read_facts`.

    Without `data.task`, texts, truth values and integers are classes, numbers with decimals are to be predicted as
    numbers, and lists are several labels an image.

    Raises:
        UserError: a cell that does not fit, or columns that fit no task.
    """
    task = data.task
    if len(columns) > 1 and task in ('', 'single_label'):
        names = ', '.join(column.name for column in columns)
        raise UserError(
            f'{where}: {len(columns)} label columns ({names}) need data.task=multi_label (columns of 0 and 1), '
            'regression (numbers) or heads (a head a column)'
        )
    if task == 'heads':
        pairs = [_head(column, where, row, known) for column in columns]
        return tuple(head for head, _ in pairs), {head.name: values for head, values in pairs}
    if not task:
        found = _kind(columns[0], where, row)
        task = {'float': 'regression', 'list': 'multi_label'}.get(found, 'single_label')
    if task == 'regression':
        numbers = np.stack([_numbers(column, where, row) for column in columns], axis=1)
        return (Task('', 'regression', tuple(column.name for column in columns)),), by_task(numbers)
    if task == 'multi_label':
        separate = any(columns[0].name in task.class_names for task in known) or len(columns) > 1
        classes, several = _several(columns, separate, data.label_separator, where, row)
        return (Task('', 'multi_label', classes),), by_task(several)
    classes, numbers = _classes(columns[0], where, row)
    if not classes and not known:
        raise UserError(f"{where}: column '{columns[0].name}' has no labels")
    return (single_label(classes or known[0].class_names),), by_task(numbers)


def _head(column: Column, where: str, row: RowName, known: Sequence[Task] = ()) -> tuple[Task, np.ndarray]:
    if not re.fullmatch(r'\w+', column.name):
        raise UserError(
            f"{where}: column '{column.name}' cannot name a head: rename it to letters, digits and underscores"
        )
    own = next((task for task in known if task.name == column.name), None)
    found = _kind(column, where, row) if own is None else _KINDS.get(own.kind, 'list')
    if found == 'list':
        raise UserError(f"{where}: column '{column.name}' holds lists, of which data.task=heads makes no head")
    if found == 'float':
        return Task(column.name, 'regression', (column.name,)), _numbers(column, where, row)[:, None]
    classes, labels = _classes(column, where, row)
    if own is not None:
        return single_label(classes or own.class_names, column.name), labels
    if len(classes) < 2:
        raise UserError(f"{where}: column '{column.name}' has {len(classes)} class: a head needs at least 2")
    return single_label(classes, column.name), labels


def _kind(column: Column, where: str, row: RowName) -> str:
    """The column's kind, of a CSV column from its cells."""
    if column.kind != 'text':
        return column.kind
    cells = [cell.strip() for cell in column.cells]
    filled = [cell for cell in cells if cell]
    if all(map(INTEGER.fullmatch, filled)):
        return 'integer'
    decimals = [cell for cell in filled if NUMBER.fullmatch(cell) and not INTEGER.fullmatch(cell)]
    odd = next((i for i, c in enumerate(cells) if c.lower() not in _NO_NUMBER and not NUMBER.fullmatch(c)), None)
    if not decimals:
        return 'string'
    if odd is not None:
        raise UserError(
            f"{where}: column '{column.name}' holds numbers, such as {decimals[0]}, but also '{cells[odd]}' "
            f'({row(odd)}); if these are classes, say data.task=single_label'
        )
    return 'float'


def _numbers(column: Column, where: str, row: RowName) -> Float64[np.ndarray, ' n']:
    """The cells as finite numbers; NaN where there is none."""
    values = np.full(len(column.cells), np.nan)
    for index, cell in enumerate(column.cells):
        text = cell.strip() if isinstance(cell, str) else str(cell)
        if NUMBER.fullmatch(text):
            values[index] = float(text)
        elif text.lower() not in _NO_NUMBER:
            raise UserError(f"{where}: column '{column.name}', {row(index)}: '{text}' is not a finite number")
    return values


def _classes(column: Column, where: str, row: RowName) -> tuple[tuple[str, ...], Int32[np.ndarray, ' n']]:
    """Names of the classes, and the number of every cell's; -1 where it is empty."""
    if column.kind == 'list':
        raise UserError(f"{where}: column '{column.name}' holds lists: say data.task=multi_label")
    place = f"{where}: column '{column.name}'"
    return numbered(_texts(column), _names(column, where), lambda index: f'{place}, {row(index)}')


def _several(
    columns: Sequence[Column], separate: bool, separator: str, where: str, row: RowName
) -> tuple[tuple[str, ...], Float32[np.ndarray, 'n classes']]:
    """Classes and labels of several labels an image: columns of 0 and 1, or one column of names."""
    if separate:
        values = np.stack([_truth(column, where, row) for column in columns], axis=1)
        return tuple(column.name for column in columns), values
    column = columns[0]
    lists = column.kind == 'list'
    cells = [[class_name(name) for name in (cell if lists else cell.split(separator))] for cell in column.cells]
    if column.kind in ('text', 'float'):
        plain, _ = plain_numbers(name for names in cells for name in names)
        cells = [[plain.get(name, name) for name in names] for names in cells]
    present = {name for names in cells for name in names} - {''}
    if not column.names and present and present <= set(_TRUTH) and all(len(names) < 2 for names in cells):
        raise UserError(
            f"{where}: column '{column.name}' holds {' and '.join(sorted(present))} alone; data.task=multi_label is "
            f"for several columns of 0 and 1, or names joined by '{separator}'. For two classes say "
            'data.task=single_label'
        )
    classes = _names(column, where) or sorted_classes(present)
    if not classes:
        raise UserError(f"{where}: column '{column.name}' has no labels")
    numbers = {name: number for number, name in enumerate(classes)}
    values = np.zeros((len(cells), len(classes)), np.float32)
    for index, names in enumerate(cells):
        values[index, [numbers[name] for name in names if name]] = 1
    return classes, values


def _truth(column: Column, where: str, row: RowName) -> Float32[np.ndarray, ' n']:
    """Cells of 0 and 1, or of truth values; NaN where one is empty."""
    values = np.full(len(column.cells), np.nan, np.float32)
    for index, cell in enumerate(column.cells):
        text = str(cell).strip().lower()
        value = _TRUTH.get(text.removesuffix('.0'))
        if value is None and text not in _NO_NUMBER:
            raise UserError(f"{where}: column '{column.name}', {row(index)}: '{cell}' is neither 0 nor 1")
        values[index] = np.nan if value is None else value
    return values


def _written_alike(columns: Mapping[str, Column], roles: Roles, tasks: Sequence[Task], data: Data) -> Iterator[str]:
    """Lines about classes and groups that are numbers, and of which some are written in several ways."""
    for name in dict.fromkeys(filter(None, (*roles.labels, roles.group))):
        task = next((task for task in tasks if task.name == name), tasks[0])
        if name != roles.group and (not task.has_classes or (len(roles.labels) > 1 and not task.name)):
            continue
        cells = (cell for cell in columns[name].cells if columns[name].kind in ('text', 'float'))
        separator = data.label_separator if task.any_number else '\n'
        _, line = plain_numbers(class_name(text) for cell in cells for text in cell.split(separator))
        if line:
            yield f"column '{printable(name)}': {line}"


def _names(column: Column, where: str) -> tuple[str, ...]:
    """Names of all classes of a column where the file says them."""
    names = tuple(map(class_name, column.names))
    check_names(names, f"{where}: column '{column.name}'")
    return names


def _texts(column: Column) -> list[str]:
    """The cells as names. Where they are nothing but numbers, each has one name however it is written.

    So a table that was made with gaps, which keeps its integers as 1.0, 2.0, …, has the classes of one without.
    """
    cells = [class_name(str(cell)) for cell in column.cells]
    plain, _ = plain_numbers(cells) if column.kind in ('text', 'float') else ({}, '')
    return [plain.get(cell, cell) for cell in cells]
