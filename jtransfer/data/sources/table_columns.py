"""Columns of a table: which one says what, and what its cells hold, from a CSV or parquet file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jtransfer.checks import nearest
from jtransfer.config.data import Data
from jtransfer.data.sources import taken
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.text.outside import from_cell, printable

IMAGE_NAMES = ('image', 'path', 'file', 'filename', 'file_name', 'image_path', 'filepath')
LABEL_NAMES = ('label', 'labels', 'class', 'target', 'category', 'class_name', 'y')
GROUP_NAMES = ('group', 'groups', 'patient', 'patient_id', 'subject', 'group_id')
SPLIT_NAMES = ('split', 'subset', 'partition')
# These may be of parts too, and are where they say train or test; see `settle_split`.
MAYBE_SPLIT_NAMES = ('set', 'dataset', 'part', 'phase', 'usage')
WEIGHT_NAMES = ('sample_weight', 'sample_weights', 'example_weight')
# In grams, as likely as not: they weigh the loss only where the configuration says so.
_MAYBE_WEIGHT_NAMES = ('weight', 'weights')
NONE = 'none'


@dataclasses.dataclass(frozen=True)
class Roles:
    """Names of the columns that are read.

    Attributes:
        image: where the picture is.
        labels: what is to be learnt.
        group: what no split divides; '' where there is none.
        split: which part an example is of; '' where there is none.
        weight: how much an example counts; '' where there is none.
        unused: the other columns of the table.
        maybe: 'split' is a column whose values decide whether it is one of parts.
    """

    image: str
    labels: tuple[str, ...]
    group: str = ''
    split: str = ''
    weight: str = ''
    unused: tuple[str, ...] = ()
    maybe: bool = False

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        return tuple(dict.fromkeys(filter(None, (self.image, *self.labels, self.group, self.split, self.weight))))

    def without_split(self) -> Roles:
        """The same where the parts are known otherwise, or there are none."""
        unused = (*self.unused, self.split) if self.split not in ('', self.image, *self.labels) else self.unused
        return dataclasses.replace(self, split='', unused=unused, maybe=False)

    def in_words(self, tasks: Sequence[Task]) -> tuple[str, ...]:
        """What each column was taken for, in a line; and one where a column could be of weights, and is not."""
        found = [
            ([self.image], taken.IMAGES),
            *taken.labels(self.labels, tasks),
            ([self.group] if self.group else [], taken.GROUP),
            ([self.split] if self.split else [], taken.PART),
            ([self.weight] if self.weight else [], taken.WEIGHT),
        ]
        lines = [taken.taken('column', found, self.unused)]
        maybe = next((name for name in self.unused if name.casefold() in _MAYBE_WEIGHT_NAMES), '')
        if maybe and not self.weight:
            name = printable(maybe)
            lines.append(f"column '{name}' does not weigh the loss: data.weight_column={name} would make it do so")
        return tuple(lines)


@dataclasses.dataclass(frozen=True)
class Column:
    """The cells of a column as text, so that every kind of file is understood alike.

    Attributes:
        name: of the column.
        kind: `text` (of a CSV file: anything), `string`, `integer`, `float`, `bool` or `list` (several texts a cell).
        cells: a text a row, '' where it is empty; of a `list`, a tuple of texts.
        names: of all classes, in label order, where the file says them.
    """

    name: str
    kind: str
    cells: Sequence[Any]
    names: tuple[str, ...] = ()

    def take(self, rows: Iterable[int]) -> Column:
        """The same of some of the rows."""
        return dataclasses.replace(self, cells=[self.cells[row] for row in rows])


def find_roles(
    known: Sequence[str], data: Data, where: str, image_names: Sequence[str] = IMAGE_NAMES, training: bool = True
) -> Roles:
    """Which column says what: those that the configuration names, exactly, or else by convention, in any case.

    A column has one meaning: what is named in the configuration is not also found by convention. A group, split or
    weight column that is called `none` is none at all, unless the table has a column of that name.

    Args:
        known: names of the table's columns.
        data: the configuration.
        where: names the table in errors.
        image_names: by convention, the column of the pictures.
        training: whether every column that is named must be there. Without, one column of labels must; a group, split
            or weight column that is not there is none that is named, nor is a column of pictures where there is one
            by convention.

    Raises:
        UserError: a column that is named and not there, or there twice, or no column of pictures or labels.
    """
    if not training:
        data = _that_are_there(data, known, image_names)
    named = {
        'image_column': data.image_column,
        'group_column': data.group_column,
        'split_column': data.split_column,
        'weight_column': data.weight_column,
    }
    without = {field for field, name in named.items() if name == NONE and NONE not in known and field != 'image_column'}
    named = {field: '' if field in without else name for field, name in named.items()}
    for field, name in (*named.items(), *(('label_columns', name) for name in data.label_columns)):
        if name and name not in known:
            raise UserError(f"data.{field}: {where} has no column '{name}'.{nearest(name, known)}")
    taken = {*filter(None, named.values()), *data.label_columns}

    def find(field: str, conventional: Iterable[str]) -> str:
        if field in without:
            return ''
        if named.get(field):
            return named[field]
        free = {name.casefold(): name for name in reversed(known) if name not in taken}
        found = next((free[name] for name in conventional if name in free), '')
        taken.add(found)
        return found

    image = find('image_column', image_names)
    labels = data.label_columns or tuple(filter(None, (find('label_columns', LABEL_NAMES),)))
    for field, role, conventional in (('image_column', image, image_names), ('label_columns', labels, LABEL_NAMES)):
        if not role:
            hint = ' (columns are separated by commas)' if len(known) == 1 and ';' in known[0] else ''
            raise UserError(
                f'{where} has no column called {", ".join(conventional)}, but {", ".join(known)}{hint}: '
                f'name it with data.{field}'
            )
    group, split = find('group_column', GROUP_NAMES), find('split_column', SPLIT_NAMES)
    maybe = '' if split else find('split_column', MAYBE_SPLIT_NAMES)
    roles = Roles(image, labels, group, split or maybe, find('weight_column', WEIGHT_NAMES), maybe=bool(maybe))
    roles = dataclasses.replace(roles, unused=tuple(name for name in dict.fromkeys(known) if name not in roles.all))
    if image in labels:
        raise UserError(f"{where}: column '{image}' cannot be both data.image_column and one of data.label_columns")
    for name in roles.all:
        if known.count(name) > 1:
            raise UserError(f"{where} has {known.count(name)} columns called '{name}'")
    return roles


def _that_are_there(data: Data, known: Sequence[str], image_names: Sequence[str]) -> Data:
    """The configuration without the names of columns that a table to evaluate on lacks and can do without."""
    optional = ['group_column', 'split_column', 'weight_column']
    if any(name.casefold() in image_names for name in known):
        optional.append('image_column')
    gone: dict[str, Any] = {field: '' for field in optional if getattr(data, field) not in (NONE, *known)}
    labels = tuple(name for name in data.label_columns if name in known) or data.label_columns
    return dataclasses.replace(data, label_columns=labels, **gone)


def read_csv(path: Path, data: Data, training: bool = True) -> tuple[Roles, dict[str, Column]]:
    """The columns of a CSV file that are read; fields may be quoted, and hold separators and line ends.

    Args:
        path: of the file, UTF-8 with or without byte order mark; `.tsv` and `.tab`: separated by tabs.
        data: the configuration.
        training: see `find_roles`.

    Raises:
        UserError: not such a file, or what `find_roles` refuses.
    """
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(
        delimiter='\t' if path.suffix.lower() in ('.tsv', '.tab') else ',', newlines_in_values=True
    )
    try:
        with csv.open_csv(path, parse_options=parse, convert_options=csv.ConvertOptions(check_utf8=False)) as reader:
            raw = reader.schema.names
        names = [from_cell(name.strip()) for name in raw]
        roles = find_roles(names, data, str(path), training=training)
        columns = [raw[names.index(name)] for name in roles.all]
        # Kinds are for the labels to decide, from all cells: those inferred here would hang on the first megabyte.
        convert = csv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(columns, pa.string()))
        table = csv.read_csv(path, parse_options=parse, convert_options=convert)
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no table of comma-separated values in UTF-8: {_first_line(error)}') from None
    cells = ([text and from_cell(text) for text in table.column(at).to_pylist()] for at in range(len(columns)))
    return roles, {name: Column(name, 'text', texts) for name, texts in zip(roles.all, cells, strict=True)}


def read_parquet(path: Path, data: Data, training: bool = True) -> tuple[Roles, dict[str, Column]]:
    """The columns of a parquet file that are read.

    Args:
        path: of the file.
        data: the configuration.
        training: see `find_roles`.

    Raises:
        UserError: not such a file, pictures in the table itself, or what `find_roles` refuses.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            roles = find_roles(file.schema_arrow.names, data, str(path), training=training)
            kind = file.schema_arrow.field(roles.image).type
            if pa.types.is_struct(kind) or is_binary(kind):
                raise UserError(f"{path}: column '{roles.image}' holds the pictures themselves: write hf:{path}")
            table = file.read(columns=list(roles.all))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f'{path} is no parquet file: {_first_line(error)}') from None
    return roles, {name: arrow_column(name, table.column(name), str(path)) for name in roles.all}


def arrow_column(name: str, values: Any, where: str, names: Sequence[str] = ()) -> Column:
    """A column from an Arrow array.

    Args:
        name: of the column.
        values: `pyarrow.ChunkedArray`.
        where: names the table in errors.
        names: of the classes that integers stand for (-1: not labelled); empty where they stand for themselves.

    Raises:
        UserError: cells that are no text, number, truth value or list of these, or a number without a name.
    """
    import pyarrow as pa

    types = pa.types
    kind = values.type.value_type if types.is_dictionary(values.type) else values.type
    cells = values.to_pylist()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        texts = [tuple(_cell(value, names, name, where) for value in cell or ()) for cell in cells]
        return Column(name, 'list', texts, tuple(names))
    if types.is_boolean(kind):
        found = 'bool'
    elif types.is_integer(kind):
        found = 'string' if names else 'integer'
    elif types.is_floating(kind) or types.is_decimal(kind):
        found = 'float'
    elif types.is_nested(kind) or is_binary(kind):
        raise UserError(f"{where}: column '{name}' holds {kind}, but must hold texts or numbers")
    else:
        found = 'string'
    return Column(name, found, [_cell(value, names, name, where) for value in cells], tuple(names))


def is_binary(kind: Any) -> bool:
    """Whether an Arrow type is of bytes."""
    from pyarrow import types

    binary: bool = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return binary


def _cell(value: Any, names: Sequence[str], name: str, where: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ''
    if isinstance(value, bool):
        return str(value).lower()
    if names and isinstance(value, int):
        if not -1 <= value < len(names):
            raise UserError(
                f"{where}: column '{name}' holds class {value}, but there are {len(names)} class names, "
                f'0 to {len(names) - 1}'
            )
        return names[value] if value >= 0 else ''
    return str(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
