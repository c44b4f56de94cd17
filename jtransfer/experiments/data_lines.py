"""What a run says about its data before anything else: the classes, the sizes of the parts, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jtransfer.data.parts import Parts, source_notes
from jtransfer.data.source import Source
from jtransfer.data.targets import count, tasks_of
from jtransfer.tasks import Task
from jtransfer.text import printable

_FEW = 5
_KINDS = {'single_label': ('class', 'classes'), 'multi_label': ('label', 'labels'), 'regression': ('number', 'numbers')}


def outputs_in_words(tasks: Sequence[Task]) -> str:
    """What is to be learnt: `2 classes (ants, bees)`, or `size: 1 number (mm), tags: 2 labels (x, y)`."""
    return ', '.join(_in_words(task) for task in tasks)


def describe_parts(parts: Parts, source: str) -> list[str]:
    """A line about the classes and sizes of the parts, and their notes.

    Args:
        parts: of the data.
        source: names the data.
    """
    uses = [(parts.train, 'train on'), (parts.validation, 'validate on'), (parts.test, 'test on')]
    sizes = [f'{len(part):,} to {use}' for part, use in uses if part is not None]
    return [f'{source}: {outputs_in_words(parts.tasks)}; images: {", ".join(sizes)}', *parts.notes]


def describe_source(part: str, sources: Mapping[str, Source], name: str) -> list[str]:
    """The same of one part that is evaluated.

    Args:
        part: its name.
        sources: by part, whose notes are told.
        name: names the data.
    """
    source = sources[part]
    of = f' of the {part} part' if len(sources) > 1 else ''
    line = f'{name}: {outputs_in_words(tasks_of(source))}; images: {count(source.labels):,}{of}'
    return [line, *source_notes(sources)]


def _in_words(task: Task) -> str:
    names = ', '.join(printable(name) for name in task.class_names[:_FEW]) + ', …' * (task.outputs > _FEW)
    kind = _KINDS[task.kind][task.outputs > 1]
    return f'{task.name + ": " if task.name else ""}{task.outputs:,} {kind} ({names})'
