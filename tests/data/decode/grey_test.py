"""Tests of jtransfer/data/decode/grey.py: grey of more than 8 bits, against values worked out by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.decode.images import UnreadableImageError, decode_image, kind_of, read_image
from jtransfer.data.decode.narrow import Narrow
from tests.data.tiff import tiff

RAMP = np.array([[0, 257, 20000], [40000, 65000, 65535]], np.uint16)
FLOATS = np.array([[0, 0.25], [0.5, 1]], np.float32)
SIGNED = np.array([[-1000, 0], [1000, 3000]], np.int16)


def grey(content, **settings):
    decoded = decode_image(content, 'x.tif', **settings)
    np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])
    return decoded[..., 0].tolist()


@pytest.mark.parametrize('end', ['<', '>'])
def test_white_is_zero(end):
    black = [[0, 1, 78], [156, 253, 255]]
    assert grey(tiff(RAMP, end)) == black
    assert grey(tiff(RAMP, end, t262=np.uint16(0))) == (255 - np.array(black)).tolist()
    assert kind_of(tiff(RAMP, end, t262=np.uint16(0))) == 'TIFF I;16' + ('B' if end == '>' else '')
    assert grey(tiff(FLOATS, end, t262=np.uint16(0)), pixel_range=(0, 1)) == [[255, 191], [127, 0]]
    assert grey(tiff(SIGNED, end, t262=np.uint16(0)), pixel_range=(-1000, 3000)) == [[255, 191], [127, 0]]


@pytest.mark.parametrize('compression', ['tiff_lzw', 'tiff_adobe_deflate', 'packbits'])
@pytest.mark.parametrize('predictor', [1, 2])
def test_white_is_zero_compressed(compression, predictor):
    file = io.BytesIO()
    tags = {262: 0} | ({317: 2} if predictor == 2 and compression != 'packbits' else {})
    Image.fromarray(RAMP).save(file, 'TIFF', compression=compression, tiffinfo=tags)
    assert grey(file.getvalue()) == [[255, 254, 177], [99, 2, 0]]


@pytest.mark.parametrize(
    ('bits', 'row', 'expected'),
    [(1, b'\x40', [255, 0]), (4, b'\x0f', [255, 0]), (8, b'\x03\xff', [252, 0])],
)
def test_white_is_zero_in_few_bits(bits, row, expected):
    content = tiff(np.zeros((1, len(row)), np.uint8), t262=np.uint16(0), t258=np.uint16(bits), t256=np.uint32(2))
    assert grey(content[: -len(row)] + row) == [expected]


@pytest.mark.parametrize(
    ('pixels', 'ends', 'expected'),
    [
        (FLOATS, (0, 1), [[0, 64], [128, 255]]),
        (FLOATS, (0.25, 0.5), [[0, 0], [255, 255]]),
        (np.array([[np.nan, np.inf], [-np.inf, 1]], np.float32), (0, 1), [[0, 255], [0, 255]]),
        (SIGNED, (-1000, 3000), [[0, 64], [128, 255]]),
        (SIGNED.astype(np.int32), (-1000, 3000), [[0, 64], [128, 255]]),
        (np.array([[0, 2**31], [1000, 4_000_000_000]], np.uint32), (0, 4e9), [[0, 137], [0, 255]]),
        (np.array([[-5, 5], [1, 127]], np.int8), (-128, 127), [[123, 133], [129, 255]]),
        (RAMP >> 4, (0, 4095), [[0, 1, 78], [156, 253, 255]]),
        (RAMP.astype(np.uint8), (0, 4095), RAMP.astype(np.uint8).tolist()),
    ],
)
def test_range_that_is_said(pixels, ends, expected):
    assert grey(tiff(pixels), pixel_range=ends) == expected


def test_range_that_the_file_states():
    stated = {'t340': np.float32(0), 't341': np.float32(2)}
    assert grey(tiff(FLOATS, **stated)) == [[0, 32], [64, 128]]
    assert grey(tiff(FLOATS, **stated), pixel_range=(0, 1)) == [[0, 64], [128, 255]]
    assert grey(tiff(RAMP, t340=np.uint16(0), t341=np.uint16(9))) == grey(tiff(RAMP))  # 16 bits say it themselves
    with pytest.raises(UnreadableImageError, match='not stated'):
        decode_image(tiff(FLOATS, t340=np.float32(1), t341=np.float32(np.nan)))


@pytest.mark.parametrize(
    ('pixels', 'what'),
    [
        (
            FLOATS,
            r'a 32-bit float image whose range is not stated \(its values are 0 to 1\); data.pixel_range=0,1 says',
        ),
        (SIGNED, r'a 16-bit signed image .*-1000 to 3000\); data.pixel_range=LEAST,LARGEST says'),
        (np.array([[0, 4_000_000_000]], np.uint32), r'a 32-bit image .*0 to 4e\+09\)'),
        (np.array([[-5, 5]], np.int8), 'an 8-bit signed image'),
        (FLOATS.astype(np.float64), 'a TIFF of 64-bit float samples .*which is not read: convert it'),
        (np.zeros((2, 2, 3), np.float32), 'a TIFF of 3 x 32-bit float samples .*which is not read: convert it'),
        (np.zeros((2, 2, 5), np.uint8), 'a TIFF of 5 x 8-bit unsigned samples .*which is not read: convert it'),
    ],
)
def test_what_it_is_and_what_to_do(pixels, what):
    with pytest.raises(UnreadableImageError, match=f'^x.tif is {what}') as error:
        decode_image(tiff(pixels), 'x.tif')
    assert 'skip_unreadable' not in str(error.value)
    assert '\n' not in str(error.value)


def test_whole_numbers_of_other_kinds_that_fit_into_16_bits():
    assert grey(tiff(np.array([[0, 1000]], np.int16))) == [[0, 4]]
    assert grey(tiff(np.array([[0, 65535]], np.uint32))) == [[0, 255]]
    assert grey(tiff(np.array([[0, 127]], np.int8))) == [[0, 127]]


def test_a_sliver_of_the_range_is_noticed():
    twelve = np.array([[7, 4095]], np.uint16)
    assert read_image(tiff(twelve))[1] == Narrow(7, 4095, True)
    assert read_image(tiff(twelve), pixel_range=(0, 4095))[1] is None
    assert read_image(tiff(RAMP))[1] is None
    colour = np.array([[[0, 100, 4095], [5, 6, 7]]], np.uint16)
    assert read_image(tiff(colour))[1] == Narrow(0, 4095, False)
    assert read_image(tiff(np.stack([RAMP] * 3, -1)))[1] is None
