"""The sources `csv:FILE` and `parquet:FILE`: a table of image paths, and of what is to be learnt about the images."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from jtransfer.config_check import nearest
from jtransfer.config_data import Data
from jtransfer.data import images
from jtransfer.data.encoded_source import EncodedSource, check_parts, part_of_name
from jtransfer.data.folder import printable
from jtransfer.data.table_columns import Column, read_csv, read_parquet
from jtransfer.data.table_labels import Facts, read_facts
from jtransfer.errors import UserError

PARTS = ('train', 'validation', 'test')
_PARQUET = b'PAR1'


class TableSource(EncodedSource):
    """Image files of one part of a table; see `EncodedSource`.

    Attributes:
        missing: number of rows of the part that were left out because their file is missing.
    """

    def __init__(
        self, root: Path, paths: Sequence[str], facts: Facts, ids: Sequence[str], max_pixels: int, missing: int
    ) -> None:
        """Takes what `load_table` has checked.

        Args:
            root: what paths are relative to.
            paths: of every image, on this machine.
            facts: what the table says about them.
            ids: of every image: its path as the table has it, with forward slashes.
            max_pixels: an image of more pixels is refused.
            missing: rows that were left out.
        """
        super().__init__(facts, ids, max_pixels)
        self.missing = missing
        self._root, self._paths = root, tuple(paths)

    def content(self, index: int) -> bytes:
        """The bytes of the file of the image at an index.

        Raises:
            UnreadableImageError: names the file.
        """
        return images.read_content(self._root / self._paths[index], self._place(index))

    def _place(self, index: int) -> str:
        return printable(str(self._root / self._paths[index]))


def load_table(path: str, data: Data) -> dict[str, TableSource]:
    """Opens a table; looks whether every file is there, and decodes none.

    Rows are counted from 1 below the header. Paths that are not there as they are written are also tried without the
    spaces around them, with forward slashes, and in Unicode's composed and decomposed forms.

    Args:
        path: of the table, parquet or comma-separated (`.tsv`: tab-separated).
        data: the configuration: columns, task, names of the parts, `data_dir`, `skip_unreadable`, `max_pixels`.

    Returns:
        The parts that the split column names; a table without one has `train` alone. Classes are those of all parts.

    Raises:
        UserError: a table, column or cell that cannot be, a path twice, a file that is missing (unless
            `skip_unreadable`), no training rows, a class that none of them has.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = 'is a folder; hf:PATH reads folders of parquet files' if file.is_dir() else 'does not exist'
        siblings = [child.name for child in file.parent.iterdir()] if file.parent.is_dir() else []
        raise UserError(f'the table {file} {what}.{nearest(file.name, siblings) if not file.exists() else ""}')
    roles, columns = (read_parquet if _is_parquet(file) else read_csv)(file, data)
    where, cells = str(file), columns[roles.image].cells
    if not len(cells):
        raise UserError(f'{where} has a header, but no rows')
    parts = _parts(columns.get(roles.split), len(cells), data, where)
    rows = np.sort(np.concatenate(list(parts.values())))
    chosen = {name: _choose(column, rows) for name, column in columns.items()}
    facts = read_facts(chosen, roles, data, where, lambda index: _row(rows[index]))
    root = Path(data.data_dir).expanduser() if data.data_dir else file.parent
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
        )
    check_parts(sources, data, where)
    return sources


def _is_parquet(file: Path) -> bool:
    if file.suffix.lower() in ('.parquet', '.pq'):
        return True
    with file.open('rb') as opened:
        return opened.read(len(_PARQUET)) == _PARQUET


def _parts(column: Column | None, count: int, data: Data, where: str) -> dict[str, Int64[np.ndarray, ' n']]:
    """Rows by part. Where parts are named in the configuration, rows of other names are left out."""
    named = {'train': data.train_split, 'validation': data.validation_split, 'test': data.test_split}
    if column is None:
        for part, name in named.items():
            if name:
                raise UserError(f'data.{part}_split={name}: {where} has no split column; name it as data.split_column')
        return {'train': np.arange(count)}
    names = [str(cell).strip() for cell in column.cells]
    known = {name: part_of_name(name, data) for name in dict.fromkeys(names)}
    for part, name in named.items():
        if name and name not in known:
            raise UserError(
                f"data.{part}_split={name}: column '{column.name}' of {where} never says so.{nearest(name, known)}"
            )
    if not any(named.values()) and '' in known.values():
        row = next(index for index, name in enumerate(names) if not known[name])
        raise UserError(
            f"{where}: column '{column.name}' says '{names[row]}' in {_row(row)}, which is no part: name the parts with "
            'data.train_split, data.validation_split and data.test_split, and rows of other names are left out'
        )
    of = np.array([known[name] for name in names])
    rows = {part: np.flatnonzero(of == part) for part in PARTS}
    if not len(rows['train']):
        raise UserError(
            f"{where}: column '{column.name}' has no train rows, but {', '.join(known)}: name them with data.train_split"
        )
    return {part: own for part, own in rows.items() if len(own)}


def _find_files(
    cells: Sequence[str], rows: Int64[np.ndarray, ' n'], root: Path, data: Data, where: str
) -> tuple[list[str], list[str]]:
    """Ids and paths of all rows; the path is '' where the file is missing and that is allowed."""
    ids, paths, missing = [], [], []
    seen: dict[str, int] = {}
    for index, cell in enumerate(cells):
        if not cell.strip():
            raise UserError(f'{where}: {_row(rows[index])} has no image path')
        path = next((form for form in _forms(cell) if os.path.isfile(root / form)), '')
        if not path:
            missing.append(index)
        key = os.path.normpath(path or cell)
        first = seen.setdefault(os.path.join(root, key), index)
        if first != index:
            raise UserError(
                f'{where}: {printable(cell)} occurs twice, in {_row(rows[first])} and in {_row(rows[index])}; '
                'an image has one row'
            )
        ids.append(printable(path or cell) if '\\' in cell else printable(cell.strip()))
        paths.append(path)
    if missing and not data.skip_unreadable:
        others = f', and {len(missing) - 1} other files' if len(missing) > 1 else ''
        raise UserError(
            f'{where}: {printable(str(root / cells[missing[0]].strip()))} ({_row(rows[missing[0]])}) is missing{others}; '
            'data.data_dir says what paths are relative to, --config.data.skip_unreadable leaves such rows out'
        )
    return ids, paths


def _forms(path: str) -> Iterator[str]:
    """The path as it is written, and as other systems might have written it."""
    for text in dict.fromkeys((path, path.strip(), path.strip().replace('\\', '/'))):
        yield from dict.fromkeys((text, unicodedata.normalize('NFC', text), unicodedata.normalize('NFD', text)))


def _choose(column: Column, rows: Int64[np.ndarray, ' n']) -> Column:
    return Column(column.name, column.kind, [column.cells[row] for row in rows], column.names)


def _row(index: int) -> str:
    return f'row {index + 1}'
