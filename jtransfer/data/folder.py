"""The source `folder:PATH`: a folder of class folders, with or without train, validation and test folders above."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jtransfer.data import images
from jtransfer.data.source import Example, check_source
from jtransfer.errors import UserError
from jtransfer.text import printable, printable_path

CONVENTIONS = {
    'train': ('train', 'training'),
    'validation': ('val', 'valid', 'validation', 'dev'),
    'test': ('test', 'testing'),
}
_NOT_CLASSES = ('__macosx', 'lost+found')


class FolderSource:
    """Images under class folders; see `jtransfer.data.source.Source`. Images are decoded when they are asked for.

    Attributes:
        class_names: the class folders' names, sorted.
        labels: class number of every image.
        ids: path of every image below the root, with forward slashes.
        ignored: number of files that are not images by their extension.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        class_names: Sequence[str] | None = None,
        max_pixels: int = images.MAX_PIXELS,
        training: bool = True,
    ) -> None:
        """Lists the images, recursively and in sorted order; hidden files and folders are left out.

        Args:
            folder: holds the class folders.
            root: what ids are relative to.
            class_names: of the training part, which a class folder must be one of. None: all class folders.
            max_pixels: an image of more pixels is refused.
            training: whether it is to be trained on, and so must have two classes, with images each. Without, and
                in other parts than the training part, a class folder may be empty.

        Raises:
            UserError: no class folders, a class folder without images, a single class, a class not in `class_names`.
        """
        classes = _class_folders(folder)
        if not classes:
            raise UserError(f'{folder} has no class folders: it must hold one sub-folder of images a class')
        if class_names is not None and (unknown := sorted(set(classes) - set(class_names))):
            raise UserError(f"{folder} has a class '{unknown[0]}' that the training part does not have")
        self.class_names = tuple(sorted(classes)) if class_names is None else tuple(class_names)
        self.ignored = 0
        self._root = root
        self._max_pixels = max_pixels
        self._paths: list[str] = []
        labels: list[int] = []
        for class_name in sorted(classes):
            found, ignored = list_images(classes[class_name], folder)
            self.ignored += ignored
            if not found and training and class_names is None:
                raise UserError(f"class folder '{classes[class_name]}' has no images ({_extensions()})")
            self._paths += [os.path.relpath(path, root) for path in found]
            labels += [self.class_names.index(class_name)] * len(found)
        self.labels = np.array(labels, np.int32)
        self.ids = tuple(printable_path(path) for path in self._paths)
        check_source(self, str(folder), every_class=training and class_names is None)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        """Decodes the image at an index.

        Raises:
            UnreadableImageError: names the file.
        """
        path = self._root / self._paths[index]
        image = images.decode_image(path, name=printable_path(str(path)), max_pixels=self._max_pixels)
        return {'image': image, 'label': int(self.labels[index]), 'id': self.ids[index]}

    def content(self, index: int) -> bytes:
        """The bytes of the file of the image at an index.

        Raises:
            UnreadableImageError: names the file.
        """
        path = self._root / self._paths[index]
        return images.read_content(path, printable_path(str(path)))


def load_folder(
    path: str, splits: Mapping[str, str] | None = None, max_pixels: int = images.MAX_PIXELS, training: bool = True
) -> dict[str, FolderSource]:
    """Opens a folder of images.

    The folder is divided if it has a train folder (`train`, `training`, in any case) that holds folders (and no image,
    unless a validation or test folder is beside it), or if `splits` names one. Otherwise its sub-folders are the
    classes. A class may thus be called 'train' or 'valid'.

    Args:
        path: the folder.
        splits: names of the sub-folders of `train`, `validation` and `test`; missing or empty: by convention.
        max_pixels: an image of more pixels is refused when it is decoded.
        training: whether it is to be trained on; without, there need be no training part, nor every class.

    Returns:
        The parts the folder has by name; an undivided folder has `train` alone.

    Raises:
        UserError: a missing folder or split, no class folders, an empty class folder, a single class, a class of
            another part that the training part does not have.
    """
    root = Path(path).expanduser()
    _check_folder(root)
    named = {part: name for part, name in (splits or {}).items() if name}
    folders = _split_folders(root, named, training)
    if not folders:
        return {'train': FolderSource(root, root, max_pixels=max_pixels, training=training)}
    if not training:  # Every part has the classes of its own folders: they are matched by name.
        return {part: FolderSource(own, root, None, max_pixels, False) for part, own in folders.items()}
    train = FolderSource(folders['train'], root, max_pixels=max_pixels)
    others = {
        part: FolderSource(folder, root, train.class_names, max_pixels)
        for part, folder in folders.items()
        if part != 'train'
    }
    return {'train': train, **others}


def _split_folders(root: Path, named: Mapping[str, str], training: bool) -> dict[str, Path]:
    children = _subfolders(root)
    conventional = {
        part: [child for child in children if child.name.casefold() in names and _subfolders(child)]
        for part, names in CONVENTIONS.items()
    }
    others = conventional['validation'] + conventional['test']
    # A class called 'train' may hold images in sub-folders, but then there is no validation or test folder like it.
    conventional['train'] = [child for child in conventional['train'] if others or not _has_images(child)]
    folders = {}
    for part, found in conventional.items():
        if part in named:
            folders[part] = root / named[part]
            _check_folder(folders[part], f'data.{part}_split={named[part]}: ')
        elif len(found) > 1:
            both = ' and '.join(f"'{child.name}'" for child in found)
            raise UserError(f'{root} has both {both}: say which one with data.{part}_split')
        elif found:
            folders[part] = found[0]
    if 'train' in folders or (named and not training):
        return folders
    if named or (others and len(others) == len(children)):
        if not training:
            return folders
        has = next(iter(named.values()), others[0].name if others else '')
        raise UserError(f"{root} has a folder '{has}' but no train folder: name it with data.train_split")
    return {}


def _check_folder(folder: Path, prefix: str = '') -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise UserError(f'{prefix}{folder} is a file, but must be a folder')
    parent = folder.parent
    siblings = [child.name for child in _subfolders(parent)] if parent.is_dir() else []
    close = difflib.get_close_matches(folder.name, siblings, n=1)
    raise UserError(
        f'{prefix}there is no folder {folder}' + (f". Did you mean '{parent / close[0]}'?" if close else '')
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        child
        for child in folder.iterdir()
        if not child.name.startswith('.') and child.name.casefold() not in _NOT_CLASSES and child.is_dir()
    )


def _has_images(folder: Path) -> bool:
    return any(_is_image(name) and not name.startswith('.') for name in os.listdir(folder))


def _class_folders(folder: Path) -> dict[str, Path]:
    """Class folders by name, in Unicode's composed form: file systems differ in which form they give back."""
    return {printable(unicodedata.normalize('NFC', child.name)): child for child in _subfolders(folder)}


def list_images(folder: Path, root: Path | None = None) -> tuple[list[str], int]:
    """Image files below a folder, sorted, and how many other files there are.

    Args:
        folder: links below it are followed.
        root: but not those that lead back to this one, or to what it is in: every class would be in each.
    """
    found, ignored, seen = [], 0, set()
    if root is not None:
        above = Path(os.path.realpath(root))
        seen = {str(above), *map(str, above.parents)}
    for directory, subfolders, files in os.walk(folder, followlinks=True):
        # A folder that links lead to again has been listed already; a loop of links would never end.
        real = os.path.realpath(directory)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith('.'))
        visible = [name for name in files if not name.startswith('.')]
        found += [os.path.join(directory, name) for name in visible if _is_image(name)]
        ignored += sum(not _is_image(name) for name in visible)
    return sorted(found), ignored


def _is_image(name: str) -> bool:
    return name.lower().endswith(images.EXTENSIONS)


def _extensions() -> str:
    return ', '.join(images.EXTENSIONS)
