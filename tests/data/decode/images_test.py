"""Tests of jtransfer/data/decode/images.py: every common kind of file becomes the RGB a person sees."""

import io
import os
import pathlib
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from jtransfer.data.decode.images import UnreadableImageError, decode_image

QUADRANTS = np.kron(
    np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8), np.ones((8, 12, 1), np.uint8)
)


def encoded(image, format_='PNG', **options):
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def png(width, height, rows=b''):
    def chunk(kind, content):
        body = kind + content
        return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


@pytest.mark.parametrize('format_', ['PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM'])
def test_formats(format_):
    options = {'JPEG': {'quality': 95, 'subsampling': 0}, 'WEBP': {'lossless': True}}.get(format_, {})
    decoded = decode_image(encoded(Image.fromarray(QUADRANTS), format_, **options))
    assert decoded.dtype == np.uint8
    np.testing.assert_allclose(decoded.astype(int), QUADRANTS, atol=12 if format_ == 'JPEG' else 0)


def test_grey():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(grey))), np.repeat(grey[..., None], 3, -1))


def test_one_bit():
    bits = Image.fromarray(np.eye(9, dtype=bool))
    np.testing.assert_array_equal(decode_image(encoded(bits))[..., 1], np.eye(9) * 255)


@pytest.mark.parametrize('format_', ['PNG', 'TIFF'])
def test_sixteen_bit_grey_is_scaled(format_):
    grey = np.array([[0, 257, 300], [32768, 65000, 65535]], np.uint16)
    decoded = decode_image(encoded(Image.fromarray(grey), format_))
    np.testing.assert_array_equal(decoded[..., 0], [[0, 1, 1], [128, 253, 255]])


def test_transparency_is_composited_over_white():
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[..., 3] = [[0, 255, 128]] * 2
    decoded = decode_image(encoded(Image.fromarray(rgba)))
    np.testing.assert_array_equal(decoded[0], [[255, 255, 255], [200, 0, 0], [227, 127, 127]])
    la = Image.fromarray(rgba[..., [0, 3]], 'LA')
    np.testing.assert_array_equal(decode_image(encoded(la))[0, :, 0], [255, 200, 227])


def test_palette_with_and_without_transparency():
    palette = Image.new('P', (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode_image(encoded(palette))[0], [[10, 20, 30], [200, 100, 50]])
    transparent = decode_image(encoded(palette, transparency=0))
    np.testing.assert_array_equal(transparent[0], [[255, 255, 255], [200, 100, 50]])


def test_cmyk():
    cmyk = Image.fromarray(QUADRANTS).convert('CMYK')
    decoded = decode_image(encoded(cmyk, 'JPEG', quality=95, subsampling=0))
    np.testing.assert_allclose(decoded.astype(int), QUADRANTS, atol=12)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('format_', ['PNG', 'JPEG', 'WEBP', 'TIFF'])
def test_orientation_is_applied(orientation, format_):
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](QUADRANTS)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {'JPEG': {'quality': 95, 'subsampling': 0}, 'WEBP': {'lossless': True}}.get(format_, {})
    content = encoded(Image.fromarray(np.ascontiguousarray(stored)), format_, exif=exif, **options)
    decoded = decode_image(content)
    assert decoded.shape == QUADRANTS.shape
    np.testing.assert_allclose(decoded.astype(int), QUADRANTS, atol=12 if format_ == 'JPEG' else 0)


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_broken_exif_does_not_lose_the_picture():
    content = encoded(Image.fromarray(QUADRANTS), 'PNG', exif=b'Exif\0\0II*\0\xff\xff\xff\xffbroken')
    np.testing.assert_array_equal(decode_image(content), QUADRANTS)


@pytest.mark.parametrize('format_', ['JPEG', 'PNG', 'WEBP'])
def test_truncated_file_is_named(tmp_path, format_):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / 'cut off.img'
    path.write_bytes(encoded(Image.fromarray(noise), format_)[:-700])
    with pytest.raises(
        UnreadableImageError, match=f'cut off.img is a truncated or damaged {format_}; data.skip_unreadable'
    ) as error:
        decode_image(path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is an empty file, not an image; data.skip_unreadable'),
        (b'hello', 'is truncated or not an image; data.skip_unreadable'),
        (b'<!DOCTYPE html><html>', 'is an HTML page, not an image; data.skip_unreadable'),
        (b'\x89PNG\r\n\x1a\n', 'is a truncated or damaged PNG; data.skip_unreadable'),
        (b'\xff\xd8\xff', 'is a truncated or damaged JPEG; data.skip_unreadable'),
        (b'%!PS-Adobe-3.0 EPSF-3.0\n', 'is a PostScript drawing, which is not read: convert it to PNG or JPEG$'),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'is an SVG drawing, which is not read: convert it'),
        (b'version https://git-lfs.github.com/spec/v1', 'is a Git LFS pointer, which is not read: git lfs pull'),
    ],
)
def test_what_is_no_image(content, message):
    with pytest.raises(UnreadableImageError, match=f'x.jpg {message}'):
        decode_image(content, name='x.jpg')


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UnreadableImageError, match=r'^a b\.png cannot be read: embedded null byte$'):
        decode_image(pathlib.Path('a\0b.png'), 'a b.png')
    with pytest.raises(UnreadableImageError, match=r'gone.png: no such file'):
        decode_image(tmp_path / 'gone.png')
    with pytest.raises(UnreadableImageError, match='is no regular file, but a folder'):
        decode_image(tmp_path)


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
@pytest.mark.parametrize('side', [30_000, 12_000])
def test_decompression_bomb_is_refused_from_its_header(side, monkeypatch):
    bomb = png(side, side, rows=b'\0' * 1000)
    decoded = []
    monkeypatch.setattr(PngImagePlugin.PngImageFile, 'load', lambda self: decoded.append(self.size))
    with pytest.raises(
        UnreadableImageError,
        match=r'bomb.png has .*pixels .*; 100,000,000 are allowed; data.max_pixels allows more',
    ):
        decode_image(bomb, name='bomb.png')
    assert not decoded


def test_max_pixels():
    content = encoded(Image.fromarray(QUADRANTS))
    assert decode_image(content, max_pixels=16 * 24).shape == (16, 24, 3)
    with pytest.raises(UnreadableImageError, match='24x16 pixels'):
        decode_image(content, max_pixels=16 * 24 - 1)


def test_what_would_never_end_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'endless.png').symlink_to('/dev/zero')
    for name, kind in (('pipe.png', 'a named pipe'), ('endless.png', 'a device')):
        with pytest.raises(UnreadableImageError, match=f'{name} is no regular file, but {kind}; .*skip_unreadable'):
            decode_image(tmp_path / name)


def test_a_file_is_bounded_by_the_pixels_an_image_may_have(tmp_path, monkeypatch):
    Image.fromarray(QUADRANTS).save(tmp_path / 'a.png')
    size = (tmp_path / 'a.png').stat().st_size
    monkeypatch.setattr('jtransfer.data.decode.images._BYTES_BESIDE', size - 8 * 1000)
    decode_image(tmp_path / 'a.png', max_pixels=1000)
    with pytest.raises(UnreadableImageError, match=f'a.png has {size} bytes, more than the {size - 8} that are read'):
        decode_image(tmp_path / 'a.png', max_pixels=999)


def test_a_strip_that_does_not_fit_into_memory_is_one_image_less():
    # Pillow holds no row of more than 2**31 bits; nothing of the size is allocated.
    strip = png(100_000_000, 1, b'')
    with pytest.raises(UnreadableImageError, match='strip of 100,000,000x1 pixels takes more memory than there is'):
        decode_image(strip, 'strip')


def test_what_helps_is_named_as_the_caller_names_it():
    error = UnreadableImageError('a.png is torn', 'max_pixels allows more', skip=True)
    assert str(error) == 'a.png is torn; data.max_pixels allows more; data.skip_unreadable skips such files'
    assert str(error.named('--')) == 'a.png is torn; --max_pixels allows more; --skip_unreadable skips such files'
    assert error.skipped() == 'a.png is torn; data.max_pixels allows more'
    assert str(pickle.loads(pickle.dumps(error)).named('')) == str(error.named(''))
