"""What is to be learnt from the columns of a table: tasks and labels, and the groups and weights of its examples."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from jtransfer.config_data import Data
from jtransfer.data.table_columns import Column, Roles
from jtransfer.data.targets import Labels, take
from jtransfer.errors import UserError
from jtransfer.tasks import Task, single_label

# From the number of an example to its name in errors: 'row 3'.
RowName = Callable[[int], str]

_INTEGER = re.compile(r'[+-]?\d+')
_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?', re.IGNORECASE)
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
        labels: in the tasks' form; see `jtransfer.data.targets`.
        groups: of every example, if there are groups.
        weights: of every example, if they have weights.
        complete: whether an image has all labels that apply (several names in a column), so that a class which none
            has is known to be absent.
    """

    tasks: tuple[Task, ...]
    labels: Labels
    groups: tuple[str, ...] | None
    weights: Float32[np.ndarray, ' n'] | None
    complete: bool = False

    def take(self, indices: Int64[np.ndarray, ' m']) -> Facts:
        """The same of some of the examples."""
        groups = None if self.groups is None else tuple(self.groups[index] for index in indices)
        weights = None if self.weights is None else self.weights[indices]
        return Facts(self.tasks, take(self.labels, indices), groups, weights, self.complete)


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
        groups = tuple(str(cell).strip() for cell in columns[roles.group].cells)
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
    complete = len(tasks) == 1 and tasks[0].kind == 'multi_label' and tasks[0].class_names != roles.labels
    return Facts(tasks, labels, groups, weights, complete)


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
        numbers = np.stack([_numbers(column, where, row) for column in columns], axis=1).astype(np.float32)
        return (Task('', 'regression', tuple(column.name for column in columns)),), numbers
    if task == 'multi_label':
        separate = any(columns[0].name in task.class_names for task in known) or len(columns) > 1
        classes, several = _several(columns, separate, data.label_separator, where, row)
        return (Task('', 'multi_label', classes),), several
    classes, numbers = _classes(columns[0], where)
    if not classes and not known:
        raise UserError(f"{where}: column '{columns[0].name}' has no labels")
    return (single_label(classes or known[0].class_names),), numbers


def sorted_classes(names: set[str]) -> tuple[str, ...]:
    """Class names in order: by number where all are integers, else as texts."""
    if all(_INTEGER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


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
        numbers = _numbers(column, where, row).astype(np.float32)
        return Task(column.name, 'regression', (column.name,)), numbers[:, None]
    classes, labels = _classes(column, where)
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
    if all(map(_INTEGER.fullmatch, filled)):
        return 'integer'
    decimals = [cell for cell in filled if _NUMBER.fullmatch(cell) and not _INTEGER.fullmatch(cell)]
    odd = next((i for i, c in enumerate(cells) if c.lower() not in _NO_NUMBER and not _NUMBER.fullmatch(c)), None)
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
        if _NUMBER.fullmatch(text):
            values[index] = float(text)
        elif text.lower() not in _NO_NUMBER:
            raise UserError(f"{where}: column '{column.name}', {row(index)}: '{text}' is not a finite number")
    return values


def _classes(column: Column, where: str) -> tuple[tuple[str, ...], Int32[np.ndarray, ' n']]:
    """Names of the classes, and the number of every cell's; -1 where it is empty."""
    if column.kind == 'list':
        raise UserError(f"{where}: column '{column.name}' holds lists: say data.task=multi_label")
    cells = [_class_name(cell) for cell in column.cells]
    if column.kind == 'float' and all(not cell or float(cell).is_integer() for cell in cells):
        # A table that was made with gaps keeps its integers as 1.0, 2.0, …
        cells = [str(int(float(cell))) if cell else '' for cell in cells]
    classes = tuple(map(_class_name, column.names)) or sorted_classes(set(cells) - {''})
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, np.array([numbers[cell] if cell else -1 for cell in cells], np.int32)


def _several(
    columns: Sequence[Column], separate: bool, separator: str, where: str, row: RowName
) -> tuple[tuple[str, ...], Float32[np.ndarray, 'n classes']]:
    """Classes and labels of several labels an image: columns of 0 and 1, or one column of names."""
    if separate:
        values = np.stack([_truth(column, where, row) for column in columns], axis=1)
        return tuple(column.name for column in columns), values
    column = columns[0]
    if column.kind == 'list':
        cells = [[_class_name(name) for name in cell] for cell in column.cells]
    else:
        cells = [[_class_name(name) for name in cell.split(separator)] for cell in column.cells]
    present = {name for names in cells for name in names} - {''}
    if not column.names and present and present <= set(_TRUTH) and all(len(names) < 2 for names in cells):
        raise UserError(
            f"{where}: column '{column.name}' holds {' and '.join(sorted(present))} alone; data.task=multi_label is "
            f"for several columns of 0 and 1, or names joined by '{separator}'. For two classes say "
            'data.task=single_label'
        )
    classes = tuple(map(_class_name, column.names)) or sorted_classes(present)
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


def _class_name(cell: str) -> str:
    # One name may be written in two of Unicode's forms.
    return unicodedata.normalize('NFC', cell).strip()
