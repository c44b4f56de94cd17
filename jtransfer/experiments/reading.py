"""Reading the pictures of a part before anything expensive starts, in the form that evaluation takes them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from jtransfer.config import Config
from jtransfer.data.memory import Decoded, decode_part, readable_part
from jtransfer.data.part import Part
from jtransfer.evaluate.views import Views
from jtransfer.preprocessing import Pixels, Preprocessing
from jtransfer.train.progress import progress_bar

MIB = 2**20
MANY = 2000  # images: a second or two


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """The readable images of a part, framed for evaluation.

    Attributes:
        held: decoded in memory where they fit the budget, else a part to decode on the way.
        pixels: from a picture to the network's square, or to those of all its views.
        ids: names of the examples.
        skipped: ids of unreadable images that were left out.
    """

    held: Decoded | Part
    pixels: Views
    ids: tuple[str, ...]
    skipped: tuple[str, ...]


def fits_budget(part: Part, pixels: Pixels, config: Config) -> bool:
    """Whether the images of a part are to be decoded once and kept, by `data.placement` and its budget.

    What `pixels` makes of each picture counts, with all its views where there are several.
    """
    if config.data.placement != 'auto':
        return config.data.placement == 'device'
    return pixels(np.zeros((8, 8, 3), np.uint8)).nbytes * len(part) <= config.data.device_budget_mib * MIB


def read_examples(part: Part, preprocessing: Preprocessing, config: Config, views: Views | None = None) -> Examples:
    """Reads every image of a part once, so that whatever is wrong with one shows before anything expensive starts.

    Args:
        part: the labelled images.
        preprocessing: of the network.
        config: how images are read, and how much memory they may take.
        views: of each picture, of `make_views`. None: the plain one, as for validation while training.

    Raises:
        UserError: an unreadable image, unless `data.skip_unreadable` leaves them out, or crops that are alike in every
            picture.
    """
    pixels = views or Views(preprocessing)
    data = config.data
    skipped: tuple[str, ...]
    held: Decoded | Part
    with reading_bar(part, config) as bar:
        if fits_budget(part, pixels, config):
            held = decode_part(part, pixels, data.workers, data.skip_unreadable, bar)
            skipped = held.skipped
        else:
            held, skipped = readable_part(part, data.workers, data.skip_unreadable, bar)
    if pixels.crops > 1 and not pixels.room and all(map(pixels.all_alike, _each_pixels(held, pixels))):
        raise pixels.needless_crops()
    return Examples(held, pixels, held.ids, skipped)


def _each_pixels(held: Decoded | Part, pixels: Pixels) -> Iterator[np.ndarray]:
    if isinstance(held, Decoded):
        yield from held.images
    else:
        yield from (pixels(held[index]['image']) for index in range(len(held)))


@contextlib.contextmanager
def reading_bar(part: Part, config: Config) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for reading a part's images, where there are enough of them to wait for."""
    show = config.train.progress and len(part) >= MANY
    with progress_bar('reading images', len(part), show=show) as bar:
        yield lambda done, total: bar(done, f'{done:,} of {total:,}')
