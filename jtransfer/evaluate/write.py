"""Evaluation results as files: tables, metrics and predictions."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any

from jtransfer.files.record_types import SCHEMA
from jtransfer.files.writing import atomic_text
from jtransfer.tasks.door import ONLY
from jtransfer.tasks.labels import Labels
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.text.outside import to_cell


def write_csv(path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a comma-separated table (RFC 4180 quoting, newline ends); None becomes an empty cell.

    Text that a spreadsheet would run as a formula (`=1+1`) has an apostrophe before it, see `text.to_cell`.
    """
    with atomic_text(path) as file:
        writer = csv.writer(file, lineterminator='\n')
        for row in (header, *rows):
            writer.writerow([to_cell(cell) if isinstance(cell, str) else cell for cell in row])


def write_evaluation(
    folder: str | os.PathLike[str], metrics: Measured, outputs: Labels, labels: Labels, ids: Sequence[Any]
) -> None:
    """Writes `metrics.json`, `predictions.csv` and a table of the classes or numbers into `folder`.

    With one label an example, `per_class.csv`, and `confusion_matrix.csv` with a row a label and a column a predicted
    class. `predictions.csv` has a row an example: id, label, predicted (both as class names), probability of the
    prediction, and correct (1 or 0).

    With several labels an example, `per_class.csv`; `predictions.csv` has id, labelled (1 or 0), labels and predicted
    (class names with `|` between them), and the probability of every class.

    Of regression, `per_number.csv`; `predictions.csv` has id, and the true and the predicted value of every number.

    Of several heads, all of this in a folder a task, and a `metrics.json` of them all.

    An example without a label for the task has empty cells where its label would be. A class or number that no example
    has a label for has a row without figures, and no predictions.

    Args:
        folder: made when missing; files of these names are replaced, one at a time.
        metrics: what `measure_tasks` said of these outputs.
        outputs: by task, one row an example: logits, or numbers in their own units.
        labels: by task.
        ids: what identifies an example (a file name, an index), in the order of `outputs`.

    Raises:
        ValueError: `outputs`, `labels` and `ids` differ in length.
    """
    folder = pathlib.Path(folder)
    heads = metrics.of_tasks()
    if ONLY not in heads:
        for name, of_task in heads.items():
            write_evaluation(folder / task_folder(name), of_task, {ONLY: outputs[name]}, {ONLY: labels[name]}, ids)
    else:
        own, true = outputs[ONLY], labels[ONLY]
        if not len(ids) == len(own) == len(true):
            raise ValueError(f'{len(ids)} ids, {len(own)} outputs and {len(true)} labels: they must be as many')
        for table in metrics.tables(own, true, ids):
            write_csv(folder / f'{table.name}.csv', table.header, table.rows)
    with atomic_text(folder / 'metrics.json') as file:
        json.dump({'schema': SCHEMA, **metrics.to_dict()}, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write('\n')


def task_folder(name: str) -> str:
    """The name of a task as that of a folder: what a path could take for its own is percent-encoded."""
    quoted = urllib.parse.quote(name, safe=' ')
    return quoted.replace('.', '%2E') if set(quoted) == {'.'} else quoted
