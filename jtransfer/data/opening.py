"""From the name of a source, `folder:photos`, to the source."""

from __future__ import annotations

from collections.abc import Mapping

from jtransfer import config, config_check
from jtransfer.data.combine import filter_classes
from jtransfer.data.digits import load_digits
from jtransfer.data.folder import load_folder
from jtransfer.data.glyphs import SIZES, GlyphSource
from jtransfer.data.source import Source, check_source
from jtransfer.data.targets import tasks_of
from jtransfer.data.tfds_source import load_tfds
from jtransfer.errors import UserError

PARTS = ('train', 'validation', 'test')
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
# Fields that only a source with columns reads.
_COLUMNS = ('image_column', 'label_columns', 'group_column', 'split_column', 'weight_column')


def open_source(data: config.Data) -> dict[str, Source]:
    """Opens `data.source` and returns the parts it has by itself; an undivided source has `train` alone.

    Raises:
        UserError: an unknown source, a field that the source does not read, or what the source itself refuses.
    """
    kind, _, argument = data.source.partition(':')
    if data.source == 'memory':
        raise UserError('data.source=memory: the images were handed over in Python; do so again, or name a source')
    if kind not in _FORMS or (argument and _FORMS[kind] == kind):
        config_check.one_of('data.source', data.source, tuple(_FORMS.values()))
    if not argument and _FORMS[kind] != kind:
        raise UserError(f'data.source={data.source!r} names no data: write {_FORMS[kind]}')
    if kind not in ('csv', 'parquet', 'hf'):
        _no_columns(data, kind)
    if kind in ('digits', 'glyphs', 'npz'):
        no_names(named_parts(data), data.source)
    sources = _open(kind, argument, data)
    if data.classes:
        return {part: filter_classes(source, data.classes) for part, source in sources.items()}
    return sources


def named_parts(data: config.Data) -> dict[str, str]:
    """What the person calls the parts of the source."""
    return {'train': data.train_split, 'validation': data.validation_split, 'test': data.test_split}


def no_names(named: Mapping[str, str], source: str) -> None:
    """Raises `UserError` if parts are named of a source whose parts have no names."""
    for part, name in named.items():
        if name:
            raise UserError(f'data.{part}_split={name!r} has no meaning for {source}, whose parts have no names')


def check_given(sources: Mapping[str, Source]) -> None:
    """Raises `UserError` for sources that were handed over and cannot be the parts of one experiment."""
    if unknown := sorted(set(sources) - set(PARTS)):
        raise UserError(f"a part is called '{unknown[0]}', but must be one of {', '.join(PARTS)}")
    if 'train' not in sources:
        raise UserError("the sources have no part called 'train'")
    for part, given in sources.items():
        check_source(given, part, every_class=part == 'train')
        if given.class_names != sources['train'].class_names:
            raise UserError(f"the classes of part '{part}' are not those of the training part")
        if tasks_of(given) != tasks_of(sources['train']):
            raise UserError(f"the tasks of part '{part}' are not those of the training part")


def _open(kind: str, argument: str, data: config.Data) -> dict[str, Source]:
    if kind == 'folder':
        return dict(load_folder(argument, named_parts(data), data.max_pixels))
    if kind == 'tfds':
        return dict(load_tfds(argument, data.data_dir, named_parts(data), data.max_pixels))
    if kind in ('csv', 'parquet'):
        from jtransfer.data.table_source import load_table

        return dict(load_table(argument, data))
    if kind == 'hf':
        from jtransfer.data.hf_source import load_hf

        return dict(load_hf(argument, data))
    if kind == 'npz':
        from jtransfer.data.array_file import load_npz

        return dict(load_npz(argument, data))
    if kind == 'digits':
        return {'train': load_digits()}
    return {part: GlyphSource(part) for part in SIZES}


def _no_columns(data: config.Data, kind: str) -> None:
    for field in (*_COLUMNS, *(('task',) if kind != 'npz' else ())):
        if value := getattr(data, field):
            raise UserError(f'data.{field}={value!r} has no meaning for data.source={data.source}: it is of tables')
