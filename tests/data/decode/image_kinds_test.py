"""Tests of jtransfer/data/decode/image_kinds.py."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, features

from jtransfer.data.decode.image_kinds import count_endings, format_of, is_image_name, kind_of, left_out


@pytest.mark.parametrize('format_', ['JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM', 'AVIF'])
def test_formats_that_are_read(format_):
    if format_ == 'AVIF' and not features.check('avif'):
        pytest.skip('this Pillow has no AVIF')
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, format_)
    assert format_of(file.getvalue()) == format_


def box(*brands):
    return (8 + 4 * len(brands) + 4).to_bytes(4, 'big') + b'ftyp' + brands[0] + b'\0\0\0\0' + b''.join(brands[1:])


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (box(b'heic', b'mif1', b'heic'), 'HEIC'),
        (box(b'mif1', b'heic'), 'HEIC'),
        (box(b'mif1', b'avif', b'miaf'), 'AVIF'),
        (box(b'isom', b'mp42'), ''),
        (b'hello', ''),
        (b'', ''),
    ],
)
def test_brands(content, expected):
    assert format_of(content) == expected


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (b'', 'an empty file'),
        (bytes(600), 'a file of zeros'),
        (b'\n<html><body>404', 'an HTML page'),
        (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg>', 'an SVG drawing'),
        (b'%PDF-1.7', 'a PDF document'),
        (b'8BPS\0\1', 'a Photoshop document'),
        (b'\0\0\0\x0cjP  \r\n\x87\n', 'a JPEG 2000 image'),
        (b'\xff\x0a\0', 'a JPEG XL image'),
        (b'FUJIFILMCCD-RAW 0201', 'a camera raw file'),
        (box(b'crx ', b'isom'), 'a camera raw file'),
        (box(b'isom', b'mp42'), 'a video'),
        (bytes(128) + b'DICM', 'a DICOM image'),
        (b'\0\0\1\0\1\0', 'an icon'),
        (b'\x93NUMPY\1\0', 'a NumPy array'),
        (b'version https://git-lfs.github.com/spec/v1\noid', 'a Git LFS pointer'),
    ],
)
def test_kinds_that_are_not_read(content, name):
    assert kind_of(content).name == name


def test_an_archive_and_what_nobody_knows():
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('a.png', b'')
    assert kind_of(file.getvalue()).name == 'an archive'
    assert kind_of(b'hello') is None


def test_names():
    assert all(map(is_image_name, ('a.JPG', 'a.heic', 'a.avif', 'a.b.tiff')))
    assert not any(map(is_image_name, ('a.svg', 'a', 'jpg', 'a.jpg.txt')))
    assert count_endings(['a.SVG', 'b.svg', 'c.tar.gz', 'README', '.hidden']) == {'.svg': 2, '.gz': 1, '': 2}


def test_left_out():
    assert left_out({}, 'here') == []
    assert left_out({'.psd': 10, '.svg': 2, '.txt': 1}, 'here') == [
        '12 files here are images of kinds that are not read and were left out (.psd 10, .svg 2)',
        '1 file here is no image and was left out (.txt 1)',
    ]
    many = left_out({f'.{letter}': 1 for letter in 'abcdefg'} | {'': 3, '.\x1b': 2}, 'here')
    assert many == ['12 files here are no images and were left out (no ending 3, .\\x1b 2, .a 1, .b 1, .c 1, …)']
