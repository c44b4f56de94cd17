"""The source `hf:PATH`: a Hugging Face data set on disk, files with the pictures in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from jtransfer.config.data import Data
from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.sources.encoded import EncodedSource, check_parts
from jtransfer.data.sources.hf_layout import find_parts
from jtransfer.data.sources.hf_pictures import Pictures, count_rows, read_columns, read_schema
from jtransfer.data.sources.table import part_of_rows, rows_left_out, settle_split
from jtransfer.data.sources.table_columns import NONE, Column, Roles, arrow_column, find_roles, is_binary
from jtransfer.data.sources.table_labels import Facts, read_facts
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.tasks.base import Task
from jtransfer.text.outside import count_of, printable

IMAGE_NAMES = ('image', 'img', 'picture', 'photo', 'jpg', 'png')


class HfSource(EncodedSource):
    """Pictures of one part of a data set, by row; see `EncodedSource`. They are read when they are asked for.

    The ids are `SPLIT/NUMBER`, the number that of the row in the split's files.
    """

    def __init__(
        self,
        root: Path,
        pictures: Pictures,
        rows: Int64[np.ndarray, ' n'],
        ids: Sequence[str],
        facts: Facts,
        max_pixels: int,
        pixel_range: Sequence[float] = (),
    ) -> None:
        """Takes what `load_hf` has checked.

        Args:
            root: of the data set, named in errors.
            pictures: of the files.
            rows: of the examples.
            ids: names of the examples.
            facts: what the files say of the examples.
            max_pixels: an image of more pixels is refused.
            pixel_range: as `data.pixel_range`.
        """
        super().__init__(facts, ids, max_pixels, pixel_range)
        self._root, self._pictures, self._rows = root, pictures, rows

    def content(self, index: int) -> bytes:
        """The encoded bytes of the picture at an index.

        Raises:
            UnreadableImageError: there are none; names the example.
        """
        encoded = self._pictures[int(self._rows[index])]
        if encoded is None:
            raise UnreadableImageError(f'{self._place(index)} has no picture', skip=True)
        return encoded

    def _place(self, index: int) -> str:
        return f'{self._root}: {self.ids[index]}'


def load_hf(path: str, data: Data, known: Sequence[Task] = ()) -> dict[str, HfSource]:
    """Opens a data set with the pictures in its files.

    Such are parquet files as the hub has them and `to_parquet` writes them, divided by the names of files or folders
    (`data/train-00000-of-00002.parquet`, `train/0000.parquet`) or, where there are no splits, by a column; and the
    folders that `save_to_disk` writes. Class names are those that the schema states for a ClassLabel, whose label -1
    is none; other labels are those of a table.

    Args:
        path: a folder, or one parquet file.
        data: the configuration, which may name columns and splits.
        known: see `open_source`.

    Returns:
        The parts that the data set has; one without splits has `train` alone. Classes are those of all parts.

    Raises:
        UserError: no such files, no column of pictures, cells that do not fit, an unknown split, or a class without a
            training image.
    """
    root = expanded(path)
    parts, others = find_parts(root, data, not known)
    divided = len(parts) > 1 or bool(next(iter(parts.values()))[0])
    if divided and not known and data.split_column not in ('', NONE):
        raise UserError(f'data.split_column={data.split_column!r} has no meaning for {root}: its files are of splits')
    files, ids, rows, columns = {}, {}, {}, {}
    notes = tuple(
        f"{count_of(count_rows(own), 'example')} of the split '{printable(name)}' of {root} left out, which is no part"
        for name, own in others.items()
    )
    for part, (split, own) in parts.items():
        roles, found = _read(own, data, not known)
        total = len(found[roles.labels[0]].cells)
        division = {part: np.arange(total)}
        roles = roles.without_split() if divided else settle_split(roles, found, data)
        if not divided:
            division = part_of_rows(found.get(roles.split), data, str(root), total, not known)
            notes += rows_left_out(found.get(roles.split), division, str(root))
        for name, chosen in division.items():
            files[name], rows[name] = Pictures(own, roles.image), chosen
            ids[name] = [f'{split or "train"}/{row}' for row in chosen]
            columns[name] = roles, {key: column.take(chosen) for key, column in found.items()}
            if not total:
                raise UserError(f'{root} ({split or name}) has no rows')
    every = [example for own in ids.values() for example in own]
    first = next(iter(columns.values()))[0]
    facts = read_facts(_joined(columns, root), first, data, str(root), lambda index: every[index], known)
    ends = np.cumsum([len(own) for own in ids.values()])
    sources = {
        name: HfSource(
            root,
            files[name],
            rows[name],
            ids[name],
            facts.take(np.arange(end - len(ids[name]), end)),
            data.max_pixels,
            data.pixel_range,
        )
        for name, end in zip(ids, ends, strict=True)
    }
    check_parts(sources, data, str(root), not known)
    next(iter(sources.values())).notes += notes
    return sources


def _joined(columns: dict[str, tuple[Roles, dict[str, Column]]], root: Path) -> dict[str, Column]:
    """The columns of all parts, one after another."""
    roles, first = next(iter(columns.values()))
    for part, (own_roles, own) in columns.items():
        if (own_roles.labels, own_roles.group, own_roles.weight) != (roles.labels, roles.group, roles.weight):
            raise UserError(f'{root}: the columns of the {part} part are not those of the training part')
        for name in roles.labels:
            if own[name].names != first[name].names:
                ours, theirs = (', '.join(column.names[:5]) or 'none' for column in (own[name], first[name]))
                raise UserError(
                    f'{root}: the {part} part has other classes than the training part: {ours} and {theirs}'
                )
            if own[name].kind != first[name].kind:
                raise UserError(
                    f"{root}: column '{name}' holds {own[name].kind} in the {part} part, but {first[name].kind} in the "
                    'training part'
                )
    return {
        name: Column(name, column.kind, [cell for _, own in columns.values() for cell in own[name].cells], column.names)
        for name, column in first.items()
        if name in (*roles.labels, roles.group, roles.weight)
    }


def _read(files: Sequence[Path], data: Data, training: bool = True) -> tuple[Roles, dict[str, Column]]:
    """The columns of all files but the pictures, which are looked for."""
    import pyarrow as pa

    where = str(files[0])
    try:
        schema = read_schema(files[0])
        roles = find_roles(schema.names, data, where, IMAGE_NAMES, training)
        wanted = [name for name in roles.all if name != roles.image]
        table = pa.concat_tables([read_columns(file, wanted) for file in files])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, OSError) as error:
        raise UserError(f'{files[0].parent}: {(str(error).splitlines() or [""])[0]}') from None
    kind = schema.field(roles.image).type
    structured = pa.types.is_struct(kind) and any(kind.field(i).name == 'bytes' for i in range(kind.num_fields))
    if not (structured or is_binary(kind)):
        raise UserError(
            f"{where}: column '{roles.image}' holds {kind}, no pictures: name the column with data.image_column, "
            f'or write parquet:{where} if it holds paths'
        )
    known = _class_names(schema)
    return roles, {name: arrow_column(name, table.column(name), where, known.get(name, ())) for name in wanted}


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
