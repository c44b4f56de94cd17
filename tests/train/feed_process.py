"""One process of several: prints the rows of every batch that its devices have, a JSON line a batch.

`feed_process.py PORT PROCESSES PROCESS`
"""

import json
import sys

import jax
import numpy as np

from jtransfer.data.decode.memory import decode_part
from jtransfer.data.feed.stream import host_batches, stream_batches
from jtransfer.data.part import Part
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage
from jtransfer.train.feed import device_feed, stream_feed
from jtransfer.train.placement import make_placement

EXAMPLES, BATCH, SEED, START, STEPS = 12, 8, 3, 1, 3
PIXELS = TrainingImage(ImagePreprocessor(8), crops=True)


def make_part():
    images = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 6, 9, 3), np.uint8)
    return Part(ArraySource(images, np.arange(EXAMPLES) % 3, ('a', 'b', 'c')), np.arange(EXAMPLES))


def feeds(part, placement):
    """Every kind of feed, by name."""
    decoded = decode_part(part, PIXELS)
    rows = {'process': placement.process, 'processes': placement.processes}
    hosted = host_batches(decoded, BATCH, SEED, START, STEPS, **rows)
    streamed = stream_batches(part, PIXELS, BATCH, SEED, START, STEPS, **rows)
    where = {'seed': SEED, 'start_step': START, 'placement': placement}
    return {
        'device': device_feed(decoded.inputs, decoded.labels, batch_size=BATCH, **where),
        'host': stream_feed(hosted, **where),
        'stream': stream_feed(streamed, **where),
    }


def flat(batch):
    """The arrays of a batch by name."""
    rest = {name: leaf for name, leaf in batch.items() if name not in ('inputs', 'labels')}
    return {**rest, **batch['inputs'], 'labels': batch['labels']['']}


def main(port, processes, process):
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    jax.distributed.initialize(f'127.0.0.1:{port}', processes, process)
    placement = make_placement('jit')
    total = jax.jit(lambda images: images.astype(np.int32).sum(), out_shardings=placement.replicated)
    for kind, feed in feeds(make_part(), placement).items():
        for _, batch in zip(range(STEPS), feed, strict=False):
            # A program over the devices of all processes: it sees the whole batch.
            line = {
                'kind': kind,
                'shape': batch['inputs']['image'].shape,
                'sum': int(total(batch['inputs']['image'])),
                'rows': {},
            }
            for name, values in flat(batch).items():
                shards = sorted(values.addressable_shards, key=lambda shard: shard.index[0].start if shard.index else 0)
                line['rows'][name] = np.concatenate([np.atleast_1d(shard.data) for shard in shards]).tolist()
            print(json.dumps(line), flush=True)
    try:
        make_placement('pmap')
    except Exception as error:
        print(json.dumps(str(error)), flush=True)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
