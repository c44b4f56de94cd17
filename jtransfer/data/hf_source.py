"""The source `hf:PATH`: a Hugging Face data set on disk, parquet files with the pictures in them."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from jtransfer.config_check import nearest
from jtransfer.config_data import Data
from jtransfer.data import images
from jtransfer.data.folder import CONVENTIONS
from jtransfer.data.images import UnreadableImageError
from jtransfer.data.source import Example, check_every_class, check_source
from jtransfer.data.table_columns import Column, Roles, arrow_column, find_roles, is_binary
from jtransfer.data.table_labels import Facts, read_facts
from jtransfer.data.table_source import part_of_rows, row_name
from jtransfer.data.targets import Labels, take
from jtransfer.errors import UserError
from jtransfer.tasks import Task

IMAGE_NAMES = ('image', 'img', 'picture', 'photo', 'jpg', 'png')
# data/train-00000-of-00002.parquet, train.parquet, train/0000.parquet, default/validation/0000.parquet, 0000.parquet
_SHARD = re.compile(r'(?P<split>.*?)[-_.]?\d+(-of-\d+)?(-[0-9a-f]+)?')
# Row groups that a thread keeps: neighbours are often asked for together.
_KEPT = 2


class HfSource:
    """Pictures of parquet files, by row; see `jtransfer.data.source.Source`. Row groups are read when asked for.

    Attributes:
        tasks: what the labels are of.
        class_names: of the only task, or of the first.
        labels: of every image, in the tasks' form.
        ids: `SPLIT/NUMBER` of every image, the number that of its row in the split's files.
        groups: of every image, if there are groups.
        weights: of every image, if there are weights.
    """

    def __init__(
        self,
        files: Sequence[Path],
        column: str,
        rows: Int64[np.ndarray, ' n'],
        ids: Sequence[str],
        facts: Facts,
        max_pixels: int,
    ) -> None:
        """Takes the rows as they are; `load_hf` checks them.

        Args:
            files: parquet files, whose rows are counted through.
            column: of the pictures.
            rows: of the examples.
            ids: names of the examples.
            facts: what the files say of the examples.
            max_pixels: an image of more pixels is refused.
        """
        self.tasks: tuple[Task, ...] = facts.tasks
        self.class_names = facts.tasks[0].class_names
        self.labels: Labels = facts.labels
        self.ids = tuple(ids)
        self.groups: tuple[str, ...] | None = facts.groups
        self.weights: Float32[np.ndarray, ' n'] | None = facts.weights
        self._files, self._column, self._rows, self._max_pixels = tuple(files), column, rows, max_pixels

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Decodes the image at an index.

        Raises:
            UnreadableImageError: names the example.
        """
        image = images.decode_image(self.content(index), name=self._named(index), max_pixels=self._max_pixels)
        return {'image': image, 'label': take(self.labels, index), 'id': self.ids[index]}

    def content(self, index: int) -> bytes:
        """The encoded bytes of an image.

        Raises:
            UnreadableImageError: there are none; names the example.
        """
        row = int(self._rows[index])
        group = int(np.searchsorted(self._starts, row, side='right')) - 1
        cell = self._group(group)[row - int(self._starts[group])].as_py()
        encoded = cell.get('bytes') if isinstance(cell, dict) else cell
        if not encoded:
            raise UnreadableImageError(f'{self._named(index)} has no picture; --config.data.skip_unreadable skips such')
        return bytes(encoded)

    def __getstate__(self) -> dict[str, Any]:
        """Worker processes open their own files."""
        return {name: value for name, value in self.__dict__.items() if name not in ('_groups', '_starts', '_own')}

    def _named(self, index: int) -> str:
        return f'{self._files[0].parent}: {self.ids[index]}'

    @functools.cached_property
    def _groups(self) -> list[tuple[Path, int, int]]:
        """File, number and rows of every row group."""
        from pyarrow import parquet

        groups = []
        for path in self._files:
            metadata = parquet.read_metadata(path)
            groups += [(path, n, metadata.row_group(n).num_rows) for n in range(metadata.num_row_groups)]
        return groups

    @functools.cached_property
    def _starts(self) -> Int64[np.ndarray, ' groups']:
        """First row of every row group."""
        return np.concatenate([[0], np.cumsum([rows for _, _, rows in self._groups])[:-1]]).astype(np.int64)

    @functools.cached_property
    def _own(self) -> threading.local:
        return threading.local()

    def _group(self, number: int) -> Any:
        """The pictures of a row group; each thread keeps the last ones that it read."""
        from pyarrow import parquet

        kept: dict[int, Any] = self._own.__dict__.setdefault('kept', {})
        if number not in kept:
            path, group, _ = self._groups[number]
            while len(kept) >= _KEPT:
                kept.pop(next(iter(kept)))
            with parquet.ParquetFile(path) as file:
                kept[number] = file.read_row_group(group, columns=[self._column]).column(0)
        return kept[number]


def load_hf(path: str, data: Data) -> dict[str, HfSource]:
    """Opens a data set of parquet files with the pictures in them, as the hub has them and `to_parquet` writes them.

    The splits are those of the files' or folders' names (`data/train-00000-of-00002.parquet`, `train/0000.parquet`);
    class names those that the files' schema states for a ClassLabel.

    Args:
        path: a folder of such files, or one file.
        data: the configuration, which may name columns and splits.

    Returns:
        The parts that the data set has; one without splits has `train` alone.

    Raises:
        UserError: no such files, no column of pictures, cells that do not fit, an unknown split, or a class without a
            training image.
    """
    root = Path(path).expanduser()
    splits = _splits(root)
    parts = _parts(splits, data, str(root))
    found: dict[str, HfSource] = {}
    columns_of = {split: _read(files, data) for split, files in parts.values()}
    for part, (split, files) in parts.items():
        roles, columns = columns_of[split]
        where = f'{root} ({split})' if split else str(root)
        facts = read_facts(columns, roles, data, where, row_name)
        total = len(next(iter(columns.values())).cells)
        if not total:
            raise UserError(f'{where} has no rows')
        if len(parts) > 1 or split:
            rows = {part: np.arange(total)}
        else:
            rows = part_of_rows(columns.get(roles.split) if roles.split else None, data, where, total)
        for name, chosen in rows.items():
            ids = [f'{split or "train"}/{row}' for row in chosen]
            found[name] = HfSource(files, roles.image, chosen, ids, facts.take(chosen), data.max_pixels)
    for name, source in found.items():
        if source.tasks != found['train'].tasks:
            own, theirs = (', '.join(each.class_names[:5]) for each in (source, found['train']))
            raise UserError(f'{root}: the {name} part has other classes than the training part: {own} and {theirs}')
        check_source(source, f'{root} ({name})', every_class=False)
    check_every_class(found['train'].labels, found['train'].tasks, f'{root} (train)')
    return found


def _splits(root: Path) -> dict[str, list[Path]]:
    """Parquet files by the name of their split, '' where they have none."""
    if root.is_file():
        return {'': [root]}
    if not root.is_dir():
        beside = sorted(other.name for other in root.parent.iterdir()) if root.parent.is_dir() else []
        raise UserError(f'there is no folder {root}.{nearest(root.name, beside) if beside else ""}')
    files = sorted(root.rglob('*.parquet'))
    if not files:
        arrow = ' (written by save_to_disk: write it with to_parquet)' if any(root.rglob('*.arrow')) else ''
        raise UserError(f'{root} holds no .parquet files{arrow}')
    splits: dict[str, list[Path]] = {}
    for file in files:
        shard = _SHARD.fullmatch(file.stem)
        name = (shard['split'] if shard else file.stem) or (file.parent.name if file.parent != root else '')
        splits.setdefault(name, []).append(file)
    return splits


def _parts(splits: dict[str, list[Path]], data: Data, where: str) -> dict[str, tuple[str, list[Path]]]:
    """Split and files of every part."""
    named = {'train': data.train_split, 'validation': data.validation_split, 'test': data.test_split}
    parts = {}
    for part, name in named.items():
        if name and name not in splits:
            if list(splits) == ['']:
                continue
            raise UserError(f'data.{part}_split={name!r}: {where} has no such split.{nearest(name, splits)}')
        found = [name] if name else [split for split in splits if split.casefold() in CONVENTIONS[part]]
        if len(found) > 1:
            raise UserError(f'{where} has both {" and ".join(found)}: say which one with data.{part}_split')
        if found:
            parts[part] = found[0], splits[found[0]]
    if 'train' in parts:
        return parts
    if len(splits) == 1 and not parts:
        name, files = next(iter(splits.items()))
        # A single file is no split, whatever it is called.
        return {'train': ('' if name == '' or len(files) == 1 else name, files)}
    raise UserError(f'{where} has no split called train, but {", ".join(splits)}: choose with data.train_split')


def _read(files: Sequence[Path], data: Data) -> tuple[Roles, dict[str, Column]]:
    """The columns of all files but the pictures, which are looked for."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(files[0])
        names = schema.names
        roles = find_roles(names, data, str(files[0]), IMAGE_NAMES)
        wanted = [name for name in roles.all if name != roles.image]
        table = pa.concat_tables([parquet.read_table(file, columns=wanted, partitioning=None) for file in files])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise UserError(f'{files[0].parent}: {(str(error).splitlines() or [""])[0]}') from None
    kind = schema.field(roles.image).type
    if not (pa.types.is_struct(kind) or is_binary(kind)):
        raise UserError(
            f"{files[0]}: column '{roles.image}' holds {kind}, no pictures: name the column with data.image_column, "
            f'or write parquet:{files[0]} if it holds paths'
        )
    known = _class_names(schema)
    columns = {name: arrow_column(name, table.column(name), str(files[0]), known.get(name, ())) for name in wanted}
    return roles, columns


def _class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Names of the classes of every ClassLabel column, from what `datasets` writes into the schema."""
    try:
        stated = json.loads((schema.metadata or {}).get(b'huggingface', b'{}'))
        features = stated.get('info', {}).get('features', {})
    except (ValueError, AttributeError):
        return {}
    found = {}
    for name, feature in features.items():
        inner = feature.get('feature', feature) if isinstance(feature, dict) else feature
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(inner, dict) and inner.get('_type') == 'ClassLabel':
            found[name] = tuple(str(each) for each in inner.get('names', ()))
    return found
