"""From the name of a source, `folder:photos`, to the source."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence

from jtransfer import config
from jtransfer.data.derive.combine import filter_classes
from jtransfer.data.given import opened
from jtransfer.data.source import Source, SourceLike, check_source
from jtransfer.data.sources.digits import load_digits
from jtransfer.data.sources.folder import load_folder
from jtransfer.data.sources.glyphs import SIZES, GlyphSource
from jtransfer.data.sources.listing import has_images
from jtransfer.data.sources.part_names import PARTS, named_parts
from jtransfer.data.sources.tfds import load_tfds
from jtransfer.data.unlabelled import without_unlabelled
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.tasks.base import Task

_FORMS = {
    'digits': 'digits',
    'glyphs': 'glyphs',
    'folder': 'folder:PATH',
    'csv': 'csv:FILE',
    'parquet': 'parquet:FILE',
    'hf': 'hf:PATH',
    'npz': 'npz:FILE',
    'tfds': 'tfds:NAME',
}
# Fields that only some kinds of source read, and which kinds these are.
TABLES = ('csv', 'parquet', 'hf')
ENCODED = ('folder', *TABLES, 'tfds')
COLUMNS = ('image_column', 'label_columns', 'group_column', 'split_column', 'weight_column')
_READERS = {
    **dict.fromkeys(COLUMNS, TABLES),
    'task': (*TABLES, 'npz'),
    'data_dir': ('csv', 'parquet', 'tfds'),
    'pixel_range': ENCODED,
}
_SUFFIXES = {'.csv': 'csv', '.tsv': 'csv', '.tab': 'csv', '.parquet': 'parquet', '.pq': 'parquet', '.npz': 'npz'}


def open_source(data: config.Data, known: Sequence[Task] = ()) -> dict[str, Source]:
    """Opens `data.source` and returns the parts it has by itself; an undivided source has `train` alone.

    Args:
        data: the configuration.
        known: what a network that is to be evaluated has been trained for. The source then need not be one to train
            on: it may lack a training part, classes, label columns and labels. Empty: it is to be trained on.

    Raises:
        UserError: an unknown source, a field that the source does not read, or what the source itself refuses.
    """
    kind, _, argument = data.source.partition(':')
    if data.source == 'memory':
        raise UserError('data.source=memory: the images were handed over in Python; do so again, or name a source')
    if kind not in _FORMS or (argument and _FORMS[kind] == kind):
        raise _unknown(data.source)
    for path in (argument, data.data_dir):
        expanded(path)  # ~nobody is said here, whatever reads it
    if not argument and _FORMS[kind] != kind:
        raise UserError(f'data.source={data.source!r} names no data: write {_FORMS[kind]}')
    _check_read(data, kind)
    if kind in ('digits', 'glyphs'):
        no_names(named_parts(data), data.source)
    sources = {part: opened(source) for part, source in _open(kind, argument, data, known).items()}
    return _chosen(sources if known else without_unlabelled(sources, data.skip_unlabelled), data.classes)


def source_of_path(path: os.PathLike[str]) -> str:
    """The source that a path alone stands for: `folder:…`, `csv:…`, `parquet:…`, `npz:…` or `hf:…`, by what is there.

    Raises:
        UserError: there is nothing, or a file of no known ending.
    """
    place = expanded(path)
    if place.is_dir():
        saved = any((place / name).is_file() for name in ('dataset_dict.json', 'state.json'))
        kind = 'hf' if saved or (not has_images(place) and any(place.rglob('*.parquet'))) else 'folder'
    elif not place.exists():
        raise UserError(f'there is neither a folder nor a file {path}')
    elif place.suffix.casefold() not in _SUFFIXES:
        raise UserError(f'{path} is no folder, and its ending none of {", ".join(_SUFFIXES)}: write it as {_known()}')
    else:
        kind = _SUFFIXES[place.suffix.casefold()]
    return f'{kind}:{path}'


def given_sources(data: config.Data, source: SourceLike | Mapping[str, SourceLike]) -> dict[str, Source]:
    """The parts that were handed over in Python, with the classes that the configuration asks for.

    Raises:
        UserError: parts that cannot be those of one experiment, or a field that such a source does not read.
    """
    given = dict(source) if isinstance(source, Mapping) else {'train': source}
    _check_read(data, 'memory')
    no_names(named_parts(data), 'source')
    check_given(given, every_class=not data.classes)
    sources = {part: opened(each) for part, each in given.items()}
    return _chosen(without_unlabelled(sources, data.skip_unlabelled), data.classes)


def no_names(named: Mapping[str, str], source: str) -> None:
    """Raises `UserError` if parts are named of a source whose parts have no names."""
    for part, name in named.items():
        raise UserError(f'data.{part}_split={name!r} has no meaning for {source}, whose parts have no names')


def check_given(sources: Mapping[str, SourceLike], every_class: bool = True) -> None:
    """Checks sources that were handed over.

    Args:
        sources: by part.
        every_class: whether each class must have a training example.

    Raises:
        UserError: they cannot be the parts of one experiment.
    """
    if unknown := sorted(set(sources) - set(PARTS)):
        raise UserError(f"a part is called '{unknown[0]}', but must be one of {', '.join(PARTS)}")
    if 'train' not in sources:
        raise UserError("the sources have no part called 'train'")
    for part, given in sources.items():
        if not isinstance(given, SourceLike):
            raise UserError(f'{part} is a {type(given).__name__}, and no source of images, such as jt.ArraySource')
        source, train = opened(given), opened(sources['train'])
        check_source(source, part, every_class=every_class and part == 'train')
        if source.class_names != train.class_names:
            raise UserError(f"the classes of part '{part}' are not those of the training part")
        if source.tasks != train.tasks:
            raise UserError(f"the tasks of part '{part}' are not those of the training part")


def _open(kind: str, argument: str, data: config.Data, known: Sequence[Task]) -> dict[str, Source]:
    if kind == 'folder':
        named = named_parts(data)
        return dict(load_folder(argument, named, data.max_pixels, data.pixel_range, not known, data.confine_paths))
    if kind == 'tfds':
        return dict(load_tfds(argument, data.data_dir, named_parts(data), data.max_pixels, data.pixel_range, not known))
    if kind in ('csv', 'parquet'):
        from jtransfer.data.sources.table import load_table

        return dict(load_table(argument, data, kind, known))
    if kind == 'hf':
        from jtransfer.data.sources.hf import load_hf

        return dict(load_hf(argument, data, known))
    if kind == 'npz':
        from jtransfer.data.sources.npz import load_npz

        return dict(load_npz(argument, data, known))
    if kind == 'digits':
        return {'train': load_digits()}
    return {part: GlyphSource(part) for part in SIZES}


def _chosen(sources: Mapping[str, Source], classes: Sequence[str]) -> dict[str, Source]:
    """The sources with these classes alone; all of theirs where none is named."""
    chosen: dict[str, Source] = {}
    for part, source in sources.items():
        try:
            chosen[part] = filter_classes(source, classes) if classes else source
        except UserError as error:
            raise UserError(f'{error} ({part} part)' if part != 'train' else str(error)) from None
    return chosen


def _check_read(data: config.Data, kind: str) -> None:
    """Raises `UserError` for a field that is set and that sources of this kind do not read."""
    for field, readers in _READERS.items():
        if kind in readers or not (value := getattr(data, field)):
            continue
        what = 'images handed over in Python' if kind == 'memory' else f'data.source={data.source}'
        raise UserError(f'data.{field}={value!r} has no meaning for {what}: {", ".join(readers)} sources read it')


def _unknown(source: str) -> UserError:
    """The error for a source of no known kind, with what was probably meant."""
    kind, colon, argument = source.partition(':')
    path = expanded(source)
    known = f'data.source={source!r} is not one of {_known()}.'
    meant = difflib.get_close_matches(kind.casefold(), _FORMS, n=1, cutoff=0.5)
    if not colon and path.is_dir():
        return UserError(f"{known} Did you mean 'folder:{source}'?")
    if not colon and path.suffix.casefold() in _SUFFIXES:
        return UserError(f"{known} Did you mean '{_SUFFIXES[path.suffix.casefold()]}:{source}'?")
    if not meant:
        return UserError(known)
    form = _FORMS[meant[0]]
    takes = form.partition(':')[2]
    return UserError(f"{known} Did you mean '{form.replace(takes, argument) if takes and argument else form}'?")


def _known() -> str:
    return ', '.join(_FORMS.values())
