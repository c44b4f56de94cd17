"""How much host memory streaming takes, as the batches go by: 100,000 small pictures, over three epochs.

    python -m benchmarks.streaming_memory

Writes folders of JPEG files of 32 pixels a side, a tenth as many and all, and for each, with and without decoding
processes, in a process of its own: opens the folder, looks through it for unreadable files (as a run does before it
streams), and takes the batches of `stream_batches`, three epochs. Memory is the proportional set size of the process
and of those it has started, sampled every few batches, less what the imports take.

- opened: names and labels, which are kept as long as the run lasts.
- looked_through: afterwards.
- peak of the first epoch and of all three, and the mean of the last tenth of each epoch: flat where these are alike.

Writes `benchmarks/results/streaming_memory.json` and prints it.
"""

import io
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks.machine import circumstances

_IMAGES = flags.DEFINE_integer('images', 100_000, 'Pictures of the larger folder.', lower_bound=1000)
_WORKERS = flags.DEFINE_multi_integer('workers', [0, 2], 'Decoding processes.', lower_bound=0)

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIDE, CLASSES, BATCH, EPOCHS = 32, 10, 250, 3
_STREAM = """
import json, os, pathlib, re, sys, time

import jax
import numpy as np

from jtransfer.data.sources.folder import load_folder
from jtransfer.data.decode.memory import readable_part
from jtransfer.data.part import Part
from jtransfer.data.feed.stream import stream_batches
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage

folder, workers, batch, epochs = sys.argv[1], *map(int, sys.argv[2:])

def family(process):
    yield process
    for thread in pathlib.Path(f'/proc/{process}/task').iterdir():
        for child in (thread / 'children').read_text().split():
            yield from family(int(child))

def memory():
    total = 0
    for process in family(os.getpid()):
        try:
            total += int(re.search(r'Pss:\\s+(\\d+) kB', open(f'/proc/{process}/smaps_rollup').read())[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1024

def main():
    before = memory()
    source = load_folder(folder)['train']
    part = Part(source, np.arange(len(source)))
    opened = memory()
    readable, _ = readable_part(part)
    looked = memory()
    steps = len(part) // batch
    pixels = TrainingImage(ImagePreprocessor(32), crops=True)
    samples, began, images = [[] for _ in range(epochs)], time.perf_counter(), 0
    for step, made in enumerate(stream_batches(readable, pixels, batch, 0, 0, epochs * steps, workers)):
        images += len(made['id'])
        if step % max(1, steps // 40) == 0:
            samples[step // steps].append(memory() - before)
    seconds = time.perf_counter() - began
    assert images == epochs * len(part)
    print(json.dumps({
        'opened_mib': opened - before,
        'looked_through_mib': looked - before,
        'first_epoch_peak_mib': max(samples[0]),
        'peak_mib': max(map(max, samples)),
        'end_of_each_epoch_mib': [float(np.mean(of[-len(of) // 10 :])) for of in samples],
        'images_a_second': images / seconds,
    }))

if __name__ == '__main__':
    main()
"""


def write_folder(folder: pathlib.Path, images: int) -> None:
    """A folder of classes of small JPEG files of noise."""
    random = np.random.default_rng(0)
    for number in range(CLASSES):
        (folder / f'class{number}').mkdir(parents=True)
    for index in range(images):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(buffer, 'JPEG')
        (folder / f'class{index % CLASSES}' / f'{index}.jpg').write_bytes(buffer.getvalue())


def measure(folder: pathlib.Path, workers: int, script: pathlib.Path) -> dict[str, float]:
    """What a process of its own measures, MiB."""
    arguments = [sys.executable, str(script), str(folder), str(workers), str(BATCH), str(EPOCHS)]
    done = subprocess.run(arguments, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        name: [round(v, 1) for v in value] if isinstance(value, list) else round(value, 1)
        for name, value in found.items()
    }


def main(_: list[str]) -> None:
    """Measures both folders and writes what was found."""
    results = {}
    with tempfile.TemporaryDirectory() as place:
        # A file, and not a string: worker processes import what they come from.
        script = pathlib.Path(place) / 'stream.py'
        script.write_text(_STREAM)
        for images in (_IMAGES.value // 10, _IMAGES.value):
            folder = pathlib.Path(place) / str(images)
            write_folder(folder, images)
            for workers in _WORKERS.value:
                name = f'{images:,} images, {workers} workers'
                results[name] = measure(folder, workers, script)
                print(name, json.dumps(results[name]), flush=True)
    command = f'python -m benchmarks.streaming_memory --images={_IMAGES.value}'
    record = {**circumstances(command), 'side': SIDE, 'batch_size': BATCH, 'epochs': EPOCHS, 'results': results}
    path = ROOT / 'benchmarks' / 'results' / 'streaming_memory.json'
    path.write_text(json.dumps(record, indent=2) + '\n')
    print(path)


if __name__ == '__main__':
    app.run(main)
