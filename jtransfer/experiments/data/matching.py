"""Labelled images for a network that exists: their labels are matched by name to what it has outputs for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jtransfer.checks import nearest
from jtransfer.config import Config, Data
from jtransfer.data.derive.combine import WithLabels
from jtransfer.data.given import opened
from jtransfer.data.measurable import absent_lines, check_labels
from jtransfer.data.part import Part
from jtransfer.data.source import Source
from jtransfer.data.sources.kinds import COLUMNS, kind_named
from jtransfer.data.sources.opening import open_source
from jtransfer.data.sources.part_names import named_parts
from jtransfer.data.unlabelled import has_label, unlabelled_error, without_unlabelled
from jtransfer.errors import UserError
from jtransfer.experiments.data.data_lines import describe_source
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import Task
from jtransfer.tasks.present import narrowed, present_tasks
from jtransfer.text.outside import count_of, first_few, printable


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A part of labelled images to evaluate a network on.

    Attributes:
        part: its name, or `all` of data that are not divided.
        source: the images, under the network's tasks.
        notes: lines a person should know: what was left out, and what the network knows and the data lack.
    """

    part: str
    source: Source
    notes: tuple[str, ...]


def open_for_model(
    source: str,
    model: Model,
    config: Config,
    *,
    part: str = '',
    data_dir: str = '',
    skip_unlabelled: bool = False,
) -> Opened:
    """Opens labelled images to evaluate a network on; they need not be such as one could train on.

    The columns of a table and the values of pixels mean what they meant in the network's run, and columns that it lacks
    are left out. The run's own source has the parts that the run named.

    Args:
        source: as `data.source`.
        model: the network.
        config: of its run, or the defaults.
        part: `train`, `validation` or `test`. Empty: the test part where there is one, else all there is.
        data_dir: as `data.data_dir`.
        skip_unlabelled: leave examples without a label out.

    Raises:
        UserError: no such part, or what `open_source` and `for_model` refuse.
    """
    reads = () if (kind := kind_named(source)) is None else kind.reads
    told = {name: getattr(config.data, name) for name in (*COLUMNS, 'pixel_range') if name in reads}
    table = 'label_columns' in reads
    if table:
        told['label_separator'] = config.data.label_separator
    if table and any(task.name for task in model.tasks):
        told |= {'task': 'heads', 'label_columns': told['label_columns'] or tuple(task.name for task in model.tasks)}
    elif model.tasks and 'task' in reads:
        told['task'] = model.tasks[0].kind
    told |= {name: getattr(config.data, name) for name in ('max_pixels', 'confine_paths')}
    if source == config.data.source:
        told |= {f'{name}_split': own for name, own in named_parts(config.data).items()}
    data = Data(source=source, data_dir=data_dir, **told)
    sources = open_source(data, model.tasks)
    divided = len(sources) > 1 or 'train' not in sources
    name = pick(part, sources, source)
    notes = describe_source(name, sources, source)
    if skip_unlabelled and not part and not has_label(sources[name]).any():
        others = {other: own for other, own in sources.items() if other != 'train' and has_label(own).any()}
        if name != 'train' and not others:
            # What is left may be what the network was trained on.
            said = f'the {name} part of {source} has no labels'
            raise UserError(f'{said}; part=train evaluates on the training part')
        notes.append(f'the {name} part has no labels and was left out')
        name = pick(part, others, source) if others else name
    chosen = sources[name]
    where = f'the {name} part of {source}' if divided else source
    if skip_unlabelled:
        if not has_label(chosen).any():
            raise unlabelled_error(chosen, where, skip=True)
        kept = without_unlabelled({name: chosen}, skip=True)[name]
        if kept is not chosen:
            notes.append(f'{count_of(len(chosen) - len(kept), "example")} without a label left out')
        chosen = kept
    elif not has_label(chosen).all() and len(model.tasks) == 1 and model.tasks[0].exclusive:
        raise unlabelled_error(chosen, where, field='skip_unlabelled')
    elif unlabelled := int((~has_label(chosen)).sum()):
        notes.append(f'{unlabelled:,} of the {len(chosen):,} examples have no label and are not measured')
    matched = for_model(chosen, model, where)
    return Opened(name if divided else 'all', matched, (*notes, *absent_lines(model.tasks, matched.labels, where)))


def labelled_for_model(source: Source, model: Model, where: str, skip: bool) -> Source:
    """The source, of one label an image without the examples that have none.

    Args:
        source: labelled images.
        model: the network.
        where: names them in errors.
        skip: whether such examples are left out.

    Raises:
        UserError: there are some, and they are not to be left out; or there are no others.
    """
    known = has_label(source)
    if known.all() or not (skip or (len(model.tasks) == 1 and model.tasks[0].exclusive)):
        return source
    if not skip or not known.any():
        raise unlabelled_error(source, where, skip, 'skip_unlabelled')
    return Part(source, np.flatnonzero(known))


def pick(part: str, sources: Mapping[str, Source], what: str) -> str:
    """The part that is asked for, or else the one to evaluate on.

    Raises:
        UserError: there is no such part.
    """
    if part and part not in sources:
        raise UserError(f'{what} has no {part} part; it has {", ".join(sources)}')
    return part or next(name for name in ('test', 'validation', 'train') if name in sources)


def for_model(source: Source, model: Model, what: str) -> Source:
    """The source under a model's tasks, heads, classes and numbers matched by name, in whatever order.

    What the model has outputs for and the source no labels of is without a label (NaN or -1) there. Of a table with all
    the names of an image in one column, a class that no image has is known to be absent, 0.

    Args:
        source: labelled images.
        model: the network.
        what: names the source in errors.

    Raises:
        UserError: labels of something that the model has no output for, or none that can be measured.
    """
    matched = match(source, model.tasks, what)
    for own in (found := present_tasks(model.tasks, matched.labels)):
        check_labels(own.task, narrowed(matched.labels, found), what)
    return matched


def match(source: Source, tasks: Sequence[Task], what: str) -> Source:
    """The source under other tasks, see `for_model`; itself where they are the same."""
    source = opened(source)
    theirs = source.tasks
    if heads.matches(theirs, tasks):
        return source
    known = {task.name: task for task in tasks}
    for task in theirs:
        if task.name not in known or task.kind != known[task.name].kind:
            close = nearest(task.name, known) if task.name and task.name not in known else ''
            raise UserError(
                f'{what} has labels for {heads.in_words(theirs)}, and the model has heads for '
                f'{heads.in_words(tasks) or "nothing"}: names and kinds must be the same.{close}'
            )
    own = {task.name: task for task in theirs}
    labels = {
        name: task.unlabelled(len(source.ids))
        if name not in own
        else _matched(source.labels[name], own[name], task, what, source.complete)
        for name, task in known.items()
    }
    return WithLabels(source, labels, tuple(tasks))


def _matched(labels: np.ndarray, theirs: Task, ours: Task, what: str, complete: bool) -> np.ndarray:
    """The labels of a task under the numbers, or columns, that its outputs have in another of the same kind."""
    known = {name: index for index, name in enumerate(ours.class_names)}
    _check_known(theirs.needed_names(labels), known, what, 'class' if theirs.has_classes else 'number')
    return ours.reordered(labels, theirs, complete=complete)


def _check_known(names: Sequence[str], known: Mapping[str, int], what: str, kind: str) -> None:
    if unknown := [name for name in names if name not in known]:
        raise UserError(
            f"{what} has the {kind} '{printable(unknown[0])}' ({len(unknown)} such), which the model does not know; it "
            f'knows {first_few(tuple(known))}.{nearest(unknown[0], known)}'
        )
