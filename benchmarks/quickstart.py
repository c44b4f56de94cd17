"""How long the README's two experiments take, as whole processes: medians over several runs.

    python -m benchmarks.quickstart --runs=3

Each run starts in an empty directory with an empty compilation cache, as on a fresh machine. Writes
`benchmarks/results/quickstart.json` and prints it.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from benchmarks.machine import circumstances

_RUNS = flags.DEFINE_integer('runs', 3, 'Runs of each command.', lower_bound=1)

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIG = f'--config={ROOT}/configs/quickstart.py'
COMMANDS = {
    'finetune, ResNet': ['launch.finetune', CONFIG],
    'finetune, ViT': ['launch.finetune', f'{CONFIG}:vit'],
    'sweep, 3 strategies x 5 seeds': [
        'launch.sweep',
        CONFIG,
        '--over=transfer.strategy=scratch,linear_probe,fine_tune',
        '--over=seed=0,1,2,3,4',
    ],
}


def measure(arguments: list[str]) -> dict[str, float]:
    """Wall and CPU seconds of one run in an empty directory with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'XDG_CACHE_HOME': f'{folder}/cache'}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run([sys.executable, '-m', *arguments], cwd=folder, env=environment, check=True, capture_output=True)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {'wall_seconds': wall, 'cpu_seconds': cpu}


def main(_: list[str]) -> None:
    """Measures every command and writes the medians."""
    results = {}
    for name, arguments in COMMANDS.items():
        runs = [measure(arguments) for _ in range(_RUNS.value)]
        results[name] = {
            key: {
                'median': round(statistics.median(run[key] for run in runs), 1),
                'min': round(min(run[key] for run in runs), 1),
                'max': round(max(run[key] for run in runs), 1),
            }
            for key in runs[0]
        }
        print(name, json.dumps(results[name]), flush=True)
    record = {
        **circumstances(f'python -m benchmarks.quickstart --runs={_RUNS.value}'),
        'runs': _RUNS.value,
        'results': results,
    }
    path = ROOT / 'benchmarks' / 'results' / 'quickstart.json'
    path.write_text(json.dumps(record, indent=2) + '\n')
    print(path)


if __name__ == '__main__':
    app.run(main)
