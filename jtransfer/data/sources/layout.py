"""The layout of a folder of images: which of its sub-folders are parts, which are classes, and what is neither."""

from __future__ import annotations

import collections
import dataclasses
import difflib
import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from jtransfer.data.sources.listing import (
    entries,
    folder_key,
    has_images,
    is_folder,
    is_hidden,
    is_image,
    list_files,
    subfolders,
)
from jtransfer.data.sources.part_names import FIELDS, PARTS, check_known, part_called, two_of_a_kind
from jtransfer.errors import UserError
from jtransfer.text.outside import first_few, printable

# Names the folder itself as the training part, so that all its sub-folders are classes.
WHOLE = '.'


@dataclasses.dataclass(frozen=True)
class _Child:
    """A sub-folder: its path, the part that its name stands for, and where its images are.

    Attributes:
        path: of the folder.
        part: by its name, '' for none.
        direct: whether there are images in the folder itself.
        below: its own sub-folders that hold images, by name.
    """

    path: Path
    part: str
    direct: bool
    below: tuple[str, ...]

    @property
    def name(self) -> str:
        """As a person reads it."""
        return printable(self.path.name)


def find_parts(root: Path, named: Mapping[str, str], training: bool = True) -> dict[str, Path]:
    """The folders of the parts, none where the sub-folders of the root are the classes.

    A sub-folder that is called like a part (see `part_called`) is one if it holds folders of images and no image
    itself, or if one that is called like another part is beside it. A class may thus be called 'train' or 'valid'.

    Args:
        root: the folder.
        named: what the person calls the parts, those that are named; `.` is the root itself.
        training: whether there must be a training part. Without, folders whose names say nothing are classes, which
            are then matched by name.

    Raises:
        UserError: a named folder that is missing, two folders or none for a part, sub-folders that look like parts and
            are not called so, or a folder of images beside the parts where no part is named.
    """
    if named:
        return _named_parts(root, named, training)
    children = [_look(child, root) for child in subfolders(root)]
    filled = [child for child in children if child.direct or child.below]
    known = [child for child in filled if child.part]
    if not any(child.below and not child.direct for child in known) and len({child.part for child in known}) < 2:
        if training:
            _check_classes(root, filled)
        return {}
    # A part may hold nothing but empty class folders, which is said where it is read.
    parts = [child for child in children if child.part and (child in known or subfolders(child.path))]
    found = _one_each(root, [child for child in parts if child.below or not child.direct])
    names = {part: path.name for part, path in found.items()}
    if not training:
        return found
    if 'train' not in found:
        raise _no_train(root, parts, list(names.values()))
    odd = [child for child in filled if not child.part or not child.below]
    whole = f', and data.train_split={WHOLE} takes all sub-folders for the classes'
    check_known(str(root), names, [_described(child, root) for child in odd], named, whole)
    return found


def check_folder(folder: Path, prefix: str = '') -> None:
    """Raises `UserError` for what is no folder, with what was probably meant."""
    if folder.is_dir():
        return
    if folder.exists():
        raise UserError(f'{prefix}{folder} is a file, but must be a folder')
    parent = folder.parent
    siblings = [child.name for child in subfolders(parent)] if parent.is_dir() else []
    close = difflib.get_close_matches(folder.name, siblings, n=1)
    raise UserError(
        f'{prefix}there is no folder {folder}' + (f". Did you mean '{parent / close[0]}'?" if close else '')
    )


def _named_parts(root: Path, named: Mapping[str, str], training: bool) -> dict[str, Path]:
    folders = {part: root / name for part, name in named.items()}
    for part, folder in folders.items():
        check_folder(folder, f'data.{part}_split={named[part]}: ')
    if named.get('train') == WHOLE:
        return folders
    taken = {folder_key(folder) for folder in folders.values()}
    children = [_look(child, root) for child in subfolders(root)]
    free = [child for child in children if child.part not in named and (child.part == 'train' or not _in(child, taken))]
    folders |= _one_each(root, [child for child in free if child.part and child.below])
    if training and 'train' not in folders:
        raise _no_train(root, (), list(named.values()))
    return {part: folders[part] for part in PARTS if part in folders}


def _one_each(root: Path, children: Iterable[_Child]) -> dict[str, Path]:
    found: dict[str, list[Path]] = {part: [] for part in PARTS}
    for child in children:
        found[child.part].append(child.path)
    for part, paths in found.items():
        if len(paths) > 1:
            raise two_of_a_kind(str(root), [path.name for path in paths], part)
    return {part: paths[0] for part, paths in found.items() if paths}


def _no_train(root: Path, parts: Sequence[_Child], names: Sequence[str] = ()) -> UserError:
    names = [*names, *(child.name for child in parts)]
    whole = f'data.train_split={WHOLE} takes the sub-folders of {root} for the classes'
    if any(child.part == 'train' for child in parts):
        return UserError(
            f'{root}: {first_few(names)} are called like parts, but the training part holds images and no class '
            f'folders; {whole}'
        )
    return UserError(
        f"{root} has a folder '{printable(names[0])}' but no train folder: name it with data.train_split; {whole}"
    )


def _check_classes(root: Path, children: Sequence[_Child]) -> None:
    """Raises `UserError` where folders that would be classes look like parts, or like classes of parts.

    Parts hold the same classes: folders of images, and no images themselves. A single name that all have (`images`)
    says nothing, for a part has two classes or more.
    """
    nested = [child for child in children if child.below]
    pure = [child for child in nested if not child.direct]
    classes = f'; data.train_split={WHOLE} takes the sub-folders of {root} for the classes as they are'
    siblings = {_folded(child.path.name) for child in children}
    for child in pure:
        same = [name for name in child.below if _folded(name) in siblings - {_folded(child.path.name)}]
        if len(same) > 1 and 2 * len(same) >= len(child.below):
            raise UserError(
                f"{root}: '{child.name}' holds folders that are called like those beside it ({first_few(same)}), as a "
                f'part would: say which parts there are with {FIELDS}{classes}'
            )
    times = collections.Counter(name for child in nested for name in {*map(_folded, child.below)})
    shared = sorted(name for name, number in times.items() if number > 1)
    if not pure or len(nested) < 2 or len(times) < 2 or 2 * len(shared) < len(times):
        return
    names = first_few([f"'{child.name}'" for child in nested], 3)
    if len({part_called(name) for name in shared} - {''}) > 1:
        raise UserError(
            f'{root}: {names} hold the folders {first_few(shared)}, which are called like parts: these must stand '
            f'above the classes, not in them{classes}'
        )
    raise UserError(
        f'{root}: {names} hold folders of the same names ({first_few(shared)}), as parts would, and are not called '
        f'like parts: say which they are with {FIELDS}{classes}'
    )


def _look(folder: Path, root: Path) -> _Child:
    files = [entry.name for entry in entries(folder) if not is_folder(entry)]
    direct = any(is_image(name) and not is_hidden(name) for name in files)
    # A link that leads back holds nothing of its own.
    back = os.path.realpath(folder) in {str(each) for each in (Path(os.path.realpath(root)), *root.resolve().parents)}
    below = () if back else tuple(child.name for child in subfolders(folder) if has_images(child, root))
    return _Child(folder, part_called(folder.name), direct and not back, below)


def _described(child: _Child, root: Path) -> str:
    images = len(list_files(child.path, root).images)
    what = ', without class folders' if not child.below else ''
    return f"'{child.name}' ({images:,} image{'s' * (images > 1)}{what})"


def _folded(name: str) -> str:
    return unicodedata.normalize('NFC', name).casefold()


def _in(child: _Child, taken: Collection[tuple[int, int]]) -> bool:
    return folder_key(child.path) in taken
