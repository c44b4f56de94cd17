"""What of a folder of images is not used, counted, so that all its files are accounted for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from jtransfer.data.decode import image_kinds
from jtransfer.data.sources.listing import (
    Files,
    count_files,
    entries,
    folder_key,
    is_folder,
    is_hidden,
    is_image,
    list_files,
)
from jtransfer.text.outside import count_of, first_few, printable_path


@dataclasses.dataclass(frozen=True)
class Beside:
    """What is in a folder beside the folders that are read.

    Attributes:
        strays: the files that lie in the folder itself.
        folders: what the other folders hold, by their names.
    """

    strays: Files = dataclasses.field(default_factory=Files)
    folders: Mapping[str, Files] = dataclasses.field(default_factory=dict)


def beside(folder: Path, taken: Collection[Path], root: Path) -> Beside:
    """Counts what is in a folder but not in the folders that are taken.

    Args:
        folder: the folder. A link that leads back to it, to what it is in, into what is taken or to what has been
            counted has no files of its own.
        taken: sub-folders of it, at any depth; what is between them and the folder counts.
        root: of all images, see `list_files`.
    """
    return _beside(folder, taken, root, {folder_key(path) for path in (folder, *folder.resolve().parents)})


def _beside(folder: Path, taken: Collection[Path], root: Path, seen: set[tuple[int, int]]) -> Beside:
    """As `beside`; `seen` are the folders that have been counted, and those that are above the first."""
    strays = Files()
    folders: dict[str, Files] = {}
    keys = {folder_key(path) for path in taken}
    above = {folder_key(parent) for parent in {parent for path in taken for parent in path.parents}} - seen
    # Folders before the links that lead to them, so that each is told by its own name.
    for entry in sorted(entries(folder), key=lambda entry: entry.is_symlink()):
        path = Path(entry.path)
        if is_folder(entry) and is_hidden(entry.name):
            strays += Files(hidden=count_files(entry.path))
            continue
        key = folder_key(path) if is_folder(entry) else None
        if key is not None:
            around = path.resolve().parents if entry.is_symlink() else ()
            if key in keys or key in seen or any(folder_key(parent) in keys for parent in around):
                continue
            seen.add(key)
        if key in above:
            inner = _beside(path, taken, root, seen)
            strays += inner.strays
            folders |= inner.folders
        elif key is not None:
            folders[printable_path(os.path.relpath(path, root))] = list_files(path, root)
        elif is_hidden(entry.name):
            strays += Files(hidden=1)
        else:
            strays += Files((entry.path,)) if is_image(entry.name) else Files((), (entry.path,))
    return Beside(strays, folders)


def left_out(found: Sequence[Beside], below: Sequence[Files], root: Path) -> list[str]:
    """Lines that say what of a folder is not used, so that all its files are accounted for.

    Args:
        found: what is beside the class folders and the parts.
        below: what is in the class folders, whose images are used.
        root: what file names are relative to.
    """
    lines = []
    strays = [path for each in found for path in each.strays.images]
    if strays:
        names = first_few([printable_path(os.path.relpath(path, root)) for path in strays], 3)
        lines.append(f'{count_of(len(strays), "image")} beside the class folders left out: {names}')
    folders = {name: files for each in found for name, files in each.folders.items()}
    for name, files in folders.items():
        if files.images:
            lines.append(f"{count_of(len(files.images), 'image')} in '{name}' left out, which is no part")
    if empty := [name for name, files in folders.items() if not files.images]:
        lines.append(f'{count_of(len(empty), "folder")} without images left out: {first_few(empty, 3)}')
    everything = [*below, *(each.strays for each in found), *folders.values()]
    others = [path for files in everything for path in files.others]
    lines += image_kinds.left_out(image_kinds.count_endings(map(os.path.basename, others)), 'in the folders')
    if hidden := sum(files.hidden for files in everything):
        lines.append(f'{count_of(hidden, "hidden file")} left out')
    return lines
