"""Random folders, tables and arrays: a right result or one line, and every file, row and image is used or said.

What is drawn is small and repeatable. A data set that is refused must be refused in one line; one that is taken must
account for everything in it: the examples in the parts, and what the notes say was left out, are all there is.
"""

import csv
import io
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jtransfer.config import Data
from jtransfer.data.parts import Parts, load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.text.outside import printable

_FUZZ = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


def _encoded(mode: str, form: str) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).convert('RGB')
    if mode == 'I;16':
        image = Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000)
    elif mode != 'RGB':
        image = image.convert(mode)
    image.save(file, form)
    return file.getvalue()


_IMAGES = [
    *(('.png', _encoded(mode, 'PNG')) for mode in ('RGB', 'RGBA', 'L', 'LA', 'P', '1', 'I;16')),
    *(('.jpg', _encoded(mode, 'JPEG')) for mode in ('RGB', 'L', 'CMYK')),
    ('.tif', _encoded('RGB', 'TIFF')),
    ('.GIF', _encoded('P', 'GIF')),
    ('.webp', _encoded('RGB', 'WEBP')),
    ('.bmp', _encoded('RGB', 'BMP')),
]
_TORN = [('.png', _IMAGES[0][1][:40]), ('.jpg', b''), ('.png', b'no image'), ('.tif', b'II*\0')]
_OTHERS = [('.txt', b'note'), ('', b''), ('.svg', b'<svg/>'), ('.db', b'\0')]
_PARTS = ['train', 'test', 'val', 'Training_Set', 'eval', 'testing', 'part2']
# The two forms of one name, names that look like markup, formulas, control codes, parts and bytes that are no UTF-8.
_CLASSES = [
    'ant',
    'bee',
    '1',
    '1.0',
    'Ä',
    'A\u0308',
    '[b]x[/b]',
    '=cmd',
    'x\x1by',
    'bus',
    'train',
    '.hidden',
    'z\udcff',
    'A b',
]

_contents = st.one_of(*(st.sampled_from(_IMAGES) for _ in range(4)), st.sampled_from(_OTHERS + _TORN))
_some = st.dictionaries(st.sampled_from(['0', '1', '-2', 'é', '.h']), _contents, max_size=3)
_files = st.builds(lambda more, one: {'9': one, **more}, _some, st.sampled_from(_IMAGES)) | _some
_odd_classes = st.dictionaries(st.sampled_from(_CLASSES), _files, max_size=4)
_classes = st.builds(lambda more, a, b: {'ant': a, 'bee': b, **more}, _odd_classes, _files, _files)
_part_folders = st.dictionaries(st.sampled_from(_PARTS), _classes | _odd_classes, max_size=3)


def _write(folder: Path, files: dict) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (ending, content) in files.items():
        (folder / f'{name}{ending}').write_bytes(content)
    return sum(len(names) for _, _, names in os.walk(folder))


def _used(parts: Parts) -> int:
    return sum(len(part) for part in (parts.train, parts.validation, parts.test) if part is not None)


def _said(notes) -> int:
    """How many things the notes say were left out; what is counted twice would be found out by the sum."""
    lines = [line for line in notes if 'left out' in line and not re.match(r'[\d,]+ folders? without', line)]
    return sum(int(re.search(r'[\d,]+', line)[0].replace(',', '')) for line in lines)


def _taken(load) -> Parts | None:
    """The parts, or None where they are refused in a line; what it quotes is spelt out where it is printed."""
    try:
        return load()
    except UserError as error:
        line = str(error)
        assert line
        assert '\n' not in line, line
        assert printable(line).isprintable(), line
        return None


@pytest.fixture(scope='module')
def outcomes():
    """How many data sets were taken; a test that only sees refusals shows nothing."""
    return {}


@settings(_FUZZ, max_examples=120)
@given(
    parts=_part_folders,
    classes=_classes | _odd_classes,
    loose=_some,
    divided=st.booleans(),
    named=st.sampled_from(['', '', 'train', 'Training_Set']),
)
def test_folders(parts, classes, loose, divided, named, outcomes):
    root = Path(tempfile.mkdtemp()) / 'data'
    try:
        _write(root, loose)
        for name, own in parts.items() if divided else ():
            (root / name).mkdir()
            for class_name, files in own.items():
                _write(root / name / class_name, files)
        for class_name, files in classes.items() if not divided else ():
            _write(root / class_name, files)
        total = _write(root, {})
        data = Data(source=f'folder:{root}', train_split=named, test_fraction=0.0, batch_size=1, cache=False)
        found = _taken(lambda: load_parts(data, 0))
        outcomes['folders'] = outcomes.get('folders', 0) + (found is not None)
        if found is None:
            return
        assert _used(found) + _said(found.notes) == total, found.notes
        for part in (found.train, found.validation, found.test):
            for index in range(0 if part is None else len(part)):
                example = _taken(lambda part=part, index=index: part[index])
                if example is not None:
                    assert example['image'].dtype == np.uint8
                    assert example['image'].shape == (4, 4, 3)
    finally:
        shutil.rmtree(root.parent)


_CELLS = [
    'cat',
    'dog',
    'cat',
    'dog',
    '1',
    '1.0',
    '01',
    '',
    '0',
    'a|b',
    '=x',
    'NaN',
    '2.5',
    '1700000000',
    ' cat',
    '猫',
    'x\x07',
]
_HEADERS = ['label', 'class', 'target', 'Weight', 'weight', 'split', 'group', 'id', 'size', 'tags']
_SPLITS = ['train', 'train', 'train', 'test', 'val', 'Test', 'unknown', '']
_NAMES = [f'{index}.png' for index in range(8)]
_FORMS = [('utf-8', ',')] * 4 + [('utf-8-sig', ','), ('utf-8', ';'), ('utf-8', '\t'), ('latin-1', ','), ('utf-16', ',')]
# Of every cell, mostly what fits.
_numbers = st.integers(0, 2) | st.integers(0, 1) | st.integers(0, 99)
_rows = st.tuples(st.sampled_from([*_NAMES, 'gone.png']), *[_numbers] * 4)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Eight images that tables name."""
    folder = tmp_path_factory.mktemp('photos')
    for name, (_, content) in zip(_NAMES, _IMAGES, strict=False):
        (folder / name).write_bytes(content)
    return folder


@settings(_FUZZ, max_examples=150)
@given(
    image=st.sampled_from(['path', 'path', 'path', 'image', 'Filename', 'x']),
    headers=st.lists(st.sampled_from(_HEADERS), max_size=3, unique=True),
    rows=st.lists(_rows, min_size=3, max_size=8, unique_by=lambda row: row[0]) | st.lists(_rows, max_size=8),
    task=st.sampled_from([''] * 4 + ['single_label', 'multi_label', 'regression', 'heads']),
    form=st.sampled_from(_FORMS),
    skip=st.booleans(),
)
def test_tables(image, headers, rows, task, form, skip, photos, outcomes):
    encoding, delimiter = form
    headers = list(dict.fromkeys(['label', *headers]))
    cells = [
        [
            path,
            *(
                _SPLITS[n % 8] if name == 'split' else _CELLS[n % len(_CELLS)]
                for name, n in zip(headers, row, strict=False)
            ),
        ]
        for path, *row in rows
    ]
    file = photos / 'table.csv'
    with file.open('w', newline='', encoding=encoding, errors='replace') as opened:
        csv.writer(opened, delimiter=delimiter).writerows([[image, *headers], *cells])
    data = Data(source=f'csv:{file}', task=task, test_fraction=0.0, batch_size=1, cache=False, skip_unreadable=skip)
    found = _taken(lambda: load_parts(data, 0))
    outcomes['tables'] = outcomes.get('tables', 0) + (found is not None)
    if found is not None:
        assert _used(found) + _said(found.notes) == len(rows), found.notes
        assert any(note.startswith('column ') for note in found.notes)


_SHAPES = [(6, 4, 4, 3)] * 4 + [(6, 4, 4), (6, 4, 4, 1), (6, 4, 4, 2), (6, 3, 4, 4), (0, 4, 4, 3), (6, 4)]
_DTYPES = ['int64', 'int32', 'int64', 'uint8', 'float64', 'float32', 'bool', '<U3', 'S2', 'object', 'int32']


@settings(_FUZZ, max_examples=150)
@given(
    shape=st.sampled_from(
        [(6, 4, 4, 3)] * 4 + [(6, 4, 4), (6, 4, 4, 1), (6, 4, 4, 2), (6, 3, 4, 4), (0, 4, 4, 3), (6, 4)]
    ),
    dtype=st.sampled_from(['uint8'] * 6 + ['float32', 'int64']),
    label_dtype=st.sampled_from(_DTYPES),
    label_shape=st.sampled_from([(6,)] * 5 + [(6, 1), (6, 2), (5,), (0,)]),
    values=st.sampled_from([(0, 1), (0, 1), (1, 2, 3), (0, 1, -1), (5, 6), (1e9, 1e9 + 1), (float('nan'), 1)]),
    names=st.sampled_from([None, None, None, ('a', 'b'), ('a', 'a'), ('1', '2', '3'), ()]),
    task=st.sampled_from([''] * 4 + ['single_label', 'multi_label', 'regression']),
    in_file=st.booleans(),
)
def test_arrays(shape, dtype, label_dtype, label_shape, values, names, task, in_file, tmp_path_factory, outcomes):
    images = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    with np.errstate(invalid='ignore'):
        labels = np.resize(np.array(values, np.float64), label_shape).astype(label_dtype)
    folder = tmp_path_factory.getbasetemp()
    data = Data(source=f'npz:{folder}/arrays.npz', task=task, test_fraction=0.0, batch_size=1, cache=False)
    if in_file:
        given_names = {} if names is None else {'class_names': np.array(names, '<U3')}
        np.savez(folder / 'arrays.npz', images=images, labels=labels, **given_names)
        found = _taken(lambda: load_parts(data, 0))
    else:
        memory = Data(source='memory', test_fraction=0.0, batch_size=1, cache=False)
        found = _taken(lambda: load_parts(memory, 0, ArraySource(images, labels, names or ())))
    outcomes['arrays'] = outcomes.get('arrays', 0) + (found is not None)
    if found is not None:
        assert _used(found) + _said(found.notes) == len(images)
        assert len(set(found.class_names)) == len(found.class_names)


def test_enough_of_it_was_taken(outcomes):
    assert outcomes['folders'] >= 20
    assert outcomes['tables'] >= 10
    assert outcomes['arrays'] >= 10
