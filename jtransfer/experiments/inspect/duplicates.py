"""The duplicates of a data set as a page to look at: what is twice, where, and under which labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jtransfer.data.duplicates.find import Duplicates, Pair
from jtransfer.data.source import Source
from jtransfer.files.writing import atomic_text
from jtransfer.inputs.image import IMAGE
from jtransfer.inputs.prepare import field_of
from jtransfer.report.page import environment, picture_source
from jtransfer.tasks.labels import take
from jtransfer.text.outside import printable_lines

_PICTURES = 8
_PAIRS = 12


def write_duplicates(
    path: str | os.PathLike[str],
    source: Source,
    duplicates: Duplicates,
    *,
    assignment: Sequence[Any] | None = None,
    title: str = 'Duplicates',
    most: int = 40,
) -> None:
    """Writes one HTML file that loads nothing from anywhere: every group of duplicates, its pictures side by side.

    Groups whose labels differ come first, then those that are in several parts or folds, then the largest. Names are
    shown as text, whatever they contain.

    Args:
        path: of the page; replaced whole, or not at all.
        source: where the pictures come from; only those shown are decoded.
        duplicates: of this source.
        assignment: the part or fold of every example, or None for one in none. None: nothing is said about parts.
        title: heads the page.
        most: groups shown, ≥ 0; the others are counted.
    """
    groups = duplicates.components()
    pairs: dict[int, list[Pair]] = {}
    for pair in duplicates.pairs:
        pairs.setdefault(int(duplicates.groups[pair.first]), []).append(pair)
    differing = [labels_differ(source, group) for group in groups]
    straddling = [len(_parts(assignment, group)) > 1 for group in groups]
    worst = sorted(range(len(groups)), key=lambda i: (not differing[i], not straddling[i], -len(groups[i]), i))
    shown = []
    for number in worst[:most]:
        group = groups[number]
        own = pairs[int(duplicates.groups[group[0]])]
        shown.append(
            {
                'examples': [_example(source, int(index), assignment) for index in group[:_PICTURES]],
                'size': len(group),
                'differ': differing[number],
                'parts': _parts(assignment, group),
                'pairs': [_row(source, pair, assignment) for pair in own[:_PAIRS]],
                'more_pairs': len(own) - _PAIRS,
            }
        )
    kinds = [pair.kind for pair in duplicates.pairs]
    page = (
        environment()
        .get_template('duplicates.html.jinja')
        .render(
            title=title,
            examples=len(duplicates.groups),
            involved=sum(len(group) for group in groups),
            count=len(groups),
            kinds={kind: kinds.count(kind) for kind in ('exact', 'near', 'embedding') if kind in kinds},
            differing=sum(differing),
            straddling=sum(straddling) if assignment is not None else None,
            groups=shown,
            left_out=len(groups) - len(shown),
            unreadable=duplicates.unreadable,
        )
    )
    with atomic_text(path) as file:
        file.write(printable_lines(page))


def labels_differ(source: Source, examples: Sequence[int] | np.ndarray) -> bool:
    """Whether some of these examples, duplicates of each other, have labels that contradict each other.

    What has no label contradicts nothing.
    """
    labels = take(source.labels, np.asarray(examples))
    for task in source.tasks:
        values = labels[task.name]
        known = values[values >= 0] if values.ndim == 1 else values[~np.isnan(values).any(axis=1)]
        if len(known) and (known != known[0]).any():
            return True
    return False


def label_text(source: Source, index: int) -> str:
    """The label of an example in words: names of classes, or numbers by their names; several tasks by theirs."""
    tasks = source.tasks
    labels = take(source.labels, np.array([index]))
    texts = [task.label_text(labels[task.name][0]) for task in tasks]
    return '; '.join(f'{task.name}: {text}' if task.name else text for task, text in zip(tasks, texts, strict=True))


def _row(source: Source, pair: Pair, assignment: Sequence[Any] | None) -> tuple[Any, ...]:
    """Ids, kind, distance, labels in words, and parts or folds (None: in none)."""
    ends = (pair.first, pair.second)
    return (
        *(source.ids[end] for end in ends),
        pair.kind,
        f'{pair.distance:.4g}',
        *(label_text(source, end) for end in ends),
        *(None if assignment is None else assignment[end] for end in ends),
    )


def _parts(assignment: Sequence[Any] | None, group: np.ndarray) -> list[str]:
    """The parts or folds a group is in, each once."""
    if assignment is None:
        return []
    return list(dict.fromkeys(str(part) for index in group if (part := assignment[int(index)]) is not None))


def _example(source: Source, index: int, assignment: Sequence[Any] | None) -> dict[str, Any]:
    image = field_of(source[index], IMAGE, 'finding duplicates')
    return {
        'source': picture_source(image),
        'small': max(image.shape[:2]) < 96,
        'size': f'{image.shape[1]} × {image.shape[0]}',
        'id': source.ids[index],
        'label': label_text(source, index),
        'part': None if assignment is None or assignment[index] is None else str(assignment[index]),
    }
