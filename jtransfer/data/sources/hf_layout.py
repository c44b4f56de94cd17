"""The files of a Hugging Face data set on disk: which belong to which split, and which split is which part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jtransfer.checks import nearest
from jtransfer.config.data import Data
from jtransfer.data.sources.confinement import is_plain_name
from jtransfer.data.sources.listing import has_images
from jtransfer.data.sources.part_names import check_known, check_named, choose_splits, named_parts, part_called
from jtransfer.errors import UserError
from jtransfer.files.reading import read_json_object
from jtransfer.text.outside import printable, printable_path

# data/train-00000-of-00002.parquet, train-0.parquet, train/0000.parquet, default/validation/0000.parquet, 0000.parquet
_SHARD = re.compile(r'((?P<split>.*?)[-_.])?\d+(-of-\d+)?(-[0-9a-f]+)?')


def find_parts(
    root: Path, data: Data, training: bool = True
) -> tuple[dict[str, tuple[str, list[Path]]], dict[str, list[Path]]]:
    """The split and files of every part, and the files of other splits.

    The split is '' where the data are undivided. Other splits are left out only where a part is named.

    Args:
        root: a folder of parquet files, one such file, or what `save_to_disk` wrote.
        data: the configuration, which may name the splits.
        training: whether there must be a training split.

    Raises:
        UserError: no such files, no training split, two of a kind, a split that is no part where no part is named, or
            files of several data sets.
    """
    splits = _splits(root, data)
    # Undivided files may have a column that says the parts, by the names that are given.
    named = {} if list(splits) == [''] else named_parts(data)
    check_named(str(root), named, list(splits))
    chosen = choose_splits(splits, named, str(root))
    if 'train' not in chosen and (training or not chosen) and (len(splits) > 1 or chosen):
        raise UserError(f'{root} has no split called train, but {", ".join(splits)}: choose with data.train_split')
    if not chosen:
        name, files = next(iter(splits.items()))
        # A single file is no split, whatever it is called.
        parts = {'train': ('' if len(files) == 1 else name, files)}
        _check_one_data_set(root, parts)
        return parts, {}
    others = {name or files[0].name: files for name, files in splits.items() if name not in chosen.values()}
    if training:
        check_known(str(root), chosen, [f"'{name}'" for name in others], named)
    parts = {part: (name, splits[name]) for part, name in chosen.items()}
    _check_one_data_set(root, parts)
    return parts, others


def is_data_set(folder: Path) -> bool:
    """Whether a folder is such a data set by what is in it: what `save_to_disk` writes, or parquet and no images."""
    saved = any((folder / name).is_file() for name in ('dataset_dict.json', 'state.json'))
    return saved or (not has_images(folder) and any(folder.rglob('*.parquet')))


def _splits(root: Path, data: Data) -> dict[str, list[Path]]:
    """Files by the name of their split, '' where they have none."""
    if root.is_file():
        return {'': [root]}
    if not root.is_dir():
        beside = sorted(other.name for other in root.parent.iterdir()) if root.parent.is_dir() else []
        raise UserError(f'there is no folder {root}.{nearest(root.name, beside) if beside else ""}')
    if (root / 'state.json').is_file():
        return {'': _saved(root)}
    if (root / 'dataset_dict.json').is_file():
        return {name: _saved(root / name) for name in _names(root / 'dataset_dict.json', 'splits')}
    files = sorted(file for file in root.rglob('*.parquet') if not _hidden(file.relative_to(root)))
    if odd := [file for file in files if not file.is_file()]:
        raise UserError(f'{printable_path(str(odd[0]))} is no regular file')
    if not files:
        raise UserError(f'{root} holds no .parquet files, nor what save_to_disk writes')
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(_split_name(file.relative_to(root), data), []).append(file)
    return splits


def _split_name(file: Path, data: Data) -> str:
    """From `data/train-00000-of-00002.parquet` to `train`; a part's name in a folder goes before another file name."""
    named = named_parts(data).values()
    shard = _SHARD.fullmatch(file.stem)
    own = (shard['split'] or '') if shard else file.stem
    folders = list(reversed(file.parent.parts))
    for name in (file.stem, own, *folders):
        if name in named or part_called(name):
            return name
    return own or (folders[0] if folders else '')


def _check_one_data_set(root: Path, parts: Mapping[str, tuple[str, Sequence[Path]]]) -> None:
    """Raises `UserError` for files of several configurations (`en/train/0.parquet`, `fr/train/0.parquet`)."""
    above = set()
    for split, files in parts.values():
        for file in files:
            folders = file.relative_to(root).parent.parts if file != root else ()
            above.add(folders[: folders.index(split)] if split in folders else folders)
    if len(above) > 1:
        names = ', '.join(sorted('/'.join(folders) or '.' for folders in above))
        raise UserError(f'{root} holds several data sets ({names}): name the folder of one of them, hf:PATH')


def _saved(folder: Path) -> list[Path]:
    if not (folder / 'state.json').is_file():
        raise UserError(f'{folder} has no state.json: it is not what save_to_disk wrote, or not the whole of it')
    if read_json_object(folder / 'state.json').get('_indices_data_files'):
        raise UserError(f'{folder} is in the old form of a data set with a list of rows: save it again')
    files = [folder / name for name in _names(folder / 'state.json', '_data_files', 'filename')]
    if missing := [file for file in files if not file.is_file()]:
        raise UserError(f'{folder}: its file {printable(missing[0].name)} is missing')
    if not files:
        raise UserError(f'{folder} has no data files')
    return files


def _names(path: Path, field: str, of_each: str = '') -> list[str]:
    """Names in a list of a JSON file, or in a field of each of its objects; what lies elsewhere is never read.

    Raises:
        UserError: no such list, or a name that is a path to another place.
    """
    listed = read_json_object(path).get(field) or []
    if not isinstance(listed, list) or (of_each and not all(isinstance(each, dict) for each in listed)):
        raise UserError(f"{path} cannot be read as the description of a data set: '{field}' is no list of names")
    names = [each.get(of_each) for each in listed] if of_each else listed
    for name in names:
        if not is_plain_name(name):
            raise UserError(f'{path} names {printable(str(name))!r}, which is no name of a file or folder beside it')
    return names


def _hidden(file: Path) -> bool:
    return any(name.startswith('.') for name in file.parts)
