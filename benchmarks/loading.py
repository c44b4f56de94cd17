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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks.machine import circumstances
from jtransfer.config import Config, validate
from jtransfer.config import replace as configured
from jtransfer.data.images import decode_image
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.data.stream import stream_batches
from jtransfer.experiments.feeding import feeds
from jtransfer.experiments.training import make_step_parts
from jtransfer.preprocessing import Preprocessing, training_pixels, whole_picture
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
BATCH = 32
SIDE = 256
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


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and largest."""
    found = {'median': statistics.median(values), 'min': min(values), 'max': max(values)}
    return {name: round(value, 3) for name, value in found.items()}


@contextmanager
def one_core() -> Iterator[None]:
    """Binds the calling thread, and what it starts meanwhile, to one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def decoding(part: Part, paths: list[pathlib.Path]) -> dict[str, Any]:
    """Images a second on one core by who decodes, medians, and the ratios of ours to the others."""

    def pillow(path: pathlib.Path) -> Image.Image:
        with Image.open(path) as image:
            return image.convert('RGB')

    def each(function: Callable[[pathlib.Path], Any]) -> Callable[[], float]:
        def measured() -> float:
            began = time.perf_counter()
            for path in paths:
                function(path)
            return time.perf_counter() - began

        return measured

    def squashed(path: pathlib.Path) -> np.ndarray:
        return np.asarray(pillow(path).resize((SIDE, SIDE), Image.Resampling.BICUBIC))

    ways = {
        'ours, decode': each(decode_image),
        'ours, decode and squash': each(lambda path: whole_picture(decode_image(path), SIDE)),
        'Pillow, decode': each(lambda path: np.asarray(pillow(path))),
        'Pillow, decode and squash': each(squashed),
    }
    with one_core(), reference(paths) as (theirs, versions):
        ways |= theirs
        ways['ours, stream of batches, 0 workers'] = lambda: stream_seconds(part, 0)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(_RUNS.value + 1):
            for name, measure in ways.items():
                seconds = measure()
                if run:  # the first one reads the files and starts threads
                    times[name].append(seconds)
    compared = {
        'decode, to Pillow': ('ours, decode', 'Pillow, decode'),
        'decode and squash, to Pillow': ('ours, decode and squash', 'Pillow, decode and squash'),
        'decode, to tf.data': ('ours, decode', 'tf.data, decode'),
        'decode and squash, to tf.data bicubic': ('ours, decode and squash', 'tf.data, decode and squash, bicubic'),
        'decode and squash, to tf.data default': ('ours, decode and squash', 'tf.data, decode and squash, default'),
        'stream, to decode and squash': ('ours, stream of batches, 0 workers', 'ours, decode and squash'),
    }
    return {
        'images_per_second': {name: round(len(paths) / statistics.median(values)) for name, values in times.items()},
        'ratio': {
            name: spread([b / a for a, b in zip(times[own], times[other], strict=True)])
            for name, (own, other) in compared.items()
            if own in times and other in times
        },
        'reference': {'pillow': metadata.version('pillow'), **versions},
    }


@contextmanager
def reference(paths: list[pathlib.Path]) -> Iterator[tuple[dict[str, Callable[[], float]], dict[str, str]]]:
    """What measures tf.data's ways of decoding, and TensorFlow's version; nothing without an interpreter."""
    if not _TENSORFLOW.value:
        yield {}, {}
        return
    script = ROOT / 'benchmarks' / 'tf_decoding.py'
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    with subprocess.Popen(
        [_TENSORFLOW.value, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout
        question, answer = process.stdin, process.stdout

        def ask(line: str) -> Any:
            question.write(line + '\n')
            question.flush()
            return json.loads(answer.readline())

        versions = ask(json.dumps([str(path) for path in paths]))
        names = {
            'tf.data, decode': 'decode',
            'tf.data, decode and squash, bicubic': 'bicubic',
            'tf.data, decode and squash, default': 'default',
        }
        yield {name: functools.partial(ask, way) for name, way in names.items()}, versions


def stream_seconds(part: Part, workers: int) -> float:
    """Seconds of an epoch of batches, the second of two, from files to pixels in memory."""
    steps = len(part) // BATCH
    pixels = training_pixels(Preprocessing(224), crops=True)
    batches = stream_batches(part, pixels, BATCH, 0, 0, 2 * steps, workers)
    for _ in range(steps):
        next(batches)
    began = time.perf_counter()
    seen = sum(len(batch['label']) for batch in batches)
    # In images of the whole part, as those of the others are.
    return (time.perf_counter() - began) * len(part) / seen


def epochs(part: Part, config: Config, cache: pathlib.Path) -> dict[str, Any]:
    """Seconds before the first batch and of an epoch, by where the pictures are."""
    placement, preprocessing = make_placement('jit'), Preprocessing(224)
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
            'decode': functools.partial(decoding, part, paths),
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
