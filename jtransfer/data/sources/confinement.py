"""Whether files lie in the folder that they are said to be in, links followed: tables and links may lead anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from jtransfer.errors import UserError
from jtransfer.text.outside import printable_path


def outside(paths: Iterable[str | os.PathLike[str]], root: Path) -> list[int]:
    """The positions of the paths that lead out of a folder, whether or not there is anything.

    What can be no path, with a NUL in it, is not inside.

    Args:
        paths: relative to the folder, or absolute.
        root: the folder.
    """
    real = Path(os.path.realpath(root))

    def is_inside(path: str | os.PathLike[str]) -> bool:
        try:
            return Path(os.path.realpath(root / path)).is_relative_to(real)
        except ValueError:
            return False

    return [at for at, path in enumerate(paths) if not is_inside(path)]


def check_inside(paths: Iterable[str | os.PathLike[str]], root: Path) -> None:
    """Raises `UserError` that names the first path which leads out of a folder, see `outside`."""
    paths = list(paths)
    if found := outside(paths, root):
        first = printable_path(os.fspath(root / paths[found[0]]))
        others = f' (and {len(found) - 1:,} more)' if len(found) > 1 else ''
        raise UserError(f'{first}{others} leads out of {root}, which data.confine_paths forbids')


def is_plain_name(name: object) -> bool:
    """Whether this is the name of a file or folder, and no way to another place."""
    return isinstance(name, str) and name not in ('', '.', '..') and not set(name) & {'/', '\\', '\0'}
