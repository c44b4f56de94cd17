"""The files below a folder: images, other files, and those that are hidden."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from jtransfer.data.decode import image_kinds
from jtransfer.errors import UserError
from jtransfer.text.outside import printable_path

_SYSTEM = ('__macosx', 'lost+found')


@dataclasses.dataclass(frozen=True)
class Files:
    """What is in a folder.

    Attributes:
        images: paths of what is an image by its ending, sorted.
        others: paths of other files, sorted.
        hidden: how many files are hidden, or in a folder that is.
    """

    images: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    hidden: int = 0

    def __add__(self, more: Files) -> Files:
        """The files of both."""
        return Files(self.images + more.images, self.others + more.others, self.hidden + more.hidden)


def is_image(name: str) -> bool:
    """Whether a file is an image, by its ending."""
    return image_kinds.is_image_name(name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or what an operating system leaves behind."""
    return name.startswith('.') or name.casefold() in _SYSTEM


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones; links are followed."""
    return [folder / entry.name for entry in entries(folder) if not is_hidden(entry.name) and is_folder(entry)]


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name.

    Raises:
        UserError: it may not be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(error) from None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or leads to one; a link to itself is none."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def folder_key(path: Path) -> tuple[int, int]:
    """Tells folders apart whatever they are called."""
    status = path.stat()
    return status.st_dev, status.st_ino


def list_files(folder: str | Path, root: Path | None = None) -> Files:
    """Lists a folder and all that is below it.

    Args:
        folder: links below it are followed.
        root: but not those that lead back to this one, or to what it is in: every class would be in each.

    Raises:
        UserError: a folder that may not be read.
    """
    found: list[str] = []
    others: list[str] = []
    hidden = 0
    for directory, below, files in _walk(folder, root):
        hidden += sum(count_files(os.path.join(directory, name)) for name in below if is_hidden(name))
        for name in files:
            if is_hidden(name):
                hidden += 1
            else:
                (found if is_image(name) else others).append(os.path.join(directory, name))
    return Files(tuple(sorted(found)), tuple(sorted(others)), hidden)


def has_images(folder: str | Path, root: Path | None = None) -> bool:
    """Whether `list_files` would find an image; looks no further than the first."""
    return any(is_image(name) and not is_hidden(name) for _, _, files in _walk(folder, root) for name in files)


def count_files(folder: str) -> int:
    """How many files are below a folder; links are not followed."""
    return 0 if os.path.islink(folder) else sum(len(files) for _, _, files in os.walk(folder))


def _walk(folder: str | Path, root: Path | None) -> Iterator[tuple[str, list[str], list[str]]]:
    """Every folder that is not hidden, once, as of `os.walk`: its name, the folders in it and the files in it."""
    seen = set()
    if root is not None:
        above = Path(os.path.realpath(root))
        seen = {str(above), *map(str, above.parents)}
    for directory, below, files in os.walk(folder, onerror=_refuse, followlinks=True):
        # A folder that links lead to again has been listed already; a loop of links would never end.
        real = os.path.realpath(directory)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        yield directory, list(below), files
        below[:] = sorted(name for name in below if not is_hidden(name))


def _refuse(error: OSError) -> None:
    raise _unreadable(error)


def _unreadable(error: OSError) -> UserError:
    return UserError(f'{printable_path(str(error.filename))} cannot be read: {error.strerror}')
