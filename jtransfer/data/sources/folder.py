"""The source `folder:PATH`: a folder of class folders, with or without train, validation and test folders above."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from jtransfer.config.data import Data
from jtransfer.data.decode import image_kinds, images
from jtransfer.data.source import Example, Source, check_source
from jtransfer.data.sources import taken
from jtransfer.data.sources.confinement import check_inside
from jtransfer.data.sources.layout import check_folder, find_parts
from jtransfer.data.sources.left_out import Beside, beside, left_out
from jtransfer.data.sources.listing import Files, has_images, list_files, subfolders
from jtransfer.data.sources.part_names import named_parts
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.tasks.base import Task
from jtransfer.tasks.door import by_task
from jtransfer.tasks.labels import Labels, take
from jtransfer.text.outside import first_few, printable, printable_path


class FolderSource(Source):
    """Images under class folders; see `jtransfer.data.source.Source`. Images are decoded when they are asked for.

    Attributes:
        class_names: the class folders' names, sorted.
        labels: class number of every image.
        ids: path of every image below the root, with forward slashes.
        notes: lines about class folders that were taken together, and about what was left out.
        pixel_range: as `data.pixel_range`.
    """

    class_names: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    notes: tuple[str, ...]
    pixel_range: tuple[float, ...]

    def __init__(
        self,
        folder: Path,
        root: Path,
        class_names: Sequence[str] | None = None,
        max_pixels: int = images.MAX_PIXELS,
        pixel_range: Sequence[float] = (),
        but: Collection[Path] = (),
        training: bool = True,
    ) -> None:
        """Lists the images, recursively and in sorted order; hidden files and folders are left out.

        Class names are the folders' names in Unicode's composed form: file systems differ in which form they give back,
        and folders whose names differ in it alone are one class.

        Args:
            folder: holds the class folders.
            root: what ids are relative to.
            class_names: of the training part, which a class folder must be one of. None: all class folders.
            max_pixels: an image of more pixels is refused.
            pixel_range: as `data.pixel_range`.
            but: sub-folders that are no classes.
            training: whether it is to be trained on, and so must have two classes, with images each. Without, and
                in other parts than the training part, a class folder may be empty.

        Raises:
            UserError: no class folders, a class folder without images, a single class, a class not in `class_names`, or
                two folders or files whose names cannot be told apart once they are spelt out.
        """
        classes = _class_folders(folder, but)
        if not classes:
            raise UserError(f'{folder} has no class folders: it must hold one sub-folder of images a class')
        if training and class_names is None and len(classes) == 1:
            _check_not_above(folder, root, next(iter(classes.values()))[0])
        if class_names is not None and (unknown := sorted(set(classes) - set(class_names))):
            raise UserError(f"{folder} has a class '{unknown[0]}' that the training part does not have")
        self.class_names = tuple(sorted(classes)) if class_names is None else tuple(class_names)
        self._root = root
        self._max_pixels, self.pixel_range = max_pixels, tuple(pixel_range)
        self._paths: list[str] = []
        labels: list[int] = []
        below = []
        for class_name in sorted(classes):
            found = sum((list_files(each, folder) for each in classes[class_name]), Files())
            below.append(Files(others=found.others, hidden=found.hidden))
            if not found.images and training and class_names is None:
                raise UserError(f"class folder '{classes[class_name][0]}' has no images ({_extensions()})")
            self._paths += [os.path.relpath(path, root) for path in sorted(found.images)]
            labels += [self.class_names.index(class_name)] * len(found.images)
        self.labels = by_task(np.array(labels, np.int32))
        self.ids = tuple(printable_path(path) for path in self._paths)
        if len(set(self.ids)) < len(self.ids):
            twice = next(name for index, name in enumerate(self.ids) if name in self.ids[:index])
            raise UserError(f"{folder} has two files that are both written '{twice}': rename one of them")
        self._below = tuple(below)
        self._beside = beside(folder, [*but, *(each for own in classes.values() for each in own)], root)
        self.notes = _together(folder, classes)
        check_source(self, str(folder), every_class=training and class_names is None)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Decodes the image at an index.

        Raises:
            UnreadableImageError: names the file.
        """
        path = self._root / self._paths[index]
        image, narrow = images.read_image(path, printable_path(str(path)), self._max_pixels, self.pixel_range)
        return {'image': image, 'labels': take(self.labels, index), 'id': self.ids[index], 'narrow': narrow}

    def content(self, index: int) -> bytes:
        """The bytes of the file of the image at an index.

        Raises:
            UnreadableImageError: names the file.
        """
        path = self._root / self._paths[index]
        return images.read_content(path, printable_path(str(path)), self._max_pixels)


def load_folder(
    path: str,
    splits: Mapping[str, str] | None = None,
    max_pixels: int = images.MAX_PIXELS,
    pixel_range: Sequence[float] = (),
    training: bool = True,
    confine: bool = False,
) -> dict[str, FolderSource]:
    """Opens a folder of images.

    Its sub-folders are parts or classes, see `jtransfer.data.sources.layout.find_parts`. What of the folder is not used
    is in the notes of the training part, every file of it.

    Args:
        path: the folder.
        splits: names of the sub-folders of `train`, `validation` and `test`; missing or empty: by convention. A
            training part `.` is the folder itself: its sub-folders are classes, whatever they are called.
        max_pixels: an image of more pixels is refused when it is decoded.
        pixel_range: as `data.pixel_range`.
        training: whether it is to be trained on; without, there need be no training part, nor every class.
        confine: whether to refuse images that links out of the folder lead to.

    Returns:
        The parts the folder has by name; an undivided folder has `train` alone.

    Raises:
        UserError: a missing folder or split, a layout that is not understood, no class folders, an empty class folder,
            a single class, a class of another part that the training part does not have.
    """
    root = expanded(path)
    check_folder(root)
    named = {part: name for part, name in (splits or {}).items() if name}
    folders = find_parts(root, named, training) or {'train': root}
    if not training:  # Every part has the classes of its own folders: they are matched by name.
        sources = {
            part: FolderSource(own, root, None, max_pixels, pixel_range, _inside(own, folders), training=False)
            for part, own in folders.items()
        }
        _confined(sources, root, confine)
        first = next(iter(sources.values()))
        first.notes = (_levels(folders, root), *first.notes, *_left_out(sources, folders, root))
        return sources
    train = FolderSource(folders['train'], root, None, max_pixels, pixel_range, _inside(folders['train'], folders))
    others = {
        part: FolderSource(folder, root, train.class_names, max_pixels, pixel_range)
        for part, folder in folders.items()
        if part != 'train'
    }
    sources = {'train': train, **others}
    _confined(sources, root, confine)
    train.notes = (_levels(folders, root), *train.notes, *_left_out(sources, folders, root))
    return sources


def open_folder(path: str, data: Data, known: Sequence[Task]) -> dict[str, FolderSource]:
    """As `kinds.Open`."""
    return load_folder(path, named_parts(data), data.max_pixels, data.pixel_range, not known, data.confine_paths)


def _confined(sources: Mapping[str, FolderSource], root: Path, confine: bool) -> None:
    """Raises `UserError` for an image that a link leads to elsewhere, if that is forbidden."""
    for source in sources.values() if confine else ():
        check_inside(source._paths, root)


def _inside(folder: Path, folders: Mapping[str, Path]) -> list[Path]:
    """The folders of other parts, which may lie in this one."""
    return [other for other in folders.values() if other != folder]


def _levels(folders: Mapping[str, Path], root: Path) -> str:
    """What the folders were taken for."""
    if list(folders.values()) == [root]:
        return taken.taken('folder', [([printable_path(root.absolute().name)], 'a folder for each class')])
    roles = [([printable_path(os.path.relpath(own, root))], f'the {part} part') for part, own in folders.items()]
    return f'{taken.taken("folder", roles)}, with a folder for each class'


def _left_out(sources: Mapping[str, FolderSource], folders: Mapping[str, Path], root: Path) -> list[str]:
    """Lines about all that lies below the root and is in no source."""
    whole = any(folder.samefile(root) for folder in folders.values())
    around = Beside() if whole else beside(root, list(folders.values()), root)
    found = [around, *(source._beside for source in sources.values())]
    return left_out(found, [files for source in sources.values() for files in source._below], root)


def _class_folders(folder: Path, but: Collection[Path]) -> dict[str, list[Path]]:
    """The folders of each class by its name, in Unicode's composed form.

    Raises:
        UserError: two names that differ, but not once what a terminal would act on is spelt out.
    """
    found: dict[str, list[Path]] = {}
    for child in subfolders(folder):
        if any(child.samefile(other) for other in but):
            continue
        own = found.setdefault(printable(_composed(child.name)), [])
        if own and _composed(own[0].name) != _composed(child.name):
            raise UserError(f"{folder} has two folders that are both written '{printable(child.name)}': rename one")
        own.append(child)
    return found


def _composed(name: str) -> str:
    return unicodedata.normalize('NFC', name)


def _together(folder: Path, classes: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    several = [name for name, own in classes.items() if len(own) > 1]
    return tuple(
        f"class '{name}' is in {len(classes[name])} folders of {folder}, whose names differ in their Unicode form "
        'alone: they were taken together'
        for name in several
    )


def _check_not_above(folder: Path, root: Path, only: Path) -> None:
    """Raises `UserError` where the only class folder looks like the folder that was meant."""
    below = [child.name for child in subfolders(only) if has_images(child, root)]
    if len(below) < 2:
        return
    where = f'folder:{only}' if folder == root else f'data.train_split={printable_path(os.path.relpath(only, root))}'
    raise UserError(
        f"{folder} holds a single folder, '{printable(only.name)}', and that holds {first_few(below)}: if these are "
        f'the classes (or the parts), write {where}'
    )


def _extensions() -> str:
    return ', '.join(image_kinds.EXTENSIONS)
