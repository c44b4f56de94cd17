"""A contact sheet: some pictures of every class, on one page for a person to look at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.given import opened
from jtransfer.data.source import Source
from jtransfer.files.writing import atomic_path
from jtransfer.inputs.image import IMAGE
from jtransfer.inputs.prepare import field_of
from jtransfer.text.outside import printable

_SIDE, _GAP, _TITLE = 96, 6, 18  # pixels
_ROWS = 60
_GROUND, _INK, _SOFT = '#ffffff', '#12120f', '#77746c'


def contact_sheet(
    path: str | os.PathLike[str], source: Source, *, columns: int = 12, rows: int = _ROWS, seed: int = 0
) -> int:
    """Draws some pictures of every class, at random, a row a class, as a PNG; unreadable ones are passed over.

    Of several tasks the first that has classes counts; pictures of several labels stand in the row of each. Where there
    are only numbers, a row holds pictures of alike values, from small to large.

    Args:
        path: of the picture; replaced whole, or not at all.
        source: labelled images.
        columns: pictures a row, ≥ 1.
        rows: at most so many classes, the first ones.
        seed: of the choice, ≥ 0.

    Returns:
        How many classes are not on the sheet.
    """
    source = opened(source)
    groups = _rows(source)
    shown = groups[:rows]
    width = _GAP + columns * (_SIDE + _GAP)
    sheet = Image.new('RGB', (width, _GAP + len(shown) * (_TITLE + _SIDE + _GAP)), _GROUND)
    draw, font = ImageDraw.Draw(sheet), _font()
    for row, (title, members) in enumerate(shown):
        top = _GAP + row * (_TITLE + _SIDE + _GAP)
        number = '1 image' if len(members) == 1 else f'{len(members):,} images'
        title = _shortened(title, lambda text: draw.textlength(text, font=font), max(60.0, width - 120.0))
        draw.text((_GAP, top), title, fill=_INK, font=font)
        draw.text((_GAP + draw.textlength(f'{title}  ', font=font), top), number, fill=_SOFT, font=font)
        order = np.random.default_rng((seed, row)).permutation(members)
        column = 0
        for index in order.tolist():
            if column == columns:
                break
            try:
                picture = Image.fromarray(field_of(source[index], IMAGE, 'a contact sheet'))
            except UnreadableImageError:
                continue
            enlarged = picture.width < _SIDE and picture.height < _SIDE
            scale = _SIDE / max(picture.size)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            method = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
            picture = picture.resize(size, method)
            left = _GAP + column * (_SIDE + _GAP)
            sheet.paste(picture, (left + (_SIDE - size[0]) // 2, top + _TITLE + (_SIDE - size[1]) // 2))
            column += 1
    with atomic_path(path) as temporary:
        sheet.save(temporary, 'PNG', optimize=True)
    return len(groups) - len(shown)


def _font() -> ImageFont.FreeTypeFont:
    """matplotlib's, which has the letters of more languages than Pillow's own."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), 12)


def _shortened(title: str, measure: Callable[[str], float], most: float) -> str:
    """The title in one line of at most so many pixels."""
    title = printable(' '.join(title.split()))
    if measure(title) <= most:
        return title
    kept = next(length for length in range(len(title) - 1, -1, -1) if measure(f'{title[:length]}…') <= most)
    return f'{title[:kept]}…'


def _rows(source: Source) -> list[tuple[str, np.ndarray]]:
    """A title and the examples of each row."""
    tasks = source.tasks
    task = next((task for task in tasks if task.has_classes), tasks[0])
    return task.groups(source.labels[task.name])
