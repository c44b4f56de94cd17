"""The sources `csv:FILE` and `parquet:FILE`: a table of image paths, and of what is to be learnt about the images."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from jtransfer.checks import nearest
from jtransfer.config.data import Data
from jtransfer.data.decode import images
from jtransfer.data.sources.confinement import outside
from jtransfer.data.sources.encoded import EncodedSource, check_parts
from jtransfer.data.sources.part_names import FIELDS, check_one_each, part_of_name
from jtransfer.data.sources.table_columns import NONE, Column, Roles, read_csv, read_parquet
from jtransfer.data.sources.table_labels import Facts, read_facts
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.tasks.base import Task
from jtransfer.text.outside import count_of, first_few, printable_path

PARTS = ('train', 'validation', 'test')


class TableSource(EncodedSource):
    """Image files of one part of a table; see `EncodedSource`.

    Attributes:
        missing: number of rows of the part that were left out because their file is missing.
    """

    missing: int

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        facts: Facts,
        ids: Sequence[str],
        max_pixels: int,
        missing: int,
        pixel_range: Sequence[float] = (),
    ) -> None:
        """Takes what `load_table` has checked.

        Args:
            root: what paths are relative to.
            paths: of every image, on this machine.
            facts: what the table says about them.
            ids: of every image: its path as the table has it, with forward slashes.
            max_pixels: an image of more pixels is refused.
            missing: rows that were left out.
            pixel_range: as `data.pixel_range`.
        """
        super().__init__(facts, ids, max_pixels, pixel_range)
        self.missing = missing
        self._root, self._paths = root, tuple(paths)

    def content(self, index: int) -> bytes:
        """The bytes of the file of the image at an index.

        Raises:
            UnreadableImageError: names the file.
        """
        return images.read_content(self._root / self._paths[index], self._place(index), self._max_pixels)

    def _place(self, index: int) -> str:
        return printable_path(str(self._root / self._paths[index]))


def load_table(path: str, data: Data, form: str, known: Sequence[Task] = ()) -> dict[str, TableSource]:
    """Opens a table; looks whether every file is there, and decodes none.

    Rows are counted from 1 below the header. Paths that are not there as they are written are also tried without the
    spaces around them, with forward slashes, and in Unicode's composed and decomposed forms.

    Args:
        path: of the table, parquet or comma-separated (`.tsv`: tab-separated).
        data: the configuration: columns, task, names of the parts, `data_dir`, `skip_unreadable`, `max_pixels`,
            `confine_paths`, `pixel_range`.
        form: `csv` or `parquet`, whatever the file is called.
        known: see `open_source`.

    Returns:
        The parts that the split column names; a table without one has `train` alone. Classes are those of all parts.

    Raises:
        UserError: a table, column or cell that cannot be, a path twice, a file that is missing (unless
            `skip_unreadable`) or elsewhere (if `confine_paths`), no training rows, a class that none of them has.
    """
    file = expanded(path)
    if not file.is_file():
        if file.is_dir():
            raise UserError(f'{file} is a folder, but must be a table; hf:{file} reads folders of parquet files')
        beside = sorted(child.name for child in file.parent.iterdir()) if file.parent.is_dir() else []
        raise UserError(f'there is no file {file}.{nearest(file.name, beside) if beside else ""}')
    roles, columns = (read_parquet if form == 'parquet' else read_csv)(file, data, not known)
    where, cells = str(file), columns[roles.image].cells
    if not len(cells):
        raise UserError(f'{where} has no rows below its header')
    roles = settle_split(roles, columns, data)
    parts = part_of_rows(columns.get(roles.split), data, where, len(cells), not known)
    rows = np.sort(np.concatenate(list(parts.values())))
    chosen = {name: column.take(rows) for name, column in columns.items()}
    facts = read_facts(chosen, roles, data, where, lambda index: row_name(rows[index]), known)
    root = expanded(data.data_dir) if data.data_dir else file.parent
    ids, paths = _find_files(chosen[roles.image].cells, rows, root, data, where)
    sources = {}
    for part, own in parts.items():
        positions = np.searchsorted(rows, own)
        there = positions[[bool(paths[index]) for index in positions]]
        if not len(there):
            raise UserError(f'{where}: all {len(own)} files of the {part} part are missing from {root}')
        sources[part] = TableSource(
            root,
            [paths[index] for index in there],
            facts.take(there),
            [ids[index] for index in there],
            data.max_pixels,
            len(own) - len(there),
            data.pixel_range,
        )
    check_parts(sources, data, where, not known)
    next(iter(sources.values())).notes += rows_left_out(columns.get(roles.split), parts, where)
    return sources


def open_csv(path: str, data: Data, known: Sequence[Task]) -> dict[str, TableSource]:
    """As `kinds.Open`."""
    return load_table(path, data, 'csv', known)


def open_parquet(path: str, data: Data, known: Sequence[Task]) -> dict[str, TableSource]:
    """As `kinds.Open`."""
    return load_table(path, data, 'parquet', known)


def settle_split(roles: Roles, columns: Mapping[str, Column], data: Data) -> Roles:
    """The roles, without a column that might be one of parts by its name, and of whose values none is a part's."""
    if not roles.maybe or any(part_of_name(str(cell).strip(), data) for cell in set(columns[roles.split].cells)):
        return roles
    return roles.without_split()


def part_of_rows(
    column: Column | None, data: Data, where: str, count: int, training: bool = True
) -> dict[str, Int64[np.ndarray, ' n']]:
    """Rows by part. Where parts are named in the configuration, rows of other names are left out.

    Args:
        column: says the part of every row. None: all are of the training part.
        data: the configuration, which may name the parts.
        where: names the table in errors.
        count: the number of rows.
        training: whether there must be a training part.

    Raises:
        UserError: a row of no part, two names for one part, a name that no row has, or no rows of the training part.
    """
    named = {'train': data.train_split, 'validation': data.validation_split, 'test': data.test_split}
    if column is None:
        for part, name in named.items():
            if name:
                raise UserError(f'data.{part}_split={name!r} names a part, and {where} has no column of parts')
        return {'train': np.arange(count)}
    names = [str(cell).strip() for cell in column.cells]
    known = {name: part_of_name(name, data) for name in dict.fromkeys(names)}
    for part, name in named.items():
        if name and name not in known:
            raise UserError(
                f"data.{part}_split={name!r}: column '{column.name}' of {where} says so nowhere.{nearest(name, known)}"
            )
    if not any(named.values()) and '' in known.values():
        row = next(index for index, name in enumerate(names) if not known[name])
        raise UserError(
            f"{where}: column '{column.name}', {row_name(row)}: '{names[row]}' is none of train, validation and test; "
            f'{FIELDS} say other names, data.split_column another column ({NONE}: there are no parts)'
        )
    check_one_each(known, f"{where}: column '{column.name}'")
    of = np.array([known[name] for name in names])
    rows = {part: np.flatnonzero(of == part) for part in PARTS}
    if not len(rows['train']) and (training or not any(map(len, rows.values()))):
        raise UserError(
            f"{where} has no row of the training part: column '{column.name}' says {', '.join(known)}; "
            'data.train_split says another name'
        )
    return {part: own for part, own in rows.items() if len(own)}


def rows_left_out(column: Column | None, parts: Mapping[str, Int64[np.ndarray, ' n']], where: str) -> tuple[str, ...]:
    """A line about the rows that are of none of the parts, if there are any."""
    if column is None or not (gone := len(column.cells) - sum(map(len, parts.values()))):
        return ()
    used = set(np.concatenate(list(parts.values())).tolist())
    names = dict.fromkeys(f"'{str(cell).strip()}'" for row, cell in enumerate(column.cells) if row not in used)
    return (f'{count_of(gone, "row")} of {where} left out, of other parts: {first_few(list(names))}',)


def row_name(index: int) -> str:
    """Names a row in errors, counted from 1 below the header."""
    return f'row {index + 1}'


def _find_files(
    cells: Sequence[str], rows: Int64[np.ndarray, ' n'], root: Path, data: Data, where: str
) -> tuple[list[str], list[str]]:
    """Ids and paths of all rows; the path is '' where the file is missing and that is allowed."""
    ids, paths, missing = [], [], []
    seen: dict[str, int] = {}
    for index, cell in enumerate(cells):
        if not cell.strip():
            raise UserError(f'{where}: {row_name(rows[index])} has no image path')
        written, path = next((pair for pair in _forms(cell) if os.path.isfile(root / pair[1])), (cell, ''))
        if not path:
            missing.append(index)
        first = seen.setdefault(os.path.normpath(root / (path or cell)), index)
        if first != index:
            raise UserError(
                f'{where}: {printable_path(cell)} is there twice, in {row_name(rows[first])} and '
                f'{row_name(rows[index])}; an image has one row'
            )
        ids.append(printable_path(written))
        paths.append(path)
    meant = [path or cells[index].strip() for index, path in enumerate(paths)]
    if data.confine_paths and (away := outside(meant, root)):
        others = f' (and {len(away) - 1:,} other rows)' if len(away) > 1 else ''
        raise UserError(
            f'{where}, {row_name(rows[away[0]])}{others}: {printable_path(cells[away[0]])} leads out of {root}, which '
            'data.confine_paths forbids'
        )
    if missing and not data.skip_unreadable:
        row, gone = row_name(rows[missing[0]]), printable_path(str(root / cells[missing[0]].strip()))
        others = f', nor those of {len(missing) - 1} other rows' if len(missing) > 1 else ''
        raise UserError(
            f'{where}, {row}: there is no file {gone}{others}; data.data_dir says what paths are relative to, '
            'data.skip_unreadable leaves such rows out'
        )
    return ids, paths


def _forms(path: str) -> Iterator[tuple[str, str]]:
    """The path as it is written, or as other systems might have meant it, each in the forms a disk may have it in."""
    for text in dict.fromkeys((path, path.strip(), path.strip().replace('\\', '/'))):
        for form in dict.fromkeys((text, unicodedata.normalize('NFC', text), unicodedata.normalize('NFD', text))):
            yield text, form
