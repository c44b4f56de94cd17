"""Depthwise and grouped convolutions on CPU: ours against XLA's own, in the same process, run by run in turn.

    python -m benchmarks.convolutions --runs=7

Milliseconds of a forward pass, and of a gradient with respect to picture and kernel, at sizes that MobileNetV2,
ConvNeXt and ResNeXt-50 have at 224 pixels. Writes `benchmarks/results/convolutions.json` and prints it.
"""

import json
import pathlib
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.machine import circumstances
from jtransfer.models.layers.depthwise import depthwise_conv
from jtransfer.models.layers.grouped_conv import grouped_conv

_RUNS = flags.DEFINE_integer('runs', 7, 'Runs of each.', lower_bound=1)
_BATCH = flags.DEFINE_integer('batch', 8, 'Pictures.', lower_bound=1)

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Side, channels, kernel, stride, groups (0: as many as channels).
CASES = {
    'MobileNetV2, first block': (112, 16, 3, 1, 0),
    'MobileNetV2, stride 2': (112, 96, 3, 2, 0),
    'ConvNeXt-T, stage 1': (56, 96, 7, 1, 0),
    'ConvNeXt-T, stage 3': (14, 384, 7, 1, 0),
    'ResNeXt-50 32x4d, stage 1': (56, 128, 3, 1, 32),
    'ResNeXt-50 32x4d, stage 4': (7, 1024, 3, 1, 32),
}


def forms(kernel: int, stride: int, groups: int, channels: int) -> dict[str, Callable[..., jax.Array]]:
    """Both ways to convolve, functions of (pictures, kernel)."""
    margin = kernel // 2
    padding = ((margin, margin), (margin, margin))

    def xla(pictures: jax.Array, weights: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            pictures,
            weights,
            (stride, stride),
            padding,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            feature_group_count=groups or channels,
        )

    def ours(pictures: jax.Array, weights: jax.Array) -> jax.Array:
        if groups:
            return grouped_conv(pictures, weights, groups=groups, stride=stride)
        return depthwise_conv(pictures, weights, stride=stride, padding=padding)

    return {'xla': xla, 'ours': ours}


def measure(side: int, channels: int, kernel: int, stride: int, groups: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of forward pass and gradient, both ways."""
    random = np.random.default_rng(0)
    pictures = jnp.asarray(random.normal(size=(_BATCH.value, side, side, channels)), jnp.float32)
    inputs = channels // groups if groups else 1
    weights = jnp.asarray(random.normal(size=(kernel, kernel, inputs, channels)), jnp.float32)
    programs = {}
    for name, form in forms(kernel, stride, groups, channels).items():
        programs[f'{name} forward'] = jax.jit(form)
        programs[f'{name} gradient'] = jax.jit(jax.grad(lambda p, w, form=form: jnp.square(form(p, w)).sum(), (0, 1)))
    times: dict[str, list[float]] = {name: [] for name in programs}
    for run in range(_RUNS.value + 1):
        for name, program in programs.items():
            began = time.perf_counter()
            jax.block_until_ready(program(pictures, weights))
            if run:  # the first one compiles
                times[name].append((time.perf_counter() - began) * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        kind: {
            'xla_ms': round(medians[f'xla {kind}'], 2),
            'ours_ms': round(medians[f'ours {kind}'], 2),
            'ratio': round(medians[f'xla {kind}'] / medians[f'ours {kind}'], 1),
        }
        for kind in ('forward', 'gradient')
    }


def main(_: list[str]) -> None:
    """Measures every case and writes the medians."""
    results = {}
    for name, case in CASES.items():
        results[name] = measure(*case)
        print(name, json.dumps(results[name]), flush=True)
    record = {
        **circumstances(f'python -m benchmarks.convolutions --runs={_RUNS.value} --batch={_BATCH.value}'),
        'runs': _RUNS.value,
        'results': results,
    }
    path = ROOT / 'benchmarks' / 'results' / 'convolutions.json'
    path.write_text(json.dumps(record, indent=2) + '\n')
    print(path)


if __name__ == '__main__':
    app.run(main)
