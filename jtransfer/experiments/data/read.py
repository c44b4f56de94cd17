"""Reading the pictures of a part before anything expensive starts, in the form that evaluation takes them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from jtransfer.config import Config
from jtransfer.data.decode import decode_cache
from jtransfer.data.decode.memory import Decoded, can_be_cached, decode_part, readable_part
from jtransfer.data.part import Part
from jtransfer.files.paths import expanded
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.prepare import Held, Prepare, Views, nbytes
from jtransfer.train.logs.progress import progress_bar

MIB = 2**20
MANY = 2000  # images: a second or two


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """The readable images of a part, framed for evaluation.

    Attributes:
        held: decoded where they fit a budget, else a part to decode on the way.
        views: from an example to what evaluation holds of it.
        ids: names of the examples.
        skipped: ids of unreadable images that were left out.
    """

    held: Decoded | Part
    views: Views
    ids: tuple[str, ...]
    skipped: tuple[str, ...]


def placement_of(part: Part, prepare: Prepare, config: Config) -> str:
    """Where the images of a part are kept, `device`, `host` or `stream`, by `data.placement` and the budgets.

    What `prepare` makes of each example counts, with all its views where there are several. `auto` makes a file only
    of what is decoded from files: pictures that are in memory anyway are streamed from there.
    """
    data = config.data
    if data.placement != 'auto':
        return data.placement
    if _mib(part, prepare) <= data.device_budget_mib:
        return 'device'
    return 'stream' if cache_of(part, prepare, config) is None else 'host'


def cache_of(part: Part, prepare: Prepare, config: Config) -> Path | None:
    """The folder of decoded pictures that a part is to be read with, if any."""
    data = config.data
    if not data.cache or not can_be_cached(part, prepare):
        return None
    if data.placement == 'auto' and _mib(part, prepare) > data.cache_budget_mib:
        return None
    return expanded(data.cache_dir) if data.cache_dir else decode_cache.default_folder()


def read_decoded(part: Part, prepare: Prepare, config: Config) -> Decoded:
    """Decodes a part, or finds it in the cache, and shows how far it is.

    Raises:
        UserError: an unreadable image, unless `data.skip_unreadable` leaves them out, or a cache that cannot be used.
    """
    data = config.data
    with _reading_bar(part, config) as bar:
        return decode_part(part, prepare, data.workers, data.skip_unreadable, bar, cache_of(part, prepare, config))


def read_through(part: Part, config: Config) -> tuple[Part, tuple[str, ...]]:
    """Decodes every image of a part once and keeps none; the readable part, and the ids of the other images.

    Raises:
        UserError: an unreadable image, unless `data.skip_unreadable` leaves them out.
    """
    with _reading_bar(part, config) as bar:
        return readable_part(part, config.data.workers, config.data.skip_unreadable, bar)


def read_examples(part: Part, preprocessing: Preprocessor, config: Config, views: Views | None = None) -> Examples:
    """Reads every image of a part once, so that whatever is wrong with one shows before anything expensive starts.

    Args:
        part: the labelled images.
        preprocessing: of the network.
        config: how images are read, and how much memory they may take.
        views: of each picture, of `make_views`. None: the plain one, as for validation while training.

    Raises:
        UserError: an unreadable image, unless `data.skip_unreadable` leaves them out, a cache that cannot be used, or
            crops that are alike in every picture.
    """
    views = views or preprocessing.views()
    skipped: tuple[str, ...]
    held: Decoded | Part
    if placement_of(part, views, config) == 'stream':
        held, skipped = read_through(part, config)
    else:
        held = read_decoded(part, views, config)
        skipped = held.skipped
    views.check(_each_held(held, views))
    return Examples(held, views, held.ids, skipped)


def _mib(part: Part, prepare: Prepare) -> float:
    return nbytes(prepare.spec) * len(part) / MIB


def _each_held(held: Decoded | Part, views: Views) -> Iterator[Held]:
    for index in range(len(held)):
        if isinstance(held, Decoded):
            yield {name: rows[index] for name, rows in held.inputs.items()}
        else:
            yield views(held[index])


@contextlib.contextmanager
def _reading_bar(part: Part, config: Config) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for reading a part's images, where there are enough of them to wait for."""
    show = config.train.progress and len(part) >= MANY
    with progress_bar('reading images', len(part), show=show) as bar:
        yield lambda done, total: bar(done, '')
