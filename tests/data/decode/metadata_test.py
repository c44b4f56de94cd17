"""Tests of jtransfer/data/decode/metadata.py: what is written about an image is no reason to refuse its pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.decode.images import UnreadableImageError, decode_image, kind_of
from jtransfer.data.decode.metadata import without_metadata
from tests.data.tiff import tiff

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
LONG = b'x' * 1_500_000


def encoded(format_, **options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format_, **options)
    return file.getvalue()


def chunk(kind, content, check=None):
    check = zlib.crc32(kind + content) if check is None else check
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', check)


def png(extra, before=b'IDAT'):
    content = encoded('PNG')
    at = content.index(before) - 4
    return content[:at] + extra + content[at:]


def segment(marker, content):
    return b'\xff' + bytes([marker]) + struct.pack('>H', len(content) + 2) + content


def jpeg(extra):
    content = encoded('JPEG')
    return content[:2] + extra + content[2:]


XMP = b'<x:xmpmeta tiff:Orientation="6"/>'


@pytest.mark.parametrize('before', [b'IDAT', b'IEND'])
@pytest.mark.parametrize(
    'extra',
    [
        chunk(b'zTXt', b'Comment\0\0' + zlib.compress(LONG)),
        chunk(b'iTXt', b'Comment\0\1\0\0\0' + zlib.compress(LONG)),
        chunk(b'iCCP', b'profile\0\0' + zlib.compress(LONG)),
        chunk(b'tEXt', b'Comment\0' + LONG) * 45,
        chunk(b'tEXt', b'Comment\0hello', check=1),
        chunk(b'zTXt', b'Comment\0\1what'),
        chunk(b'iCCP', b''),
        chunk(b'pHYs', b'\0'),
        chunk(b'cHRM', b'\0'),
        chunk(b'fcTL', b'what'),
        chunk(b'eXIf', b'what', check=1),
    ],
    ids=['zTXt', 'iTXt', 'iCCP', 'tEXt', 'checksum', 'method', 'empty', 'pHYs', 'cHRM', 'fcTL', 'eXIf'],
)
def test_png(extra, before):
    np.testing.assert_array_equal(decode_image(png(extra, before)), PIXELS)


@pytest.mark.parametrize(
    'turning',
    [
        chunk(b'iTXt', b'XML:com.adobe.xmp\0\1\0\0\0' + zlib.compress(XMP + LONG)),
        chunk(b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + XMP),
        chunk(b'eXIf', b'MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0'),
    ],
    ids=['long XMP', 'XMP', 'EXIF'],
)
def test_png_keeps_its_orientation(turning):
    content = png(turning + chunk(b'zTXt', b'Comment\0\0' + zlib.compress(LONG)))
    np.testing.assert_array_equal(decode_image(content), np.rot90(PIXELS, -1))


@pytest.mark.parametrize(
    'extra',
    [
        segment(0xEE, b'Adobe'),
        segment(0xE2, b'ICC_PROFILE\0'),
        segment(0xED, b'Photoshop 3.0\x008BIM\x03\xed'),
        segment(0xE0, b'JFIF'),
        segment(0xE2, b'ICC_PROFILE\0') + segment(0xE1, b'Exif\0\0what') + b'\xff\xff' + segment(0xFE, b'comment'),
    ],
)
def test_jpeg(extra):
    np.testing.assert_array_equal(decode_image(jpeg(extra)), decode_image(encoded('JPEG')))


def test_jpeg_keeps_its_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded('JPEG', exif=exif)
    content = turned[:2] + segment(0xE2, b'ICC_PROFILE\0') + turned[2:]
    np.testing.assert_array_equal(decode_image(content), decode_image(turned))
    assert decode_image(content).shape == (12, 8, 3)


def test_webp():
    content = encoded('WEBP', lossless=True, xmp=b'<x>' + LONG, exif=b'Exif\0\0what', icc_profile=b'what')
    for damaged in (content, content[:-100_000], content[:4] + struct.pack('<I', 10) + content[8:]):
        np.testing.assert_array_equal(decode_image(damaged), PIXELS)


@pytest.mark.parametrize('end', ['<', '>'])
@pytest.mark.parametrize('tags', [{'t700': np.uint32(7)}, {'t700': b'abcde\0'}], ids=['long', 'text'])
def test_tiff(end, tags):
    np.testing.assert_array_equal(decode_image(tiff(PIXELS, end, t270=b'about it\0', **tags)), PIXELS)


def test_gif_and_ppm_with_long_comments():
    grey = np.arange(96, dtype=np.uint8).reshape(8, 12)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, 'GIF', comment=b'x' * 200_000)
    np.testing.assert_array_equal(decode_image(file.getvalue())[..., 0], grey)
    content = b'P5\n#' + b'c' * 200_000 + b'\n12 8\n255\n' + grey.tobytes()
    np.testing.assert_array_equal(decode_image(content)[..., 0], grey)


def test_kind():
    assert kind_of(png(chunk(b'zTXt', b'Comment\0\0' + zlib.compress(LONG)))) == 'PNG RGB'


@pytest.mark.parametrize('format_', ['PNG', 'JPEG', 'WEBP', 'TIFF'])
def test_what_is_torn_stays_torn(format_):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format_)
    content = file.getvalue()
    for length in (9, len(content) // 2, len(content) - 700):
        with pytest.raises(UnreadableImageError, match='truncated'):
            decode_image(content[:length])


def test_what_has_none():
    assert without_metadata(b'') is None
    assert without_metadata(b'GIF89a') is None
    assert without_metadata(b'II*\0') is None
    assert without_metadata(b'\xff\xd8\xff\xe0\xff') is None
