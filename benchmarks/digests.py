"""What digests cost: saving and reading a training state, a network, and cached images, with them and without.

    python -m benchmarks.digests --rounds=5

The state is that of fine-tuning ResNet-50 with AdamW (282 MB), the network its `model.safetensors` (94 MB), the images
256 × 256 pixels of noise. Both ways are timed in turn within every round; all files are in the page cache. Ratios are
of medians. Writes `benchmarks/results/digests.json` and prints it.
"""

import contextlib
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import numpy as np
from absl import app, flags

from benchmarks.machine import circumstances
from jtransfer.data.decode.decode_cache import DecodeCache, Row, digest_of
from jtransfer.pretrained.files import safetensors
from jtransfer.pretrained.model import load_model
from jtransfer.rules import flatten
from jtransfer.train.saving import checkpoints, digests
from jtransfer.train.saving.checkpoints import Checkpoints
from jtransfer.train.saving.run_progress import RunProgress
from jtransfer.train.state import TrainState

_ROUNDS = flags.DEFINE_integer('rounds', 5, 'Times that each is done with digests, and without.', lower_bound=1)
_IMAGES = flags.DEFINE_integer('images', 500, 'Cached images.', lower_bound=1)

RESULTS = pathlib.Path(__file__).resolve().parent / 'results' / 'digests.json'
Seconds = dict[str, float]


def main(_: list[str]) -> None:
    """Measures, writes and prints."""
    variables = load_model(architecture='resnet50', class_names=[str(number) for number in range(10)]).variables
    found: dict[str, Any] = {}
    for name, measure in (('checkpoint', _checkpoint(variables)), ('model.safetensors', _network(variables))):
        rows: dict[bool, list[Seconds]] = {True: [], False: []}
        for number in range(2 * (_ROUNDS.value + 1)):
            kept = number % 2 == 0
            with contextlib.nullcontext() if kept else _without(), tempfile.TemporaryDirectory() as folder:
                row = measure(pathlib.Path(folder))
            if number > 1:  # the first of each warms up
                rows[kept].append(row)
        found[name] = {what: _compared([r[what] for r in rows[True]], [r[what] for r in rows[False]]) for what in row}
    found['cached images'] = _cached()
    record = {**circumstances(f'python -m benchmarks.digests --rounds={_ROUNDS.value}'), 'results': found}
    RESULTS.write_text(json.dumps(record, indent=2, ensure_ascii=False) + '\n')
    print(json.dumps(record, indent=2, ensure_ascii=False))


def _checkpoint(variables: Any) -> Callable[[pathlib.Path], Seconds]:
    params = jax.tree.map(np.asarray, variables['params'])
    random = np.random.default_rng(0)
    moments = [jax.tree.map(lambda x: random.standard_normal(x.shape).astype(x.dtype), params) for _ in range(2)]
    statistics_ = jax.tree.map(np.asarray, {'batch_stats': variables['batch_stats']})
    state = TrainState(np.int32(1), params, {}, statistics_, moments, None)

    def measure(folder: pathlib.Path) -> Seconds:
        opened = Checkpoints(folder)
        began = time.perf_counter()
        opened.save_last(state, RunProgress())
        called = time.perf_counter()
        opened.wait()
        saved = time.perf_counter()
        checkpoints.read_variables(folder)
        read = time.perf_counter()
        opened.close()
        return {'training waits': called - began, 'until it is complete': saved - began, 'read': read - saved}

    return measure


def _network(variables: Any) -> Callable[[pathlib.Path], Seconds]:
    arrays = {name: np.asarray(leaf) for name, leaf in flatten(dict(variables)).items()}

    def measure(folder: pathlib.Path) -> Seconds:
        path = folder / 'model.safetensors'
        began = time.perf_counter()
        safetensors.write_safetensors(path, arrays)
        written = time.perf_counter()
        read = {name: np.array(array) for name, array in safetensors.read_safetensors(path)[0].items()}
        assert len(read) == len(arrays)
        return {'write': written - began, 'read': time.perf_counter() - written}

    return measure


@contextlib.contextmanager
def _without() -> Iterator[None]:
    with (
        mock.patch.object(digests, 'digests_of', return_value={}),
        mock.patch.object(checkpoints, 'check_state'),
        mock.patch.object(safetensors, 'digest_of', return_value=''),
        mock.patch.object(safetensors, 'check_digest'),
    ):
        yield


def _cached() -> dict[str, Any]:
    images = np.random.default_rng(0).integers(0, 256, (_IMAGES.value, 256, 256, 3), np.uint8)
    names = [digest_of(str(number).encode()) for number in range(len(images))]
    with tempfile.TemporaryDirectory() as folder:
        spec = {'image': jax.ShapeDtypeStruct(images.shape[1:], images.dtype)}
        cache = DecodeCache(pathlib.Path(folder), spec)
        for name, image in zip(names, images, strict=True):
            cache.add(name, Row({'image': image}))
        cache.commit()
        seconds = []
        for _ in range(_ROUNDS.value):
            began = time.perf_counter()
            assert all(map(cache.is_whole, names))
            seconds.append(time.perf_counter() - began)
    return {'checked, images a second': round(len(images) / statistics.median(seconds))}


def _compared(kept: list[float], without: list[float]) -> dict[str, float]:
    with_, plain = statistics.median(kept), statistics.median(without)
    return {'seconds': round(with_, 3), 'without digests': round(plain, 3), 'ratio': round(with_ / plain, 2)}


if __name__ == '__main__':
    app.run(main)
