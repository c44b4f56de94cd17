"""Augmentation: images a second, ours against timm's per-image Pillow code on the same cores; and its share of a step.

    pip install -e '.[parity]'
    python -m benchmarks.augment --runs=5
    python -m benchmarks.augment --runs=5 --step      # on an accelerator: the share of a ResNet-50 step in bfloat16

Light is a random resized crop and a flip; standard adds RandAugment (2 operations, magnitude 9, std 0.5), random
erasing and mixup or CutMix. Both sides begin with decoded 8-bit pictures in memory and end with a normalised float32
batch and soft labels. Theirs runs in as many worker processes as there are cores (torch's DataLoader), ours in one
compiled program. The two take turns within a run. Writes `benchmarks/results/augment.json` (with --step
`augment_step.json`, where the share is what a policy adds over the time of a step without augmentation).
"""

import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from sklearn.datasets import load_sample_images

from benchmarks.machine import circumstances
from benchmarks.timm_augment import CLASSES, make_batches
from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Augment, Config, Model, Optim, Train, Transfer
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import CROP_MARGIN, normalise
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.choose_loss import task_losses
from jtransfer.tasks.criterion import make_criterion
from jtransfer.train.step import make_train_step
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import make_plan

_RUNS = flags.DEFINE_integer('runs', 5, 'Runs of each.', lower_bound=1)
_STEP = flags.DEFINE_bool('step', False, 'Measure the share of a training step instead.')
_BATCH = flags.DEFINE_integer('batch', 256, 'Images of a training step (--step).', lower_bound=8)
_NETWORK = flags.DEFINE_string('network', 'resnet50', 'The network that is trained (--step).')

ROOT = pathlib.Path(__file__).resolve().parent.parent
CROP = {'crop_scale': (0.08, 1.0), 'crop_ratio': (3 / 4, 4 / 3), 'horizontal_flip': 0.5}
POLICIES = {
    'light': Augment(**CROP),
    'standard': Augment(
        **CROP,
        operations=(
            'rand_augment(layers=2, magnitude=9, std=0.5, op_probability=0.5)',
            'random_erasing(0.25, fill=noise)',
            'mixup_or_cutmix(mixup_alpha=0.8, cutmix_alpha=1.0)',
        ),
    ),
}
# Side of the input: images in a batch, batches a run.
SIZES = {32: (256, 16), 224: (32, 8)}


def photographs(count: int, side: int) -> np.ndarray:
    """Square cuts of two photographs, uint8, as large as what training keeps for crops of a side."""
    random, whole = np.random.default_rng(0), round(side * CROP_MARGIN)
    pictures = load_sample_images().images
    cuts = []
    for index in range(count):
        picture = pictures[index % len(pictures)]
        top, left = (random.integers(length - whole + 1) for length in picture.shape[:2])
        cuts.append(picture[top : top + whole, left : left + whole])
    return np.stack(cuts)


def ours(augment: Augment, side: int, images: np.ndarray, batch: int) -> Callable[[int], Iterator[Any]]:
    """A function from an epoch to its batches, by our program."""
    preprocessing = ImagePreprocessor(side)
    function = make_augment(augment, preprocessing, {'': CLASSES})

    resident = jax.device_put(images)  # as a run keeps them

    @jax.jit
    def make(pictures: Any, ids: Any, epoch: Any) -> Any:
        keys = example_keys(jnp.uint32(0), jnp.full(batch, epoch, jnp.int32), ids)
        changed, labels, _, _ = function(keys, pictures[ids], ids % CLASSES)
        if not augment.mixes:
            labels = jax.nn.one_hot(labels, CLASSES)
        return normalise(changed, preprocessing), labels

    def batches(epoch: int) -> Iterator[Any]:
        for start in range(0, len(images), batch):
            ids = np.arange(start, start + batch, dtype=np.int32)
            yield jax.block_until_ready(make(resident, ids, np.int32(epoch)))

    return batches


def throughput() -> dict[str, Any]:
    """Images a second by size and policy: medians over the runs, and the ratio of the two sides."""
    results: dict[str, Any] = {}
    for side, (batch, count) in SIZES.items():
        images = photographs(batch * count, side)
        for name, augment in POLICIES.items():
            makers = {
                'ours': ours(augment, side, images, batch),
                'timm': make_batches(images, side, batch, name == 'standard', CROP),
            }
            speeds: dict[str, list[float]] = {who: [] for who in makers}
            for run in range(_RUNS.value + 1):
                for who, make in makers.items():
                    began = time.perf_counter()
                    done = sum(len(labels) for _, labels in make(run))
                    if run:  # the first one compiles, and starts the workers
                        speeds[who].append(done / (time.perf_counter() - began))
            medians = {who: statistics.median(values) for who, values in speeds.items()}
            results[f'{name} {side}'] = {
                'ours_images_per_second': round(medians['ours']),
                'timm_images_per_second': round(medians['timm']),
                'ratio': round(medians['ours'] / medians['timm'], 2),
            }
            print(f'{name} {side}', json.dumps(results[f'{name} {side}']), flush=True)
    return results


def share_of_step() -> dict[str, Any]:
    """Milliseconds of a training step without augmentation and with each policy, and what it adds."""
    batch = _BATCH.value
    model = load_model(
        architecture=_NETWORK.value,
        class_names=[str(index) for index in range(CLASSES)],
        dtype='bfloat16',
        random_weights=True,
    )
    side = model.preprocessing.image_size
    plan = make_plan(model.network, model.variables['params'], Transfer(strategy='scratch'), 1e-4)
    programs = {}
    for name, augment in {'none': Augment(), **POLICIES}.items():
        config = Config(
            model=Model(name=_NETWORK.value), optim=Optim(name='sgd'), augment=augment, train=Train(steps=1000)
        )
        criterion = make_criterion(model.tasks, task_losses(config.loss, model.tasks), 0.0)
        parts = StepParts(model.network, model.preprocessing, plan, config, criterion, 1000)
        state = parts.start(model.variables)
        step = jax.jit(make_train_step(parts, state.trainable), donate_argnums=0)
        kept = side if name == 'none' else round(side * CROP_MARGIN)
        pictures = jnp.asarray(photographs(64, side).repeat(-(-batch // 64), 0)[:batch, :kept, :kept])
        programs[name] = (step, state, pictures)
    times: dict[str, list[float]] = {name: [] for name in programs}
    ids = jnp.arange(batch, dtype=jnp.int32)
    for run in range(_RUNS.value + 1):
        for name, (step, state, pictures) in programs.items():
            began = time.perf_counter()
            for number in range(10):
                data = {
                    'image': pictures,
                    'labels': {'': ids % CLASSES},
                    'aspect': jnp.ones(batch),
                    'id': ids,
                    'epoch': jnp.full(batch, run, jnp.int32),
                    'seed': jnp.uint32(0),
                    'step': jnp.int32(run * 10 + number),
                }
                state, metrics = step(state, data)
            jax.block_until_ready(metrics)
            programs[name] = (step, state, pictures)
            if run:
                times[name].append((time.perf_counter() - began) * 100)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        name: {
            'step_ms': round(value, 2),
            'images_per_second': round(batch / value * 1e3),
            'share_of_step': round((value - medians['none']) / medians['none'], 3),
        }
        for name, value in medians.items()
    }


def main(_: list[str]) -> None:
    """Measures, and writes the medians."""
    flags_given = f'--runs={_RUNS.value}'
    if _STEP.value:
        flags_given += f' --step --batch={_BATCH.value} --network={_NETWORK.value}'
    record = circumstances(f'python -m benchmarks.augment {flags_given}')
    record |= {'device': jax.devices()[0].device_kind, 'runs': _RUNS.value}
    if _STEP.value:
        record['results'] = share_of_step()
    else:
        record['reference'] = {name: metadata.version(name) for name in ('timm', 'pillow', 'torch')}
        record['results'] = throughput()
    path = ROOT / 'benchmarks' / 'results' / ('augment_step.json' if _STEP.value else 'augment.json')
    path.write_text(json.dumps(record, indent=2) + '\n')
    print(json.dumps(record['results'], indent=2))
    print(path)


if __name__ == '__main__':
    app.run(main)
