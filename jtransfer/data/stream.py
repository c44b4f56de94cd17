"""Training batches decoded on the way, through Grain, for data that does not fit into memory."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from jtransfer.data.batches import Batch
from jtransfer.data.order import example_order
from jtransfer.data.part import Part
from jtransfer.preprocessing import Pixels

_THREADS = 2  # a batch being read while another is used
_AHEAD = 4  # batches


class _Read:
    """From the number of a step to its batch (picklable)."""

    def __init__(self, part: Part, pixels: Pixels, batch_size: int, seed: int, repeats: int) -> None:
        self._part, self._pixels = part, pixels
        self._order = functools.partial(
            example_order, batch_size=batch_size, num_examples=len(part), seed=seed, repeats=repeats
        )

    def __call__(self, step: int) -> Batch:
        index, epoch = self._order(int(step))
        # The copies of an image are decoded once, which is what makes them cheap.
        read = {i: self._decode(i) for i in dict.fromkeys(index.tolist())}
        rows = [read[i] for i in index.tolist()]
        images, labels, aspects = zip(*rows, strict=True)
        return {
            'image': np.stack(images),
            'label': np.array(labels, np.int32),
            'id': index.astype(np.int32),
            'epoch': epoch,
            'aspect': np.array(aspects, np.float32),
        }

    def _decode(self, index: int) -> tuple[np.ndarray, int, float]:
        example = self._part[index]
        height, width = example['image'].shape[:2]
        return self._pixels(example['image']), example['label'], width / height


def stream_batches(
    part: Part,
    pixels: Pixels,
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    workers: int = 0,
    repeats: int = 1,
) -> Iterator[Batch]:
    """The batches of consecutive steps, exactly those of `training_batch` over the decoded part.

    Unreadable images stop the iteration: `jtransfer.data.memory.readable_part` leaves them out beforehand.

    Args:
        part: the training part.
        pixels: from a picture to the square that is trained on (picklable).
        batch_size: images a step.
        seed: of the order.
        start_step: the first step, from 0; a resumed run starts where it stopped.
        num_steps: how many steps.
        workers: decoding processes. 0: decode in threads of the calling process.
        repeats: how often every image comes, see `example_order`.

    Yields:
        What `jtransfer.data.batches.training_batch` returns.
    """
    steps = grain.MapDataset.range(start_step, start_step + num_steps)
    batches = steps.map(_Read(part, pixels, batch_size, seed, repeats))
    reading = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    stream = batches.to_iter_dataset(reading)
    if workers:
        if not flags.FLAGS.is_parsed():
            # Grain's worker processes read Grain's own flags, which nobody has parsed outside an absl program.
            flags.FLAGS.mark_as_parsed()
        stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_AHEAD))
    iterator = iter(stream)
    try:
        for batch in iterator:
            # What worker processes send lies in shared memory, which should not live as long as a reader keeps it.
            yield {name: np.array(values) for name, values in batch.items()}
    finally:
        iterator.close()
        # Grain's iterators are in reference cycles, and hold shared memory that must be gone before the program ends.
        del iterator, stream
        gc.collect()
