"""The built-in source `glyphs`: letters and digits rendered from the fonts that matplotlib ships.

An endless supply of labelled characters, offline, to pretrain small networks on. The 47 classes are those of
EMNIST-balanced (Cohen et al. 2017, arXiv 1702.05373): lowercase letters that look like their capitals share a class.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from jtransfer.config.data import Data
from jtransfer.data.source import Example, Source
from jtransfer.tasks.base import Task
from jtransfer.tasks.door import ONLY, by_task
from jtransfer.tasks.labels import Labels, take

_OWN_LOWERCASE = 'abdefghnqrt'
CLASS_NAMES = tuple('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ' + _OWN_LOWERCASE)
SIZES = {'train': 40_000, 'validation': 4_700, 'test': 4_700}

_STYLES = ('', '-Bold', '-Oblique', '-BoldOblique')
_SERIF_STYLES = ('', '-Bold', '-Italic', '-BoldItalic')
FONTS = (
    *(f'DejaVu{family}{style}' for family in ('Sans', 'SansMono') for style in _STYLES),
    *(f'DejaVuSerif{style}' for style in _SERIF_STYLES),
    *('STIXGeneral', 'STIXGeneralBol', 'STIXGeneralItalic', 'STIXGeneralBolIta'),
    *('cmr10', 'cmss10', 'cmtt10', 'cmb10', 'cmti10'),
)

_EM = 48  # font size of the masters, pixels
_CANVAS = 48  # side of the picture the distorted character is drawn on
_CELLS = 3  # the distortion bends cells of a _CELLS x _CELLS grid
_STROKES = (0, 1, 2, 3)  # pixels added on both sides of a stroke of the master

_KNOTS = _CANVAS * np.arange(_CELLS + 1) // _CELLS
# Points of the grid, (x, y) from the middle of the canvas, row by row.
_GRID = np.stack(np.meshgrid(_KNOTS, _KNOTS), axis=-1).reshape(-1, 2) - _CANVAS / 2
_UPPER_LEFT = [row * (_CELLS + 1) + column for row in range(_CELLS) for column in range(_CELLS)]
# Pillow's order: upper left, lower left, lower right, upper right.
_CORNERS = np.array([[p, p + _CELLS + 1, p + _CELLS + 2, p + 1] for p in _UPPER_LEFT])
_BOXES = [tuple((_GRID[[p, p + _CELLS + 2]] + _CANVAS / 2).astype(int).ravel().tolist()) for p in _UPPER_LEFT]


class GlyphSource(Source):
    """Rendered characters; see `jtransfer.data.source.Source`. An image is a pure function of (seed, split, index).

    Bright ink on a dark ground, filling the frame as scikit-learn's digits do, with random font, stroke width,
    rotation, shear, scale, position, wobble, resolution, blur, contrast, brightness and noise.

    Attributes:
        class_names: the 47 classes of EMNIST-balanced.
        labels: class number of every example: the classes take turns, so that they are balanced.
        ids: name of every example.
    """

    class_names: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]

    def __init__(self, split: str, size: int | None = None, side: int = 16, seed: int = 0) -> None:
        """Chooses one of the three splits; nothing is rendered yet.

        Args:
            split: `train`, `validation` or `test`; the same fonts, other draws.
            size: number of examples. None: 40,000, 4,700 and 4,700.
            side: of the square images, pixels.
            seed: of all draws.
        """
        self.class_names = CLASS_NAMES
        count = SIZES[split] if size is None else size
        self.labels = by_task((np.arange(count) % len(CLASS_NAMES)).astype(np.int32))
        self.ids = tuple(f'glyphs/{split}/{i}' for i in range(count))
        self._side = side
        self._key = (seed, zlib.crc32(split.encode()))

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """Renders the example at an index."""
        index = range(len(self))[index]
        labels = take(self.labels, index)
        grey = render(CLASS_NAMES[labels[ONLY]], self._side, np.random.default_rng((*self._key, index)))
        return {'image': np.repeat(grey[..., None], 3, axis=-1), 'labels': labels, 'id': self.ids[index]}


def open_glyphs(argument: str, data: Data, known: Sequence[Task]) -> dict[str, GlyphSource]:
    """As `kinds.Open`."""
    del argument, data, known
    return {part: GlyphSource(part) for part in SIZES}


def render(class_name: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draws one random picture of a class.

    Args:
        class_name: one of `CLASS_NAMES`; a capital without a lowercase class of its own also stands for that letter.
        side: of the picture, pixels.
        rng: source of all randomness.

    Returns:
        Grey picture, uint8, side x side.
    """
    lower = class_name.lower()
    shared = class_name != lower and lower not in _OWN_LOWERCASE
    character = lower if shared and rng.random() < 0.5 else class_name
    stroke = _STROKES[rng.integers(len(_STROKES))]
    master = _master(FONTS[rng.integers(len(FONTS))], character, stroke)
    picture = _distort(master, rng)
    if rng.random() < 0.5:
        # Half as if scanned at low resolution, like the 8 x 8 digits that such a network may be used for.
        low = int(rng.integers(7, 11))
        picture = picture.resize((low, low), Image.Resampling.BOX).resize((side, side), Image.Resampling.BICUBIC)
    else:
        if rng.random() < 0.5:
            picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0, 2.5)))
        picture = picture.resize((side, side), Image.Resampling.BOX)
    values = np.asarray(picture, np.float32)
    values = values * (255 / max(1.0, values.max()))  # thin strokes would fade at low resolution
    ink, ground = rng.uniform(180, 300), max(0.0, rng.uniform(-60, 30))
    noise = rng.uniform(0, 14) * rng.standard_normal((side, side), np.float32)
    return np.clip(ground + values * ((ink - ground) / 255) + noise, 0, 255).astype(np.uint8)


def _distort(master: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The character on the canvas, under a random affine map and a smooth wobble."""
    height = _CANVAS * rng.uniform(0.8, 1.06)
    width = height * (master.width / master.height) * math.exp(rng.uniform(-0.25, 0.15))
    width = min(width, _CANVAS * rng.uniform(0.6, 0.95))
    angle, shear = math.radians(rng.uniform(-15, 15)), rng.uniform(-0.25, 0.25)
    cos, sin, x, y = math.cos(angle), math.sin(angle), master.width / width, master.height / height
    # From the canvas back to the master: rotation, then shear, then scale, each inverted.
    inverse = np.array([[x * (cos + shear * sin), y * -sin], [x * (sin - shear * cos), y * cos]])
    wobble = rng.normal(0, 0.03 * _CANVAS, _GRID.shape) + rng.normal(0, 0.03 * _CANVAS, 2)
    source = (_GRID + wobble) @ inverse + (master.width / 2, master.height / 2)
    quads = source[_CORNERS].reshape(len(_BOXES), 8).tolist()
    cells = list(zip(_BOXES, quads, strict=True))
    return master.transform((_CANVAS, _CANVAS), Image.Transform.MESH, cells, Image.Resampling.BILINEAR)


@functools.cache
def _master(font: str, character: str, stroke: int) -> Image.Image:
    """The character at full contrast, cut to its ink."""
    face = _face(font)
    canvas = Image.new('L', (2 * _EM, 2 * _EM))
    ImageDraw.Draw(canvas).text((_EM // 2, _EM // 4), character, fill=255, font=face, stroke_width=stroke)
    return canvas.crop(canvas.getbbox())


@functools.cache
def _face(font: str) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts', 'ttf', f'{font}.ttf'), _EM)
