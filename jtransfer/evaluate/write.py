"""Evaluation results as files: tables, metrics and predictions."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jtransfer.number_text import digits_of, exact, rounded
from jtransfer.tasks.classification_metrics import Metrics, top_prediction
from jtransfer.tasks.labels import Labels, labelled
from jtransfer.tasks.multi_label import joined
from jtransfer.tasks.multi_label_metrics import MultiLabelMetrics, predict_labels, sigmoid
from jtransfer.tasks.regression_metrics import RegressionMetrics
from jtransfer.tasks.several import AnyMetrics, HeadsMetrics
from jtransfer.text import to_cell
from jtransfer.writing import atomic_text


def write_csv(path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a comma-separated table (RFC 4180 quoting, newline ends); None becomes an empty cell.

    Text that a spreadsheet would run as a formula (`=1+1`) has an apostrophe before it, see `text.to_cell`.
    """
    with atomic_text(path) as file:
        writer = csv.writer(file, lineterminator='\n')
        for row in (header, *rows):
            writer.writerow([to_cell(cell) if isinstance(cell, str) else cell for cell in row])


def write_evaluation(
    folder: str | os.PathLike[str], metrics: AnyMetrics, outputs: Labels, labels: Labels, ids: Sequence[Any]
) -> None:
    """Writes `metrics.json`, `predictions.csv` and a table of the classes or numbers into `folder`.

    With one label an image, `per_class.csv`, and `confusion_matrix.csv` with a row a label and a column a predicted
    class. `predictions.csv` has a row an example: id, label, predicted (both as class names), probability of the
    prediction, and correct (1 or 0).

    With several labels an image, `per_class.csv`; `predictions.csv` has id, labelled (1 or 0), labels and predicted
    (class names with `|` between them), and the probability of every class.

    Of regression, `per_number.csv`; `predictions.csv` has id, and the true and the predicted value of every number.

    Of several heads, all of this in a folder a task, and a `metrics.json` of them all.

    An example without a label for the task has empty cells where its label would be. A class or number that no example
    has a label for has a row without figures, and no predictions.

    Args:
        folder: made when missing; files of these names are replaced, one at a time.
        metrics: what `measure_tasks` said of these outputs.
        outputs: one row an example: logits, or numbers in their own units; of several heads a dictionary by task.
        labels: in the tasks' form.
        ids: what identifies an example (a file name, an index), in the order of `outputs`.

    Raises:
        ValueError: `outputs`, `labels` and `ids` differ in length.
    """
    folder = pathlib.Path(folder)
    if isinstance(metrics, HeadsMetrics):
        for name, of_task in metrics.by_task.items():
            write_evaluation(folder / task_folder(name), of_task, outputs[name], labels[name], ids)
    else:
        outputs, labels = np.asarray(outputs), np.asarray(labels)
        if not len(ids) == len(outputs) == len(labels):
            raise ValueError(f'{len(ids)} ids, {len(outputs)} outputs and {len(labels)} labels: they must be as many')
        if isinstance(metrics, Metrics):
            _write_classes(folder, metrics, outputs, labels, ids)
        elif isinstance(metrics, MultiLabelMetrics):
            _write_labels(folder, metrics, outputs, labels, ids)
        else:
            _write_numbers(folder, metrics, outputs, labels, ids)
    with atomic_text(folder / 'metrics.json') as file:
        json.dump(metrics.to_dict(), file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write('\n')


def task_folder(name: str) -> str:
    """The name of a task as that of a folder: what a path could take for its own is percent-encoded."""
    quoted = urllib.parse.quote(name, safe=' ')
    return quoted.replace('.', '%2E') if set(quoted) == {'.'} else quoted


def _write_classes(
    folder: pathlib.Path, metrics: Metrics, logits: np.ndarray, labels: np.ndarray, ids: Sequence[Any]
) -> None:
    names = metrics.class_names
    predicted, probability = top_prediction(logits)
    rows = [
        (example, names[label], names[guess], f'{p:.6f}', int(label == guess))
        if label >= 0
        else (example, None, names[guess], f'{p:.6f}', None)
        for example, label, guess, p in zip(ids, labels, predicted, probability, strict=True)
    ]
    write_csv(folder / 'predictions.csv', ('id', 'label', 'predicted', 'probability', 'correct'), rows)
    write_csv(
        folder / 'per_class.csv',
        ('class', 'examples', 'accuracy', 'precision', 'f1'),
        ((c.name, c.examples, c.accuracy, c.precision, c.f1) for c in metrics.per_class),
    )
    write_csv(
        folder / 'confusion_matrix.csv',
        ('label', *names),
        ((name, *row) for name, row in zip(names, metrics.confusion_matrix.tolist(), strict=True)),
    )


def _write_labels(
    folder: pathlib.Path, metrics: MultiLabelMetrics, logits: np.ndarray, labels: np.ndarray, ids: Sequence[Any]
) -> None:
    names = metrics.class_names
    guessed, probability, known = predict_labels(logits, metrics.thresholds), sigmoid(logits), labelled(labels)
    rows = [
        (
            example,
            int(known[i]),
            joined(names, labels[i] > 0.5) if known[i] else None,
            joined(names, guessed[i]),
            *(f'{p:.6f}' for p in probability[i]),
        )
        for i, example in enumerate(ids)
    ]
    header = ('id', 'labelled', 'labels', 'predicted', *(f'probability {name}' for name in names))
    write_csv(folder / 'predictions.csv', header, rows)
    columns = ('positives', 'average_precision', 'roc_auc', 'threshold', 'precision', 'recall', 'f1')
    write_csv(
        folder / 'per_class.csv',
        ('class', *columns),
        [
            *((c.name, *(getattr(c, column) for column in columns)) for c in metrics.per_class),
            *((name, 0, *(None for _ in columns[1:])) for name in metrics.absent),
        ],
    )


def _write_numbers(
    folder: pathlib.Path, metrics: RegressionMetrics, predicted: np.ndarray, truth: np.ndarray, ids: Sequence[Any]
) -> None:
    names, known = metrics.class_names, labelled(truth)
    digits = [digits_of(np.stack([truth[:, i], predicted[:, i]]), 7) for i in range(len(names))]
    rows = [
        (
            example,
            *(
                cell
                for number, (true, guess) in enumerate(zip(truth[i], predicted[i], strict=True))
                for cell in (exact(true) if known[i] else None, rounded(guess, digits[number]))
            ),
        )
        for i, example in enumerate(ids)
    ]
    header = ('id', *(f'{what} {name}' for name in names for what in ('true', 'predicted')))
    write_csv(folder / 'predictions.csv', header, rows)
    measures = ('mae', 'rmse', 'r2')
    write_csv(
        folder / 'per_number.csv',
        ('number', *(f'{m}{end}' for m in measures for end in ('', '_low', '_high')), 'pearson'),
        [
            *(
                (n.name, *(v for m in measures for v in (getattr(n, m), *getattr(n, f'{m}_interval'))), n.pearson)
                for n in metrics.per_number
            ),
            *((name, *(None for _ in range(10))) for name in metrics.absent),
        ],
    )
