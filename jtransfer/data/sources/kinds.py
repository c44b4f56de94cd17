"""The table of sources: what `data.source` may name, what each reads of the configuration, and what opens it."""

from __future__ import annotations

import dataclasses
import difflib
import pkgutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from jtransfer.checks import nearest, new_name
from jtransfer.config.data import Data
from jtransfer.errors import UserError

if TYPE_CHECKING:
    from jtransfer.data.source import SourceLike
    from jtransfer.tasks.base import Task

# From what stands behind the colon, the configuration, and what a network that is to be evaluated has been trained for
# (nothing: the source is to be trained on; see `opening.open_source`), to the parts by name, or to an undivided source.
Open: TypeAlias = Callable[[str, Data, Sequence['Task']], 'Mapping[str, SourceLike] | SourceLike']

COLUMNS = ('image_column', 'label_columns', 'group_column', 'split_column', 'weight_column')
SPLITS = ('train_split', 'validation_split', 'test_split')
# Fields of the configuration that only some sources read. All others mean something for every source.
FIELDS = (*COLUMNS, 'task', 'data_dir', 'pixel_range', *SPLITS)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of source.

    Attributes:
        name: what stands before the colon.
        takes: what stands behind it, in a word: `PATH`, `FILE`, `NAME`. Empty: nothing does.
        opens: the function that opens it, or where it is, `module:function`, to be imported when it is needed.
        reads: which of `FIELDS` it reads; the others are refused.
        suffixes: endings of its files, lower case.
        marks: whether a folder is such data, a function or where it is. None: no folder is known by what is in it.
        added: whether it was made known by `add_source`.
    """

    name: str
    takes: str
    opens: str | Open
    reads: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    marks: str | Callable[[Path], bool] | None = None
    added: bool = False

    @property
    def form(self) -> str:
        """How such a source is written."""
        return f'{self.name}:{self.takes}' if self.takes else self.name

    def open(self, argument: str, data: Data, known: Sequence[Task]) -> dict[str, SourceLike]:
        """The parts of a source; the arguments are those of `Open`."""
        opens: Open = pkgutil.resolve_name(self.opens) if isinstance(self.opens, str) else self.opens
        found = opens(argument, data, known)
        return dict(found) if isinstance(found, Mapping) else {'train': found}

    def is_in(self, folder: Path) -> bool:
        """Whether a folder is known to be such data by what is in it."""
        marks = pkgutil.resolve_name(self.marks) if isinstance(self.marks, str) else self.marks
        return marks is not None and bool(marks(folder))


_TABLE = (*COLUMNS, 'task', 'data_dir', 'pixel_range', *SPLITS)
_HUB = (*COLUMNS, 'task', 'pixel_range', *SPLITS)
_HERE = 'jtransfer.data.sources'
_KINDS = {
    kind.name: kind
    for kind in (
        Kind('digits', '', f'{_HERE}.digits:open_digits'),
        Kind('glyphs', '', f'{_HERE}.glyphs:open_glyphs'),
        Kind('folder', 'PATH', f'{_HERE}.folder:open_folder', ('pixel_range', *SPLITS)),
        Kind('csv', 'FILE', f'{_HERE}.table:open_csv', _TABLE, ('.csv', '.tsv', '.tab')),
        Kind('parquet', 'FILE', f'{_HERE}.table:open_parquet', _TABLE, ('.parquet', '.pq')),
        Kind('hf', 'PATH', f'{_HERE}.hf:load_hf', _HUB, marks=f'{_HERE}.hf_layout:is_data_set'),
        Kind('npz', 'FILE', f'{_HERE}.npz:load_npz', ('task', *SPLITS), ('.npz',)),
        Kind('tfds', 'NAME', f'{_HERE}.tfds:open_tfds', ('data_dir', 'pixel_range', *SPLITS)),
    )
}
# What a folder is that is known to be nothing else.
_ANY_FOLDER = 'folder'
# Images that were handed over in Python; `data.source` says so in the configuration of such a run.
MEMORY = Kind('memory', '', '')


def add_source(
    name: str,
    opens: Open,
    *,
    takes: str = 'PATH',
    reads: Collection[str] = (),
    suffixes: Collection[str] = (),
    marks: Callable[[Path], bool] | None = None,
) -> None:
    """Makes a kind of source known, so that `data.source=NAME:…` opens it wherever a source is named.

    Call it before the name is used, in every process that opens such a source.

    >>> add_source('scans', open_scans, reads=['data_dir'], suffixes=['.scan'])  # doctest: +SKIP

    Args:
        name: what stands before the colon, letters, digits and underscores.
        opens: from what stands behind the colon, `config.Data` and the tasks of a network that is to be evaluated
            (none: the source is to be trained on) to the parts `train`, `validation` and `test`, those that there are,
            or to a source that is undivided. Each is a `data.source.Source`, or has as much as a `SourceLike`.
        takes: what stands behind the colon, in a word, for errors. Empty: nothing does.
        reads: which of `FIELDS` (`data_dir`, `task`, `train_split`, …) it reads; the others are refused.
        suffixes: endings of its files (`.scan`), by which a path alone is known for such a source.
        marks: whether a folder is such data, by which a path alone is known too.

    Raises:
        UserError: a name or an ending that another kind has, a name that cannot be, or fields that are none.
    """
    kind = Kind(name, takes, opens, tuple(reads), tuple(map(str.casefold, suffixes)), marks, added=True)
    new_name('a source', name, taken=name == MEMORY.name or _KINDS.get(name, kind) != kind)
    for field in reads:
        if field not in FIELDS:
            raise UserError(f"source '{name}' reads data.{field}, which is for every source.{nearest(field, FIELDS)}")
    for suffix in kind.suffixes:
        if (other := kind_of_suffix(suffix)) not in (None, kind):
            raise UserError(f"source '{name}': files that end in {suffix} are {other.name} sources already")
    _KINDS[name] = kind


def kind_named(source: str) -> Kind | None:
    """The kind of what `data.source` names, or None where there is none of this name."""
    return _KINDS.get(source.partition(':')[0])


def kind_of_suffix(suffix: str) -> Kind | None:
    """The kind of files with this ending, or None."""
    return next((kind for kind in _KINDS.values() if suffix.casefold() in kind.suffixes), None)


def kind_of_folder(folder: Path) -> Kind:
    """The kind of a folder, by what is in it; what was added is asked first."""
    asked = sorted(_KINDS.values(), key=lambda kind: not kind.added)
    return next((kind for kind in asked if kind.is_in(folder)), _KINDS[_ANY_FOLDER])


def readers(field: str) -> tuple[str, ...]:
    """Names of the kinds that read a field of the configuration."""
    return tuple(kind.name for kind in _KINDS.values() if field in kind.reads)


def suffixes() -> tuple[str, ...]:
    """All endings that are known."""
    return tuple(suffix for kind in _KINDS.values() for suffix in kind.suffixes)


def forms() -> str:
    """How all sources are written, as a list."""
    return ', '.join(kind.form for kind in _KINDS.values())


def meant(word: str) -> Kind | None:
    """The kind that is called most like a word, or None."""
    close = difflib.get_close_matches(word.casefold(), _KINDS, n=1, cutoff=0.5)
    return _KINDS[close[0]] if close else None
