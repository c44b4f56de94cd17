"""What a run says about its data before anything else: the classes, the sizes of the parts, what was left out."""

from __future__ import annotations

from collections.abc import Mapping

from jtransfer.data.measurable import without_figure
from jtransfer.data.parts import Parts, source_notes
from jtransfer.data.source import Source
from jtransfer.pretrained.load import heads


def describe_parts(parts: Parts, source: str) -> list[str]:
    """A line about the classes and sizes of the parts, their notes, and classes that have no figure.

    Args:
        parts: of the data.
        source: names the data.
    """
    uses = [(parts.train, 'train on'), (parts.validation, 'validate on'), (parts.test, 'test on')]
    sizes = [f'{len(part):,} to {use}' for part, use in uses if part is not None]
    return [
        f'{source}: {heads.in_words(parts.tasks)}; images: {", ".join(sizes)}',
        *parts.notes,
        *without_figure(parts),
    ]


def describe_source(part: str, sources: Mapping[str, Source], name: str) -> list[str]:
    """The same of one part that is evaluated.

    Args:
        part: its name.
        sources: by part, whose notes are told.
        name: names the data.
    """
    source = sources[part]
    of = f' of the {part} part' if len(sources) > 1 else ''
    line = f'{name}: {heads.in_words(source.tasks)}; images: {len(source.ids):,}{of}'
    return [line, *source_notes(sources)]
