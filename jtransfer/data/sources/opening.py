"""From the name of a source, `folder:photos`, to the source."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from jtransfer import config
from jtransfer.data.derive.combine import filter_classes
from jtransfer.data.given import opened
from jtransfer.data.source import Source, SourceLike, check_source
from jtransfer.data.sources import kinds
from jtransfer.data.sources.part_names import PARTS
from jtransfer.data.unlabelled import without_unlabelled
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.tasks.base import Task


def open_source(data: config.Data, known: Sequence[Task] = ()) -> dict[str, Source]:
    """Opens `data.source` and returns the parts it has by itself; an undivided source has `train` alone.

    Args:
        data: the configuration.
        known: what a network that is to be evaluated has been trained for. The source then need not be one to train
            on: it may lack a training part, classes, label columns and labels. Empty: it is to be trained on.

    Raises:
        UserError: an unknown source, a field that the source does not read, or what the source itself refuses.
    """
    kind, argument = kinds.kind_named(data.source), data.source.partition(':')[2]
    if data.source == kinds.MEMORY.name:
        raise UserError('data.source=memory: the images were handed over in Python; do so again, or name a source')
    if kind is None or (argument and not kind.takes):
        raise _unknown(data.source)
    for path in (argument, data.data_dir):
        expanded(path)  # ~nobody is said here, whatever reads it
    if not argument and kind.takes:
        raise UserError(f'data.source={data.source!r} names no data: write {kind.form}')
    _check_read(data, kind)
    found = kind.open(argument, data, known)
    if kind.added:
        check_given(found, every_class=not data.classes, training=not known)
    sources = {part: opened(source) for part, source in found.items()}
    return _chosen(sources if known else without_unlabelled(sources, data.skip_unlabelled), data.classes)


def source_of_path(path: os.PathLike[str]) -> str:
    """The source that a path alone stands for, such as `folder:…` or `csv:…`, by what is there.

    Raises:
        UserError: there is nothing, or a file of no known ending.
    """
    place = expanded(path)
    if place.is_dir():
        kind = kinds.kind_of_folder(place)
    elif not place.exists():
        raise UserError(f'there is neither a folder nor a file {path}')
    elif (own := kinds.kind_of_suffix(place.suffix)) is None:
        endings = ', '.join(kinds.suffixes())
        raise UserError(f'{path} is no folder, and its ending none of {endings}: write it as {kinds.forms()}')
    else:
        kind = own
    return f'{kind.name}:{path}'


def given_sources(data: config.Data, source: SourceLike | Mapping[str, SourceLike]) -> dict[str, Source]:
    """The parts that were handed over in Python, with the classes that the configuration asks for.

    Raises:
        UserError: parts that cannot be those of one experiment, or a field that such a source does not read.
    """
    given = dict(source) if isinstance(source, Mapping) else {'train': source}
    _check_read(data, kinds.MEMORY)
    check_given(given, every_class=not data.classes)
    sources = {part: opened(each) for part, each in given.items()}
    return _chosen(without_unlabelled(sources, data.skip_unlabelled), data.classes)


def check_given(sources: Mapping[str, SourceLike], every_class: bool = True, training: bool = True) -> None:
    """Checks sources that somebody made.

    Args:
        sources: by part.
        every_class: whether each class must have a training example.
        training: whether they are to be trained on. Without, any part will do, and classes may be missing.

    Raises:
        UserError: they cannot be the parts of one experiment.
    """
    if unknown := sorted(set(sources) - set(PARTS)):
        raise UserError(f"a part is called '{unknown[0]}', but must be one of {', '.join(PARTS)}")
    if not sources or (training and 'train' not in sources):
        raise UserError("the sources have no part called 'train'")
    for part, given in sources.items():
        if not isinstance(given, SourceLike):
            raise UserError(f'{part} is a {type(given).__name__}, and no source of images, such as jt.ArraySource')
        source = opened(given)
        check_source(source, part, every_class=every_class and training and part == 'train')
        if not training:
            continue
        train = opened(sources['train'])
        if source.class_names != train.class_names:
            raise UserError(f"the classes of part '{part}' are not those of the training part")
        if source.tasks != train.tasks:
            raise UserError(f"the tasks of part '{part}' are not those of the training part")


def _chosen(sources: Mapping[str, Source], classes: Sequence[str]) -> dict[str, Source]:
    """The sources with these classes alone; all of theirs where none is named."""
    chosen: dict[str, Source] = {}
    for part, source in sources.items():
        try:
            chosen[part] = filter_classes(source, classes) if classes else source
        except UserError as error:
            raise UserError(f'{error} ({part} part)' if part != 'train' else str(error)) from None
    return chosen


def _check_read(data: config.Data, kind: kinds.Kind) -> None:
    """Raises `UserError` for a field that is set and that sources of this kind do not read."""
    for field in kinds.FIELDS:
        if field in kind.reads or not (value := getattr(data, field)):
            continue
        what = 'images handed over in Python' if kind is kinds.MEMORY else f'data.source={data.source}'
        if field in kinds.SPLITS:
            raise UserError(f'data.{field}={value!r} has no meaning for {what}, whose parts have no names')
        readers = ', '.join(kinds.readers(field))
        raise UserError(f'data.{field}={value!r} has no meaning for {what}: {readers} sources read it')


def _unknown(source: str) -> UserError:
    """The error for a source of no known kind, with what was probably meant."""
    word, colon, argument = source.partition(':')
    path = expanded(source)
    known = f'data.source={source!r} is not one of {kinds.forms()}.'
    if not colon and path.is_dir():
        return UserError(f"{known} Did you mean '{kinds.kind_of_folder(path).name}:{source}'?")
    if not colon and (of := kinds.kind_of_suffix(path.suffix)):
        return UserError(f"{known} Did you mean '{of.name}:{source}'?")
    if not (kind := kinds.meant(word)):
        return UserError(known)
    form = f'{kind.name}:{argument}' if kind.takes and argument else kind.form
    return UserError(f"{known} Did you mean '{form}'?")
