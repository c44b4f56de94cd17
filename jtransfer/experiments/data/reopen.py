"""The data of a finished run, divided as they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jtransfer.data.duplicates.guard import joined
from jtransfer.data.part import Part
from jtransfer.data.parts import NAMES, load_parts, split_record, take_sources
from jtransfer.data.source import SourceLike
from jtransfer.errors import UserError
from jtransfer.experiments.data.split import what_changed
from jtransfer.experiments.run.directory import FOLDS, SPLIT, read_config
from jtransfer.experiments.run.records import read_split_file


def parts_of_run(run: Path, source: SourceLike | Mapping[str, SourceLike] | None = None) -> dict[str, Part]:
    """The parts of a run by name.

    They are divided again as the configuration says, and compared with `split.json`. Those of a fold are taken from
    `split.json`, by the names of the examples. Labels are taken as they are now, corrected ones for instance.

    Args:
        run: its directory.
        source: labelled images in memory, instead of the `data.source` that the run names.

    Raises:
        UserError: the data are not there, or do not hold the images of the run any more.
    """
    saved = read_config(run)
    changed = UserError(f'{saved.data.source} does not hold the images of the run {run} any more (see {run / SPLIT})')
    if (run.parent / FOLDS).exists():
        everything, _ = joined(take_sources(saved.data, source))
        position = {example: index for index, example in enumerate(everything.ids)}
        record = read_split_file(run / SPLIT)
        named = {name: record[name]['ids'] for name in NAMES if name in record}
        gone = any(example not in position for ids in named.values() for example in ids)
        if gone or record.get('class_names') != list(everything.class_names):
            raise changed
        return {
            name: Part(everything, np.array([position[example] for example in ids], np.int64))
            for name, ids in named.items()
        }
    parts = load_parts(saved.data, saved.seed, source, training=False)
    if (run / SPLIT).exists() and what_changed(read_split_file(run / SPLIT), split_record(parts)):
        raise changed
    return {name: part for name in NAMES if (part := getattr(parts, name)) is not None}
