"""How much host memory loading published weights takes, at its peak and in multiples of the file's size.

    python -m benchmarks.load_memory --architecture=vit_l16 --runs=3

Writes a file of random weights under published names, one for each format, and loads each in processes of its own, with
a new head. The peak is that of the process (resident set) less what the same process takes after making a small network
(and importing torch, for its files); pages of the file that are mapped into memory count, though the system may drop
them at any time. Writes `benchmarks/results/load_memory.json` and prints it. torch's format is measured where torch is
installed.
"""

import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks.machine import circumstances

_ARCHITECTURE = flags.DEFINE_string('architecture', 'vit_l16', 'The network.')
_RUNS = flags.DEFINE_integer('runs', 3, 'Processes a format.', lower_bound=1)

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The resident set now, and its peak so far; getrusage would report that of the parent before exec.
_LOAD = """
import json, re, sys, time
from jtransfer.pretrained.model import load_model

def memory(field):
    return int(re.search(rf'{field}:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) * 1024

load_model(architecture='vit_tiny_test', num_classes=2)
if sys.argv[1].endswith('.pth'):
    import torch
before, began = memory('VmRSS'), time.perf_counter()
model = load_model(sys.argv[1], architecture=sys.argv[2], num_classes=10)
seconds = time.perf_counter() - began
print(json.dumps({'peak': memory('VmHWM') - before, 'left': memory('VmRSS') - before, 'seconds': seconds}))
"""


def write_files(architecture: str, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """A file of random weights in every format that can be written here, by format."""
    import jax
    import jax.numpy as jnp
    from safetensors.numpy import save_file

    from jtransfer import models, rules
    from jtransfer.pretrained.names import namings

    variant = models.describe(architecture)
    network = models.create(architecture, num_classes=1000)
    images = jnp.zeros((1, variant.image_size, variant.image_size, 3))
    shapes = rules.flatten(jax.eval_shape(network.init, jax.random.key(0), images))
    random = np.random.default_rng(0)
    ours = {path: random.standard_normal(leaf.shape, np.float32) for path, leaf in shapes.items()}
    files = {}
    for naming in namings(variant.family, network.backbone):
        if naming.name == 'timm':
            theirs = naming.to_theirs(ours)
            files['safetensors'] = folder / 'w.safetensors'
            save_file(theirs, files['safetensors'])
            if importlib.util.find_spec('torch'):
                import torch

                files['torch'] = folder / 'w.pth'
                torch.save({name: torch.from_numpy(array) for name, array in theirs.items()}, files['torch'])
        if naming.name == 'vit_jax':
            files['npz'] = folder / 'w.npz'
            np.savez(files['npz'], **naming.to_theirs(ours))
    return files


def measure(path: pathlib.Path, architecture: str) -> dict[str, float]:
    """Bytes at the peak and afterwards, and seconds, of one process."""
    done = subprocess.run(
        [sys.executable, '-c', _LOAD, str(path), architecture], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main(_: list[str]) -> None:
    """Measures every format and writes the medians."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in write_files(_ARCHITECTURE.value, pathlib.Path(folder)).items():
            size = path.stat().st_size
            runs = [measure(path, _ARCHITECTURE.value) for _ in range(_RUNS.value)]
            results[kind] = {
                'file_bytes': size,
                'peak_over_file': round(statistics.median(run['peak'] for run in runs) / size, 3),
                'left_over_file': round(statistics.median(run['left'] for run in runs) / size, 3),
                'seconds': round(statistics.median(run['seconds'] for run in runs), 1),
            }
            print(kind, json.dumps(results[kind]), flush=True)
    command = f'python -m benchmarks.load_memory --architecture={_ARCHITECTURE.value} --runs={_RUNS.value}'
    record = {**circumstances(command), 'runs': _RUNS.value, 'results': results}
    path = ROOT / 'benchmarks' / 'results' / 'load_memory.json'
    path.write_text(json.dumps(record, indent=2) + '\n')
    print(path)


if __name__ == '__main__':
    app.run(main)
