"""Examples without a label (class -1, an empty cell, NaN): said before training, or left out on request."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from jtransfer.data.part import Part
from jtransfer.data.source import Source
from jtransfer.errors import UserError
from jtransfer.tasks.base import labelled


@dataclasses.dataclass(frozen=True, eq=False)
class Kept(Part):
    """The examples of a source that were kept.

    Attributes:
        notes: of the source, and about those that were left out.
    """

    notes: tuple[str, ...] = ()

    @functools.cached_property
    def missing(self) -> int:
        """How many files of the source are not there."""
        return self.source.missing


def has_label(source: Source) -> Bool[np.ndarray, ' n']:
    """Which examples have a label for one task at least."""
    return np.any([labelled(source.labels[task.name]) for task in source.tasks], axis=0)


def without_unlabelled(sources: Mapping[str, Source], skip: bool) -> dict[str, Source]:
    """The sources by part, without the examples that have no label.

    A part without any label is left out whole: the data are then divided as if the source had no such part. With one
    label an image, an example without it is an error unless it is to be skipped; other tasks take what labels there
    are, so that such examples stay, and are said, unless they are to be skipped.

    Args:
        sources: by part; no image is decoded.
        skip: leave such examples out, and say so in the notes of what is left.

    Raises:
        UserError: an example without a label (of one label an image) that is not to be skipped, or a training part
            without any.
    """
    kept: dict[str, Source] = {}
    gone: list[str] = []
    for part, source in sources.items():
        known = has_label(source)
        tasks = source.tasks
        needed = len(tasks) == 1 and tasks[0].exclusive
        total, lost = len(known), int((~known).sum())
        if not lost:
            kept[part] = source
            continue
        if not (skip or needed):
            said = (
                f'{lost:,} of the {total:,} examples of the {part} part have no label: nothing is learnt from them or '
                'measured on them (data.skip_unlabelled leaves them out)'
            )
            kept[part] = Kept(source, np.arange(total), (*source.notes, said))
            continue
        if not skip or (lost == total and part == 'train'):
            raise unlabelled_error(source, f'the {part} part', skip)
        if lost == total:
            gone.append(
                f'the {part} part has no labels: its {total:,} examples were left out (data.skip_unlabelled), as if '
                f'there were no {part} part'
            )
            continue
        said = f'{lost:,} of the {total:,} examples of the {part} part have no label and were left out'
        kept[part] = Kept(source, np.flatnonzero(known), (*source.notes, said))
    if gone:
        train = kept['train']
        whole, indices = (train.source, train.indices) if isinstance(train, Kept) else (train, np.arange(len(train)))
        kept['train'] = Kept(whole, indices, (*train.notes, *gone))
    return kept


def unlabelled_error(source: Source, where: str, skip: bool = False, field: str = 'data.skip_unlabelled') -> UserError:
    """The error for examples without a label; with `skip`, that there are no others.

    Args:
        source: has some.
        where: names its part.
        skip: whether such examples are left out already.
        field: what leaves them out.
    """
    known = has_label(source)
    total, lost = len(known), int((~known).sum())
    first = source.ids[int(np.flatnonzero(~known)[0])]
    if lost == total:
        leaves = '' if skip else f'; {field}=true leaves such a part out'
        return UserError(f'none of the {total:,} examples of {where} has a label (the first is {first}){leaves}')
    return UserError(
        f'{lost:,} of the {total:,} examples of {where} have no label (the first is {first}); {field}=true leaves them '
        'out'
    )
