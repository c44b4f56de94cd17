"""Training batches made ready on the host, through Grain: decoded on the way, or gathered from decoded pictures."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator

import grain
import numpy as np
from absl import flags
from jaxtyping import Int32

from jtransfer.data.decode import decoding_process
from jtransfer.data.decode.memory import Decoded
from jtransfer.data.feed.batches import Batch, about, gather_batch, stacked
from jtransfer.data.feed.order import Order, make_order, process_rows
from jtransfer.data.part import Part
from jtransfer.errors import OutOfMemoryError
from jtransfer.inputs.prepare import Prepare

# What Grain says of a process that a signal has ended.
_KILLED = re.compile(r'terminated unexpectedly with exit code (-\d+)')
_THREADS = 2  # a batch being read while another is used
_AHEAD = 4  # batches


class _Read:
    """From the number of a step to its batch, decoded (picklable)."""

    def __init__(self, part: Part, prepare: Prepare, order: Order, rows: slice) -> None:
        self._part, self._prepare, self._order, self._rows = part, prepare, order, rows
        self._labels, self._weights = part.labels, part.weights

    def __call__(self, step: int) -> Batch:
        index, epoch = (values[self._rows] for values in self._order(int(step)))
        # The copies of an image are decoded once, which is what makes them cheap.
        read = {i: self._prepare(self._part[i]) for i in dict.fromkeys(index.tolist())}
        return {
            'inputs': stacked([read[i] for i in index.tolist()]),
            **about(self._labels, self._weights, index, epoch),
        }


class _Gather:
    """From the number of a step to its batch, out of decoded pictures."""

    def __init__(self, decoded: Decoded, order: Order, rows: slice) -> None:
        self._decoded, self._order, self._rows = decoded, order, rows

    def __call__(self, step: int) -> Batch:
        index, epoch = (values[self._rows] for values in self._order(int(step)))
        return gather_batch(self._decoded, index, epoch)


def stream_batches(
    part: Part,
    prepare: Prepare,
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    workers: int = 0,
    repeats: int = 1,
    classes: Int32[np.ndarray, ' n'] | None = None,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """The batches of consecutive steps, exactly those of `training_batch` over the decoded part.

    Unreadable images stop the iteration: `jtransfer.data.decode.memory.readable_part` leaves them out beforehand.

    Args:
        part: the training part.
        prepare: from an example to what is held of it.
        batch_size: images a step, of all processes together.
        seed: of the order.
        start_step: the first step, from 0; a resumed run starts where it stopped.
        num_steps: how many steps.
        workers: decoding processes. 0: decode in threads of the calling process.
        repeats: how often every image comes, see `make_order`.
        classes: of every example, to sample them in turn. None: every image once an epoch.
        process: which of the processes of a run this is, from 0; it decodes its own rows of every batch alone.
        processes: how many there are.

    Yields:
        What `jtransfer.data.feed.batches.training_batch` returns, or this process's rows of it.
    """
    order = make_order(len(part), batch_size, seed, repeats, classes)
    read = _Read(part, prepare, order, process_rows(batch_size, process, processes))
    yield from _batches(read, start_step, num_steps, workers)


def host_batches(
    decoded: Decoded,
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    repeats: int = 1,
    classes: Int32[np.ndarray, ' n'] | None = None,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """The same from decoded pictures on the host, gathered in threads; for a mapped file larger than the device.

    Args:
        decoded: the training part.
        batch_size: images a step, of all processes together.
        seed: of the order.
        start_step: the first step, from 0.
        num_steps: how many steps.
        repeats: how often every image comes, see `make_order`.
        classes: of every example, to sample them in turn. None: every image once an epoch.
        process: which of the processes of a run this is, from 0.
        processes: how many there are.

    Yields:
        What `jtransfer.data.feed.batches.training_batch` returns, or this process's rows of it.
    """
    order = make_order(len(decoded), batch_size, seed, repeats, classes)
    gather = _Gather(decoded, order, process_rows(batch_size, process, processes))
    yield from _batches(gather, start_step, num_steps, workers=0)


def _batches(read: Callable[[int], Batch], start_step: int, num_steps: int, workers: int) -> Iterator[Batch]:
    batches = grain.MapDataset.range(start_step, start_step + num_steps).map(read)
    reading = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    stream = batches.to_iter_dataset(reading)
    if workers:
        if not flags.FLAGS.is_parsed():
            # Grain's worker processes read Grain's own flags, which nobody has parsed outside an absl program.
            flags.FLAGS.mark_as_parsed()
        several = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_AHEAD)
        stream = stream.mp_prefetch(several, worker_init_fn=decoding_process.begin)
    iterator = iter(stream)
    try:
        for batch in _told(iterator):
            # What worker processes send lies in shared memory, which should not live as long as a reader keeps it.
            yield _copied(batch) if workers else batch
    finally:
        iterator.close()
        # Grain's iterators are in reference cycles, and hold shared memory that must be gone before the program ends.
        del iterator, stream
        gc.collect()


def _copied(batch: Batch) -> Batch:
    return {
        name: {key: np.array(leaf) for key, leaf in values.items()} if isinstance(values, dict) else np.array(values)
        for name, values in batch.items()
    }


def _told(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches; raises `OutOfMemoryError` where the system has ended a decoding process, as it does for memory."""
    try:
        yield from batches
    except RuntimeError as error:
        if not (killed := _KILLED.search(str(error))):
            raise
        raise OutOfMemoryError(
            f'a decoding process of data.workers was ended from outside (exit code {killed[1]}), as the system does '
            'when memory runs out: fewer data.workers or a smaller data.batch_size need less; data.workers=0 has none'
        ) from error
