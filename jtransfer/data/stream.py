"""Training batches decoded on the way, through Grain, for data that does not fit into memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from jtransfer.data.batches import Batch
from jtransfer.data.order import example_order
from jtransfer.data.parts import Part
from jtransfer.preprocessing import Pixels

_THREADS = 2  # a batch being read while another is used
_AHEAD = 4  # batches


class _Decode:
    """From a position in the endless sequence of examples to one training example (picklable)."""

    def __init__(self, part: Part, pixels: Pixels, seed: int) -> None:
        self._part, self._pixels, self._seed = part, pixels, seed

    def __call__(self, position: int) -> dict[str, np.ndarray | np.generic]:
        index, epoch = example_order(int(position), 1, len(self._part), self._seed)
        example = self._part[int(index[0])]
        height, width = example['image'].shape[:2]
        return {
            'image': self._pixels(example['image']),
            'label': np.int32(example['label']),
            'id': np.int32(index[0]),
            'epoch': np.int32(epoch[0]),
            'aspect': np.float32(width / height),
        }


def stream_batches(
    part: Part,
    pixels: Pixels,
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    workers: int = 0,
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

    Yields:
        What `jtransfer.data.batches.training_batch` returns.
    """
    positions = grain.MapDataset.range(start_step * batch_size, (start_step + num_steps) * batch_size)
    batches = positions.map(_Decode(part, pixels, seed)).batch(batch_size, drop_remainder=True)
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
