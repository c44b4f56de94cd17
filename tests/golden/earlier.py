"""Files that an earlier version wrote: the images they are about, and how they are packed and unpacked.

`tests/golden/make_earlier_files.py` made `tests/golden/earlier/*.zip`; `tests/golden_earlier_test.py` reads them.
"""

import csv
import fnmatch
import pathlib
import zipfile

import numpy as np
from PIL import Image

from jtransfer.tasks.base import Task, single_label
from tests.experiments.pictures import Pictures

EARLIER = pathlib.Path(__file__).parent / 'earlier'
COUNT, SIDE = 48, 16
# Of the same images: in the second, labels are missing.
TABLES = ('whole.csv', 'gaps.csv')
PHOTOS = 'photos'

# Nothing of the images and their labels may change: what the runs say of theirs is compared with these.
_INDEX = np.arange(COUNT)
_LIGHT = 40 + 7 * (_INDEX * 29 % COUNT) % 121
_RED, _STRIPED = _INDEX % 2 == 0, _INDEX // 3 % 2 == 0


def pixels() -> np.ndarray:
    """The images, uint8 [n, height, width, 3]: of some brightness, some red and some striped; always the same."""
    images = np.full((COUNT, SIDE, SIDE, 3), _LIGHT[:, None, None, None])
    images[_RED, ..., 0] += 90
    images[_STRIPED, ::4] -= 40
    across = np.arange(SIDE)
    images += (across[:, None] * 5 + across * 3 + 11 * _INDEX[:, None, None])[..., None] % 7
    return images.clip(0, 255).astype(np.uint8)


def in_memory() -> Pictures:
    """The same as a source with a head of every kind, some labels missing."""
    labels = {
        'kind': np.where(_INDEX % 5 == 3, -1, _LIGHT > 100).astype(np.int32),
        'marks': np.stack([_RED, _STRIPED], axis=1).astype(np.float32),
        'light': np.where(_INDEX % 5 == 4, np.nan, 1000.5 + 10 * _LIGHT)[:, None],
    }
    labels['marks'][::7, 1] = np.nan
    tasks = (
        single_label(('dark', 'light'), 'kind'),
        Task('marks', 'multi_label', ('red', 'striped'), weight=0.5),
        Task('light', 'regression', ('lux',)),
    )
    return Pictures(pixels(), labels, tasks)


def write_pictures(folder: pathlib.Path) -> None:
    """Writes the images, and the tables about them."""
    (folder / PHOTOS).mkdir(parents=True)
    rows = []
    for number, image in enumerate(pixels()):
        path = f'{PHOTOS}/{number:02}.png'
        Image.fromarray(image).save(folder / path)
        row = {'image': path, 'kind': ('dark', 'light')[int(_LIGHT[number] > 100)]}
        row |= {'red': int(_RED[number]), 'striped': int(_STRIPED[number])}
        row |= {'colour': ('grey', 'red')[int(_RED[number])], 'lux': 1000.5 + 10 * int(_LIGHT[number])}
        rows.append(row)
    for table in TABLES:
        with (folder / table).open('w', encoding='utf-8', newline='') as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
            writer.writeheader()
            for number, row in enumerate(rows):
                gap = {3: 'kind', 4: 'lux'}.get(number % 5) if table == 'gaps.csv' else None
                writer.writerow({name: '' if name == gap else value for name, value in row.items()})


def pack(path: pathlib.Path, archive: pathlib.Path, leave_out: tuple[str, ...]) -> None:
    """Packs a folder or a file, under its own name; equal contents give equal bytes.

    Args:
        path: what to pack.
        archive: the file to write.
        leave_out: patterns of the names of files and folders that are not packed.
    """
    with zipfile.ZipFile(archive, 'w') as packed:
        for file in sorted(file for file in (path, *path.rglob('*')) if file.is_file()):
            name = file.relative_to(path.parent)
            if not any(fnmatch.fnmatch(part, pattern) for part in name.parts for pattern in leave_out):
                packed.writestr(zipfile.ZipInfo(name.as_posix()), file.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def unpack(folder: pathlib.Path) -> None:
    """Unpacks all of them side by side, and writes the images."""
    for archive in sorted(EARLIER.glob('*.zip')):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
    write_pictures(folder)
