"""Opening images: the limit of pixels is ours, and formats with decoders of their own."""

import io
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, features

from jtransfer.data.decode.image_opening import unlimited
from jtransfer.data.decode.images import UnreadableImageError, decode_image, kind_of

QUADRANTS = np.kron(
    np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8), np.ones((8, 12, 1), np.uint8)
)
STORED = {
    1: lambda a: a,
    3: lambda a: a[::-1, ::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    8: lambda a: np.rot90(a, -1),
}
needs_avif = pytest.mark.skipif(not features.check('avif'), reason='this Pillow has no AVIF')


def encoded(format_, pixels=QUADRANTS, **options):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format_, **options)
    return file.getvalue()


def heic(pixels=QUADRANTS, **options):
    pillow_heif = pytest.importorskip('pillow_heif', reason='needs the heic extra')
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    pillow_heif.from_pillow(image).save(file, format='HEIF', quality=-1, chroma=444, **options)
    return file.getvalue()


@pytest.mark.parametrize('format_', ['PNG', 'JPEG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM'])
@pytest.mark.parametrize('limit', [100, 300])
def test_pillows_own_limit_neither_refuses_nor_warns(format_, limit, monkeypatch):
    content = encoded(format_)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)  # of 384 pixels, more than twice and less
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert decode_image(content, max_pixels=384).shape == (16, 24, 3)
        with pytest.raises(UnreadableImageError, match=r'big has 24x16 pixels .*; 383 are allowed'):
            decode_image(content, 'big', max_pixels=383)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_put_back_whatever_happens():
    before = Image.MAX_IMAGE_PIXELS
    contents = [encoded('PNG'), b'\x89PNG\r\n\x1a\n', b''] * 20

    def decode(content):
        try:
            return decode_image(content).shape
        except UnreadableImageError:
            return None

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(decode, contents)) == [(16, 24, 3), None, None] * 20
    with unlimited(), unlimited():
        assert Image.MAX_IMAGE_PIXELS is None
    assert before == Image.MAX_IMAGE_PIXELS


@needs_avif
@pytest.mark.parametrize('orientation', STORED)
def test_avif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded('AVIF', STORED[orientation](QUADRANTS), quality=100, subsampling='4:4:4', exif=exif)
    np.testing.assert_allclose(decode_image(content).astype(int), QUADRANTS, atol=4)


def test_avif_without_a_decoder(monkeypatch):
    monkeypatch.setattr(features, 'check', lambda name: name != 'avif')
    content = b'\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf'
    with pytest.raises(UnreadableImageError, match=r'x.avif is an AVIF image, and this Pillow') as error:
        decode_image(content, 'x.avif')
    assert 'skip_unreadable' not in str(error.value)


@pytest.mark.parametrize('orientation', STORED)
def test_heic(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = heic(STORED[orientation](QUADRANTS), exif=exif.tobytes())
    np.testing.assert_allclose(decode_image(content).astype(int), QUADRANTS, atol=4)
    assert kind_of(content) == 'HEIF RGB'
    assert 'HEIF' not in Image.OPEN  # nothing is registered for others


def test_heic_with_transparency_with_ten_bits_and_with_several_images():
    half = np.dstack([QUADRANTS, np.full(QUADRANTS.shape[:2], 128, np.uint8)])
    np.testing.assert_allclose(decode_image(heic(half))[0, 0].astype(int), [255, 127, 127], atol=4)
    pillow_heif = pytest.importorskip('pillow_heif')
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    file = io.BytesIO()
    pillow_heif.from_bytes('I;16', (64, 64), ramp.tobytes()).save(file, quality=-1)
    np.testing.assert_allclose(decode_image(file.getvalue())[..., 0].astype(int), ramp // 257, atol=2)
    several = pillow_heif.from_pillow(Image.fromarray(QUADRANTS))
    several.add_from_pillow(Image.fromarray(255 - QUADRANTS))
    file = io.BytesIO()
    several.save(file, quality=-1, chroma=444, primary_index=1)
    np.testing.assert_allclose(decode_image(file.getvalue()).astype(int), 255 - QUADRANTS.astype(int), atol=4)


def test_heic_damaged_or_too_large():
    content = heic()
    with pytest.raises(UnreadableImageError, match=r'x.heic is a truncated or damaged HEIC; data.skip'):
        decode_image(content[: len(content) // 2], 'x.heic')
    with pytest.raises(UnreadableImageError, match='24x16 pixels'):
        decode_image(content, max_pixels=383)


def test_heic_without_a_decoder(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    content = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'
    with pytest.raises(UnreadableImageError, match=r"x.heic is a HEIC image, .*pip install -e '\.\[heic\]'") as error:
        decode_image(content, 'x.heic')
    assert 'skip_unreadable' not in str(error.value)
