"""What a file is, by its first bytes and by its name: the images that are read, and what people have among them."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jtransfer.text.outside import printable

EXTENSIONS = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm'),
    *('.pbm', '.pnm', '.apng', '.mpo', '.avif', '.heic', '.heif'),
)
# Images, drawings and scans that are not read: a person who has such among the others should know.
_OTHERS = re.compile(
    r'\.(svgz?|pdf|e?ps|ai|psd|psb|xcf|cr2|cr3|crw|nef|nrw|dng|arw|sr2|orf|rw2|raf|pef|raw|jxl|jp2|j2k|jpx|jpf|tga|ico|cur'
    r'|icns|exr|hdr|dds|qoi|pam|pfm|xbm|xpm|pcx|wmf|emf|dcm|dicom|nii|fits?|heics|heifs|hif|avifs|jng|mng'
    r'|djvu?|wbmp|bpg|svs|ndpi|czi|jxr|wdp)',
    re.IGNORECASE,
)
HEIC, AVIF = 'HEIC', 'AVIF'
_HEIC_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'hevm', b'hevs')
_CONVERT = 'convert it to PNG or JPEG'


class Kind(NamedTuple):
    """What a file is that is not read.

    Attributes:
        name: with its article.
        advice: what to do; empty where it is no image of another kind, but a broken or missing one.
    """

    name: str
    advice: str


# By the bytes a file begins with: formats that are read.
_READ = (
    (re.compile(rb'\xff\xd8\xff'), 'JPEG'),
    (re.compile(rb'\x89PNG\r\n'), 'PNG'),
    (re.compile(rb'RIFF....WEBP', re.DOTALL), 'WEBP'),
    (re.compile(rb'BM'), 'BMP'),
    (re.compile(rb'GIF8[79]a'), 'GIF'),
    (re.compile(rb'II\*\0|MM\0\*|II\+\0|MM\0\+'), 'TIFF'),
    (re.compile(rb'P[1-6][\s#]'), 'PPM'),
)
_NOT_READ = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), Kind(name, advice))
    for pattern, name, advice in (
        (rb'\Z', 'an empty file', ''),
        (rb'\0{512}', 'a file of zeros', ''),
        (rb'\s*version https://git-lfs', 'a Git LFS pointer', 'git lfs pull fetches the image'),
        (rb'\s*(<!doctype html|<html)', 'an HTML page', ''),
        (rb'\s*(<\?xml.{0,900}?)?(<!--.{0,900}?)?(<!doctype svg.{0,400}?)?<svg', 'an SVG drawing', _CONVERT),
        (rb'\s*%PDF-', 'a PDF document', _CONVERT),
        (rb'%!PS', 'a PostScript drawing', _CONVERT),
        (rb'8BPS', 'a Photoshop document', _CONVERT),
        (rb'gimp xcf', 'a GIMP document', _CONVERT),
        (rb'\0\0\0\x0cjP  |\xff\x4f\xff\x51', 'a JPEG 2000 image', _CONVERT),
        (rb'\0\0\0\x0cJXL |\xff\x0a', 'a JPEG XL image', _CONVERT),
        (rb'II\x1a\0....HEAPCCDR|FUJIFILMCCD-RAW|IIRO|IIRS|IIU\0|MMOR|....ftypcrx', 'a camera raw file', _CONVERT),
        (rb'v/1\x01', 'an OpenEXR image', _CONVERT),
        (rb'#\?(RADIANCE|RGBE)', 'a Radiance HDR image', _CONVERT),
        (rb'.{128}DICM', 'a DICOM image', _CONVERT),
        (rb'SIMPLE  =', 'a FITS image', _CONVERT),
        (rb'\0\0[\1\2]\0', 'an icon', _CONVERT),
        (rb'qoif', 'a QOI image', _CONVERT),
        (rb'DDS ', 'a DDS texture', _CONVERT),
        (rb'....ftyp(iso|mp4|M4V|qt|avc|3gp)|\x1aE\xdf\xa3|RIFF....AVI ', 'a video', 'save frames of it as JPEG'),
        (rb'PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf', 'an archive', 'unpack it'),
        (rb'\x93NUMPY', 'a NumPy array', 'data.source=npz:FILE reads arrays'),
    )
)


def format_of(content: bytes) -> str:
    """Which of the formats that are read a file begins as, in Pillow's name or `HEIC`; empty for others."""
    if content[4:8] == b'ftyp':
        brands = [content[at : at + 4] for at in (8, *range(16, min(int.from_bytes(content[:4], 'big'), 256), 4))]
        if any(brand in (b'avif', b'avis') for brand in brands):
            return AVIF
        return HEIC if any(brand in (*_HEIC_BRANDS, b'mif1', b'msf1') for brand in brands) else ''
    return next((name for pattern, name in _READ if pattern.match(content)), '')


def kind_of(content: bytes) -> Kind | None:
    """What a file is that is of none of the formats that are read; None if nobody knows."""
    return next((kind for pattern, kind in _NOT_READ if pattern.match(content[:2048])), None)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return name.lower().endswith(EXTENSIONS)


def count_endings(names: Iterable[str]) -> collections.Counter[str]:
    """How many of the names have each ending, in lower case; the empty one for none."""
    return collections.Counter(
        match[0].lower() if (match := re.search(r'(?<=[^.])\.[^.\s]{1,12}\Z', name)) else '' for name in names
    )


def left_out(endings: Mapping[str, int], where: str) -> list[str]:
    """Lines about files that were not taken for images.

    Args:
        endings: how many there are of each ending.
        where: they are, such as `in the folders`.
    """
    others = {ending: number for ending, number in endings.items() if _OTHERS.fullmatch(ending)}
    rest = {ending: number for ending, number in endings.items() if ending not in others}
    lines = []
    for one, several, of in (
        ('an image of a kind that is not read', 'images of kinds that are not read', others),
        ('no image', 'no images', rest),
    ):
        if (total := sum(of.values())) == 1:
            lines.append(f'1 file {where} is {one} and was left out ({_listed(of)})')
        elif total:
            lines.append(f'{total:,} files {where} are {several} and were left out ({_listed(of)})')
    return lines


def _listed(endings: Mapping[str, int]) -> str:
    ordered = sorted(endings.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f'{printable(ending) or "no ending"} {number:,}' for ending, number in ordered[:5]]
    return ', '.join([*shown, *(['…'] if len(ordered) > 5 else [])])
