"""The contact sheet shows pictures of every class, in its row, and passes over what cannot be read."""

import numpy as np
from PIL import Image

from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.experiments.inspect.contact_sheet import contact_sheet

COLOURS = {'red': (200, 0, 0), 'green': (0, 200, 0), 'blue': (0, 0, 200)}


def source(count=4, side=20):
    images = [np.full((side, side, 3), colour, np.uint8) for colour in COLOURS.values() for _ in range(count)]
    return ArraySource(images, np.repeat([0, 1, 2], count), tuple(COLOURS))


def rows_of(sheet, columns):
    """The colour in the middle of every place, by row."""
    pixels = np.asarray(Image.open(sheet))
    return [
        [tuple(int(v) for v in pixels[6 + row * 120 + 18 + 48, 6 + column * 102 + 48]) for column in range(columns)]
        for row in range(3)
    ]


def test_a_row_holds_the_pictures_of_its_class(tmp_path):
    assert contact_sheet(tmp_path / 'sheet.png', source(), columns=3) == 0
    assert rows_of(tmp_path / 'sheet.png', 3) == [[colour] * 3 for colour in COLOURS.values()]


def test_places_without_a_picture_stay_white(tmp_path):
    contact_sheet(tmp_path / 'sheet.png', source(count=2), columns=3)
    assert rows_of(tmp_path / 'sheet.png', 3) == [[colour, colour, (255, 255, 255)] for colour in COLOURS.values()]


def test_classes_without_room_are_counted(tmp_path):
    assert contact_sheet(tmp_path / 'sheet.png', source(), columns=3, rows=2) == 1
    with Image.open(tmp_path / 'sheet.png') as image:
        assert image.size == (6 + 3 * 102, 6 + 2 * 120)


def test_unreadable_pictures_are_passed_over(tmp_path):
    class Torn(ArraySource):
        def __getitem__(self, index):
            if index == 5:
                raise UnreadableImageError('torn')
            return super().__getitem__(index)

    images = [np.full((20, 20, 3), colour, np.uint8) for colour in COLOURS.values() for _ in range(4)]
    contact_sheet(tmp_path / 'sheet.png', Torn(images, np.repeat([0, 1, 2], 4), tuple(COLOURS)), columns=4)
    green = rows_of(tmp_path / 'sheet.png', 4)[1]
    assert green == [COLOURS['green']] * 3 + [(255, 255, 255)]


def test_the_choice_is_that_of_its_seed(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    many = ArraySource(images, np.arange(40) % 2, ('a', 'b'))
    for name, seed in (('first', 0), ('again', 0), ('other', 1)):
        contact_sheet(tmp_path / f'{name}.png', many, columns=2, seed=seed)
    first, again, other = ((tmp_path / f'{name}.png').read_bytes() for name in ('first', 'again', 'other'))
    assert first == again != other
