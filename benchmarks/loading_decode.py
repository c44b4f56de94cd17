"""Decoding against Pillow and tf.data on the same JPEG files, on one core: a part of `benchmarks.loading`."""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image

from jtransfer.data.decode.images import decode_image
from jtransfer.data.feed.stream import stream_batches
from jtransfer.data.part import Part
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage
from jtransfer.inputs.image_pixels import whole_picture

BATCH = 32
SIDE = 256


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


def decoding(part: Part, paths: list[pathlib.Path], runs: int, tensorflow: str) -> dict[str, Any]:
    """Images a second on one core by who decodes, medians, and the ratios of ours to the others.

    Args:
        part: the photographs, for a stream of them.
        paths: their files.
        runs: of each.
        tensorflow: an interpreter that has it. Empty: tf.data is left out.
    """

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
    with one_core(), reference(paths, tensorflow) as (theirs, versions):
        ways |= theirs
        ways['ours, stream of batches, 0 workers'] = lambda: stream_seconds(part, 0)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(runs + 1):
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
def reference(
    paths: list[pathlib.Path], tensorflow: str
) -> Iterator[tuple[dict[str, Callable[[], float]], dict[str, str]]]:
    """What measures tf.data's ways of decoding, and TensorFlow's version; nothing without an interpreter."""
    if not tensorflow:
        yield {}, {}
        return
    script = pathlib.Path(__file__).with_name('tf_decoding.py')
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    with subprocess.Popen(
        [tensorflow, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
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
    pixels = TrainingImage(ImagePreprocessor(224), crops=True)
    batches = stream_batches(part, pixels, BATCH, 0, 0, 2 * steps, workers)
    for _ in range(steps):
        next(batches)
    began = time.perf_counter()
    seen = sum(len(batch['id']) for batch in batches)
    # In images of the whole part, as those of the others are.
    return (time.perf_counter() - began) * len(part) / seen
