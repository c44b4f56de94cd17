"""Loading: decoding against Pillow and tf.data on the same JPEG files, an epoch from the cache, and waiting for data.

    python -m benchmarks.loading --tensorflow=PYTHON

PYTHON is an interpreter with TensorFlow, which need not be this one (it does not install beside every JAX); without it,
tf.data is left out. The photographs are those of clothing in `../shared/data` where it is present, else cuts of
scikit-learn's two. All files are in the page cache: disks are not measured.

- decode: images a second of one core (the process and what it starts are bound to it), file to pixels in memory. All
  take turns within a run, each with the same files; ratios are medians of the ratios within a run.
- epoch: seconds before the first batch, and of an epoch (the second) of a run's own feed with nothing else to do, for a
  network of 224 pixels that takes random crops, on all cores. The first use of the cache begins with an empty one.
- waiting: share of the time of training steps spent in `next(feed)`, each step being waited for, so that everything
  else is computation. On a CPU, decoding takes cores from the computation instead of keeping it waiting: therefore also
  the time of a step over that of a step whose pictures are on the device.

Writes `benchmarks/results/loading.json` and prints it.
"""

import dataclasses
import functools
import io
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks.loading_decode import BATCH, decoding, spread
from benchmarks.machine import circumstances
from jtransfer.config import Config, validate
from jtransfer.config import replace as configured
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.experiments.run.feed import feeds
from jtransfer.experiments.run.prepare import make_step_parts
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.model import load_model
from jtransfer.train.placement import make_placement
from jtransfer.transfer.plan import make_plan

_RUNS = flags.DEFINE_integer('runs', 5, 'Runs of each.', lower_bound=1)
_TENSORFLOW = flags.DEFINE_string('tensorflow', '', 'Python interpreter with TensorFlow. Empty: leave tf.data out.')
_IMAGES = flags.DEFINE_integer('images', 480, 'Photographs.', lower_bound=64)
_NETWORK = flags.DEFINE_string('network', 'resnet_small', 'The network that is trained.')
_SIDE = flags.DEFINE_integer('side', 32, 'Side of the input of the network that is trained, pixels.')

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLOTHING = ROOT.parent / 'shared' / 'data' / 'clothing' / 'train'
# Steps that are counted, and those before them: what a stream has made ready beforehand must be used up.
STEPS, WARM = 12, {'stream': 16, 'host': 8, 'device': 2}
FEEDS = {
    'stream, 0 workers': ('stream', 0),
    'stream, 2 workers': ('stream', 2),
    'host': ('host', 0),
    'device': ('device', 0),
}


def photographs(folder: pathlib.Path) -> None:
    """A folder of JPEG files in class folders: links to photographs of clothing, or cuts of scikit-learn's."""
    random = np.random.default_rng(0)
    if CLOTHING.is_dir():
        every = sorted(CLOTHING.rglob('*.jpg'))
        for number in np.sort(random.permutation(len(every))[: _IMAGES.value]):
            place = folder / every[number].relative_to(CLOTHING)
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(every[number])
        return
    from sklearn.datasets import load_sample_images

    for number in range(_IMAGES.value):
        picture = load_sample_images().images[number % 2]
        height, width = (232, 310) if random.random() < 0.5 else (310, 232)
        top, left = (random.integers(whole - side) for whole, side in zip(picture.shape, (height, width), strict=False))
        place = folder / f'photograph{number % 2}'
        place.mkdir(exist_ok=True)
        Image.fromarray(picture[top : top + height, left : left + width]).save(place / f'{number}.jpg', quality=90)


def epochs(part: Part, config: Config, cache: pathlib.Path) -> dict[str, Any]:
    """Seconds before the first batch and of an epoch, by where the pictures are."""
    placement, preprocessing = make_placement('jit'), ImagePreprocessor(224)
    kinds = {**FEEDS, 'stream, 1 worker': ('stream', 1), 'host, first use of the cache': ('host', 0)}
    before: dict[str, list[float]] = {name: [] for name in kinds}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for run in range(_RUNS.value + 1):
        for name, (kept, workers) in kinds.items():
            folder = cache / (f'first{run}' if 'first' in name else 'used')
            own = with_feed(config, kept, workers, folder)
            began = time.perf_counter()
            count, make_feed, _ = feeds(part, preprocessing, own, placement)
            feed = make_feed(0)
            jax.block_until_ready(next(feed))
            first = time.perf_counter() - began
            for _ in range(count // BATCH - 1):
                jax.block_until_ready(next(feed))
            began = time.perf_counter()
            for _ in range(count // BATCH):
                jax.block_until_ready(next(feed))
            seconds = time.perf_counter() - began
            feed.close()  # type: ignore[attr-defined]
            if run:  # the first one fills the cache, and compiles
                before[name].append(first)
                times[name].append(seconds)
    streamed = times['stream, 0 workers']
    return {
        name: {
            'before_first_batch_s': round(statistics.median(before[name]), 3),
            'epoch_s': round(statistics.median(times[name]), 3),
            'images_per_second': round(len(part) // BATCH * BATCH / statistics.median(times[name])),
            'times_faster_than_jpeg': spread([a / b for a, b in zip(streamed, times[name], strict=True)]),
        }
        for name in kinds
    }


def waiting(part: Part, config: Config, cache: pathlib.Path) -> dict[str, Any]:
    """Length of a step, the share of it spent waiting for the batch, and what that costs, by strategy and feed."""
    placement = make_placement('jit')
    model = load_model(
        architecture=_NETWORK.value, class_names=part.class_names, image_size=_SIDE.value, random_weights=True
    )
    results = {}
    for strategy in ('linear_probe', 'fine_tune'):
        config = dataclasses.replace(config, transfer=dataclasses.replace(config.transfer, strategy=strategy))
        plan = make_plan(model.network, model.variables['params'], config.transfer, config.optim.weight_decay)
        parts = make_step_parts(model, plan, config, len(part))
        step = placement.compile(parts, parts.start(model.variables).trainable)
        shares: dict[str, list[float]] = {name: [] for name in FEEDS}
        lengths: dict[str, list[float]] = {name: [] for name in FEEDS}
        for run in range(_RUNS.value + 1):
            for name, (kept, workers) in FEEDS.items():
                _, make_feed, _ = feeds(part, model.preprocessing, with_feed(config, kept, workers, cache), placement)
                feed = make_feed(0)
                state = placement.put_state(parts.start(model.variables))
                waited = 0.0
                began = time.perf_counter()
                for number in range(WARM[kept] + STEPS):
                    if number == WARM[kept]:
                        waited, began = 0.0, time.perf_counter()
                    asked = time.perf_counter()
                    batch = next(feed)
                    waited += time.perf_counter() - asked
                    state, metrics = step(state, batch)
                    jax.block_until_ready(metrics)
                whole = time.perf_counter() - began
                feed.close()  # type: ignore[attr-defined]
                if run:  # the first one compiles, and fills the cache
                    shares[name].append(waited / whole)
                    lengths[name].append(whole / STEPS * 1e3)
        results[strategy] = {
            name: {
                'step_ms': round(statistics.median(lengths[name]), 1),
                'share_waiting': spread(shares[name]),
                'step_over_device': spread([a / b for a, b in zip(lengths[name], lengths['device'], strict=True)]),
            }
            for name in FEEDS
        }
    return results


def with_feed(config: Config, kept: str, workers: int, cache: pathlib.Path) -> Config:
    """The configuration with another way of feeding."""
    data = dataclasses.replace(config.data, placement=kept, workers=workers, cache_dir=str(cache))
    return dataclasses.replace(config, data=data)


def main(_: list[str]) -> None:
    """Measures, and writes the medians."""
    flags_given = f'--runs={_RUNS.value} --images={_IMAGES.value} --network={_NETWORK.value} --side={_SIDE.value}'
    record = circumstances(
        f'python -m benchmarks.loading {flags_given}' + (' --tensorflow=PYTHON' if _TENSORFLOW.value else '')
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = pathlib.Path(scratch) / 'photographs', pathlib.Path(scratch) / 'cache'
        folder.mkdir()
        photographs(folder)
        paths = sorted(folder.rglob('*.jpg'))
        config = Config()
        for field, value in {
            'data.source': f'folder:{folder}',
            'data.test_fraction': 0.0,
            'data.batch_size': BATCH,
            'augment.crop_scale': (0.35, 1.0),
            'model.name': _NETWORK.value,
            'transfer.strategy': 'scratch',
            'optim.name': 'sgd',
            'train.steps': 1000,
            'train.progress': False,
        }.items():
            config = configured(config, field, value)
        config = validate(config)
        part = load_parts(config.data, 0).train
        sizes = []
        for path in paths:
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                sizes.append(image.size)
        record |= {
            'device': jax.devices()[0].device_kind,
            'runs': _RUNS.value,
            'load_average': round(os.getloadavg()[0], 1),
            'photographs': {
                'of': 'clothing' if CLOTHING.is_dir() else 'scikit-learn',
                'count': len(paths),
                'median_size': [statistics.median(size[axis] for size in sizes) for axis in (0, 1)],
                'median_kib': round(statistics.median(path.stat().st_size for path in paths) / 1024, 1),
            },
        }
        results = {}
        for name, measure in {
            'decode': functools.partial(decoding, part, paths, _RUNS.value, _TENSORFLOW.value),
            'epoch': functools.partial(epochs, part, config, cache / 'epochs'),
            'waiting': functools.partial(waiting, part, config, cache / 'waiting'),
        }.items():
            began = time.perf_counter()
            results[name] = measure()
            print(f'{name}: {time.perf_counter() - began:.0f} s', file=sys.stderr, flush=True)
    record['results'] = results
    path = ROOT / 'benchmarks' / 'results' / 'loading.json'
    path.write_text(json.dumps(record, indent=2) + '\n')
    print(json.dumps(results, indent=2))
    print(path)


if __name__ == '__main__':
    app.run(main)
