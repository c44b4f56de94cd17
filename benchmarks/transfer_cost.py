"""What a training step of each strategy costs: operations, memory, the optimiser's state, and speed.

    python -m benchmarks.transfer_cost --rounds=7

Costs are those of the step that training runs, compiled for shapes at 224 pixels. Speeds are of steps that run, all
strategies of a network in turn within every round, at full size on an accelerator and with small pictures on a CPU.
Weights are random. Writes `benchmarks/results/transfer_cost.json`, an entry a network, and prints its tables.
"""

import json
import math
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.machine import circumstances
from jtransfer import adapters, models, rules
from jtransfer.config import Config, Data, Train
from jtransfer.config.optim import OPTIMIZERS, Optim
from jtransfer.config.transfer import ADAPTATIONS, Adapters, Transfer
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.tasks.base import single_label
from jtransfer.tasks.choose_loss import task_losses
from jtransfer.tasks.criterion import make_criterion
from jtransfer.train.cost import abstract_state, step_cost, tree_bytes
from jtransfer.train.placement import JitPlacement
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import make_plan

_NETWORKS = flags.DEFINE_list('networks', ['resnet50', 'vit_b16'], 'Networks; the entries of others stay.')
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 224, 'Side of the pictures that costs are of.', lower_bound=16)
_BATCH = flags.DEFINE_integer('batch', 8, 'Pictures of a step that costs are of.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'Timed steps of each strategy. 0: none.', lower_bound=0)
_TIMED_SIZE = flags.DEFINE_integer('timed_size', 0, 'Side of timed pictures. 0: 64 on a CPU, 224 elsewhere.')
_TIMED_BATCH = flags.DEFINE_integer('timed_batch', 0, 'Pictures of a timed step. 0: 8 on a CPU, 64 elsewhere.')

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'benchmarks' / 'results' / 'transfer_cost.json'
CLASSES = 100
TASK = single_label([str(number) for number in range(CLASSES)])
FULL = 'fine_tune'
# Where the last quarter of the network begins, and a block in its middle.
LAST = {'resnet50': 'stage4', 'vit_b16': 'block8'}
MIDDLE = {'resnet50': 'stage3/block2', 'vit_b16': 'block5'}
MIB = 2**20


def strategies(network: str) -> dict[str, tuple[Transfer, Optim]]:
    """Settings by name; what adds other inputs to the blocks is for transformers alone."""
    last, middle = LAST[network], MIDDLE[network]
    adamw = Optim()
    named = {
        'linear_probe': Transfer('linear_probe'),
        f'freeze_until={last}': Transfer('fine_tune', freeze_until=last),
        f'surgical, blocks={middle}': Transfer('surgical', blocks=(middle,)),
        'norm_only': Transfer('norm_only'),
        'bitfit': Transfer('bitfit'),
        'lora': Transfer('lora'),
        'adapter': Transfer('adapter'),
        'prompt': Transfer('prompt'),
        'ssf': Transfer('ssf'),
        FULL: Transfer('fine_tune'),
        'fine_tune, layer_decay=0.75': Transfer('fine_tune', layer_decay=0.75),
        'fine_tune, l2_sp=0.01': Transfer('fine_tune', l2_sp=0.01),
        'fine_tune, distill=1': Transfer('fine_tune', distill=1.0),
    }
    if not network.startswith('vit'):
        del named['prompt']
    settings = {name: (transfer, adamw) for name, transfer in named.items()}
    return {**settings, 'fine_tune, sam_rho=0.05': (Transfer('fine_tune'), Optim(sam_rho=0.05))}


def step_parts(name: str, side: int, batch: int, transfer: Transfer, optim: Optim) -> tuple[StepParts, dict[str, Any]]:
    """The parts of a training step, and the shapes of the network's variables."""
    plain, key = models.create(name, num_classes=CLASSES, image_size=side), jax.random.key(0)
    network: adapters.AnyNetwork = plain
    variables = dict(jax.eval_shape(plain.init, key, jnp.zeros((1, side, side, 3))))
    if transfer.strategy in ADAPTATIONS:
        params = variables['params']
        kind = adapters.make_adaptation(transfer.strategy, Adapters(), plain, params)

        def added(params: Any) -> Any:
            return adapters.adapt(plain, params, kind, key=key, inputs=dict(ImagePreprocessor(side).spec()))[1]

        network, variables['params'] = adapters.AdaptedNetwork(plain, kind), jax.eval_shape(added, params)
    plan = make_plan(network, variables['params'], transfer, optim.weight_decay)
    config = Config(transfer=transfer, optim=optim, data=Data(batch_size=batch), train=Train(steps=1000))
    criterion = make_criterion([TASK], task_losses(config.loss, [TASK]), optim.label_smoothing)
    return StepParts(network, ImagePreprocessor(side), plan, config, criterion, total_steps=1000), variables


def costs(name: str) -> dict[str, dict[str, float]]:
    """Costs of every strategy, from compilation."""
    found = {}
    for strategy, (transfer, optim) in strategies(name).items():
        began = time.perf_counter()
        parts, variables = step_parts(name, _IMAGE_SIZE.value, _BATCH.value, transfer, optim)
        cost = step_cost(parts, variables, _BATCH.value)
        found[strategy] = {
            'trained_parameters': parts.plan.trainable_elements,
            'parameters': parts.plan.elements,
            'flops_per_image': cost.flops_per_image,
            'peak_bytes': cost.peak_bytes,
            'temp_bytes': cost.temp_bytes,
            'optimizer_bytes': cost.optimizer_bytes,
        }
        seconds = time.perf_counter() - began
        print(name, strategy, json.dumps(found[strategy]), f'({seconds:.0f} s)', flush=True)
    return found


def optimizers(name: str) -> dict[str, int]:
    """Bytes of the state of every optimiser in full fine-tuning."""
    found = {}
    for optimizer in OPTIMIZERS:
        parts, variables = step_parts(name, _IMAGE_SIZE.value, _BATCH.value, Transfer(FULL), Optim(name=optimizer))
        found[optimizer] = tree_bytes(abstract_state(parts, variables).opt_state)
    return found


def random_values(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of these shapes: identity normalisations, and kernels that keep variances about as they are."""
    random = np.random.default_rng(0)

    def fill(path: str, shape: tuple[int, ...]) -> np.ndarray:
        last = path.rsplit('/', 1)[-1]
        if last in ('scale', 'var'):
            return np.ones(shape, np.float32)
        if last in ('bias', 'mean'):
            return np.zeros(shape, np.float32)
        values = random.standard_normal(shape, np.float32)
        values /= math.sqrt(math.prod(shape[:-1]))
        return values

    return rules.unflatten({path: fill(path, leaf.shape) for path, leaf in rules.flatten(shapes).items()})


def running_step(name: str, side: int, batch: int, transfer: Transfer, optim: Optim) -> Callable[[], float]:
    """A function that makes one more step of training and returns the seconds it took; the first call compiles."""
    parts, shapes = step_parts(name, side, batch, transfer, optim)
    placement = JitPlacement(jax.local_devices()[:1])
    state = placement.put_state(parts.start(random_values(shapes)))
    step = placement.compile(parts, state.trainable)
    random = np.random.default_rng(0)
    inputs = {
        'inputs': {
            'image': random.integers(0, 256, (batch, side, side, 3), dtype=np.uint8),
            'aspect': np.ones(batch, np.float32),
        },
        'labels': {'': random.integers(0, CLASSES, batch).astype(np.int32)},
        'id': np.arange(batch, dtype=np.int32),
        'epoch': np.zeros(batch, np.int32),
        'seed': np.uint32(0),
    }
    count = 0

    def run() -> float:
        nonlocal state, count
        pictures = placement.put_batch({**inputs, 'step': np.int32(count)})
        began = time.perf_counter()
        state, metrics = step(state, pictures)
        jax.block_until_ready((state, metrics))
        seconds = time.perf_counter() - began
        if not metrics['finite']:
            raise RuntimeError(f'{name}: step {count} of {transfer.strategy} is not finite, so nothing was trained')
        count += 1
        return seconds

    return run


def speeds(name: str, side: int, batch: int) -> dict[str, dict[str, float]]:
    """Images a second of every strategy, and its ratio to full fine-tuning: medians over the rounds."""
    steps = {}
    for strategy, (transfer, optim) in strategies(name).items():
        steps[strategy] = running_step(name, side, batch, transfer, optim)
        print(name, strategy, f'compiled ({steps[strategy]():.0f} s)', flush=True)
        steps[strategy]()
    seconds: dict[str, list[float]] = {strategy: [] for strategy in steps}
    for _ in range(_ROUNDS.value):
        for strategy, step in steps.items():
            seconds[strategy].append(step())
    found = {}
    for strategy, times in seconds.items():
        # Within a round, so that the machine was about as busy for both.
        ratios = [whole / own for whole, own in zip(seconds[FULL], times, strict=True)]
        found[strategy] = {
            'images_per_second': round(batch / statistics.median(times), 2),
            'of_full': round(statistics.median(ratios), 2),
            'of_full_min': round(min(ratios), 2),
            'of_full_max': round(max(ratios), 2),
        }
    return found


def measure(name: str) -> dict[str, Any]:
    """The entry of a network."""
    on_cpu = jax.default_backend() == 'cpu'
    side = _TIMED_SIZE.value or (64 if on_cpu else 224)
    batch = _TIMED_BATCH.value or (8 if on_cpu else 64)
    command = (
        f'python -m benchmarks.transfer_cost --networks={name} --image_size={_IMAGE_SIZE.value} '
        f'--batch={_BATCH.value} --rounds={_ROUNDS.value} --timed_size={side} --timed_batch={batch}'
    )
    entry = {
        **circumstances(command),
        'device': jax.devices()[0].device_kind,
        'image_size': _IMAGE_SIZE.value,
        'batch': _BATCH.value,
        'classes': CLASSES,
        'costs': costs(name),
        'optimizers': optimizers(name),
    }
    if _ROUNDS.value:
        timed = speeds(name, side, batch)
        entry |= {'timed_size': side, 'timed_batch': batch, 'rounds': _ROUNDS.value, 'speeds': timed}
    return entry


def tables(entry: Mapping[str, Any]) -> str:
    """The entry as Markdown."""
    whole, speeds = entry['costs'][FULL], entry.get('speeds', {})
    lines = [
        '| strategy | trained | GFLOP an image | of full | peak MiB | of full | optimiser MiB | speed (min to max) |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for strategy, cost in entry['costs'].items():
        flops, peak = cost['flops_per_image'], cost['peak_bytes']
        speed = '–'
        if strategy in speeds:
            one = speeds[strategy]
            speed = f'{one["of_full"]:.2f} ({one["of_full_min"]:.2f} to {one["of_full_max"]:.2f})'
        cells = (
            f'`{strategy}`',
            f'{cost["trained_parameters"] / cost["parameters"]:.2%}',
            f'{flops / 1e9:.1f}',
            f'{flops / whole["flops_per_image"]:.2f}',
            f'{peak / MIB:,.0f}',
            f'{peak / whole["peak_bytes"]:.2f}',
            f'{cost["optimizer_bytes"] / MIB:,.1f}',
            speed,
        )
        lines.append(f'| {" | ".join(cells)} |')
    optimizers = entry['optimizers']
    lines += ['', f'| optimiser of `{FULL}` | {" | ".join(optimizers)} |', f'|---{"|---" * len(optimizers)}|']
    lines.append(f'| MiB | {" | ".join(f"{size / MIB:,.0f}" for size in optimizers.values())} |')
    return '\n'.join(lines)


def main(_: list[str]) -> None:
    """Measures every network and writes its entry."""
    for name in _NETWORKS.value:
        entry = measure(name)
        record = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**record, name: entry}, indent=2) + '\n')
        print(f'{name}\n\n{tables(entry)}\n')
    print(RESULTS)


if __name__ == '__main__':
    app.run(main)
