"""From a training part to the batches of its steps: kept on the devices, in a file of decoded pictures, or streamed."""

from __future__ import annotations

from jtransfer.config import Config
from jtransfer.data.memory import decode_part, readable_part
from jtransfer.data.part import Part
from jtransfer.data.parts import check_batch_size
from jtransfer.data.stream import stream_batches
from jtransfer.experiments.reading import fits_budget, reading_bar
from jtransfer.preprocessing import Preprocessing, training_pixels
from jtransfer.train.feed import Feed, FeedMaker, device_feed, stream_feed
from jtransfer.train.loop import total_steps
from jtransfer.train.placement import Placement


def feeds(
    part: Part, preprocessing: Preprocessing, config: Config, placement: Placement
) -> tuple[int, FeedMaker, tuple[str, ...]]:
    """How many examples there are, what makes the feed from a step on, and the ids of the unreadable images."""
    pixels = training_pixels(preprocessing, config.augment.crops, config.augment.sizes)
    data, seed, repeats = config.data, config.seed, config.augment.repeats
    if fits_budget(part, pixels, config):
        with reading_bar(part, config) as bar:
            decoded = decode_part(part, pixels, data.workers, data.skip_unreadable, bar)
        check_batch_size(data.batch_size, len(decoded))

        def from_device(start: int) -> Feed:
            return device_feed(
                decoded.images,
                decoded.labels,
                decoded.aspects,
                batch_size=data.batch_size,
                seed=seed,
                start_step=start,
                placement=placement,
                repeats=repeats,
            )

        return len(decoded), from_device, decoded.skipped
    with reading_bar(part, config) as bar:
        readable, skipped = readable_part(part, data.workers, data.skip_unreadable, bar)
    check_batch_size(data.batch_size, len(readable))
    total = total_steps(config, len(readable))

    def from_stream(start: int) -> Feed:
        steps = total - start
        batches = stream_batches(readable, pixels, data.batch_size, seed, start, steps, data.workers, repeats)
        return stream_feed(batches, seed=seed, start_step=start, placement=placement)

    return len(readable), from_stream, skipped
