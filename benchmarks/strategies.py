"""What each strategy reaches: the learning rate chosen on the validation part, the test part looked at afterwards.

    python -m benchmarks.strategies --task=digits
    python -m benchmarks.strategies --task=clothing

First every strategy runs at every learning rate, with the seeds of `--search_seeds`; then, at the learning rate of the
best mean validation accuracy (of equal ones the lower loss), with those of `--seeds`, and only these runs' test
accuracies are reported. A seed draws weights, order, augmentation and the training images. Finished runs are kept, so
that an interrupted benchmark goes on.
Writes `benchmarks/results/strategies_TASK.json` and prints a table.
"""

import dataclasses
import json
import pathlib
import statistics

from absl import app, flags, logging

from benchmarks.machine import circumstances
from configs import finetune as finetune_config
from configs import quickstart
from jtransfer.config import Augment, Config, Data, Model, Optim, Train, Transfer
from jtransfer.experiments.run import directory, finetune
from jtransfer.experiments.run.records import RunRecord
from jtransfer.tasks.better import rank

_TASK = flags.DEFINE_enum('task', 'digits', ('digits', 'digits_vit', 'clothing'), 'The task.')
_STRATEGIES = flags.DEFINE_list('strategies', None, 'Some of the strategies. None: all.')
_RATES = flags.DEFINE_list('learning_rates', ['1e-3', '3e-3', '1e-2'], 'Learning rates to choose from.')
_SEARCH = flags.DEFINE_integer('search_seeds', 1, 'Seeds of the choice.', lower_bound=1)
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Seeds of the result.', lower_bound=1)
_RUNS = flags.DEFINE_string('runs', 'runs/strategies', 'Where the runs go.')

ROOT = pathlib.Path(__file__).resolve().parent.parent
# From the repository's root, where the benchmark is run.
DATA = '../shared/data'
LAST_STAGE = {'digits': 'stage4', 'digits_vit': 'block3', 'clothing': 'stage7'}
VARIANTS = {
    'scratch': {'strategy': 'scratch'},
    'linear_probe': {'strategy': 'linear_probe'},
    'norm_only': {'strategy': 'norm_only'},
    'bitfit': {'strategy': 'bitfit'},
    'fine_tune': {'strategy': 'fine_tune'},
    'fine_tune, last stage only (freeze_until)': {'strategy': 'fine_tune', 'freeze_until': ...},
    'fine_tune, layer_decay 0.75': {'strategy': 'fine_tune', 'layer_decay': 0.75},
    'fine_tune, l2_sp 0.01': {'strategy': 'fine_tune', 'l2_sp': 0.01, 'l2_sp_head': 0.01},
    'lp_ft': {'strategy': 'lp_ft'},
    'one_then_all': {'strategy': 'one_then_all'},
    'gradual': {'strategy': 'gradual', 'unfreeze_every': ...},
    'lora': {'strategy': 'lora'},
    'adapter': {'strategy': 'adapter'},
    'ssf': {'strategy': 'ssf'},
    'prompt': {'strategy': 'prompt'},
}


def base(task: str) -> Config:
    """The task, without a strategy."""
    if task != 'clothing':
        config = quickstart.get_config('vit' if task == 'digits_vit' else 'resnet')
        return dataclasses.replace(config, data=dataclasses.replace(config.data, validation_fraction=0.2))
    return dataclasses.replace(
        finetune_config.get_config(),
        model=Model(checkpoint=f'{DATA}/weights/mobilenet_v2_035_224', name='mobilenetv2_035', image_size=96),
        data=Data(source=f'folder:{DATA}/clothing', examples_per_class=20, batch_size=20),
        optim=Optim(weight_decay=0.01),
        augment=Augment(crop_scale=(0.5, 1.0), crop_ratio=(0.75, 4 / 3), horizontal_flip=0.5),
        train=Train(epochs=12),
    )


def configured(task: str, variant: str, rate: float, seed: int) -> Config:
    """One run."""
    config = base(task)
    fields = dict(VARIANTS[variant])
    if 'freeze_until' in fields:
        fields['freeze_until'] = LAST_STAGE[task]
    if 'unfreeze_every' in fields:
        fields['unfreeze_every'] = 20 if task != 'clothing' else 12
    quiet = dataclasses.replace(config.train, progress=False, tensorboard=False, resume='auto')
    return dataclasses.replace(
        config,
        seed=seed,
        run_dir=str(pathlib.Path(_RUNS.value) / task / f'{variant}-{rate:g}-{seed}'.replace(' ', '_')),
        transfer=Transfer(**fields),
        optim=dataclasses.replace(config.optim, learning_rate=rate),
        train=quiet,
    )


def run(config: Config) -> RunRecord:
    """The numbers of a run, made now or before."""
    folder = pathlib.Path(config.run_dir)
    if not directory.is_finished(folder):
        finetune.run(config)
    return directory.read_record(folder)


def measure(task: str, variant: str) -> dict[str, object]:
    """A strategy's learning rate, and its accuracies at it."""
    found, losses = {}, {}
    for rate in map(float, _RATES.value):
        runs = [run(configured(task, variant, rate, seed)) for seed in range(_SEARCH.value)]
        best = [result.validation for result in runs]
        found[rate] = statistics.mean(each.score.value for each in best)
        losses[rate] = statistics.mean(each.loss for each in best)
    chosen = max(found, key=lambda rate: rank(found[rate], losses[rate]))
    runs = [run(configured(task, variant, chosen, seed)) for seed in range(_SEEDS.value)]
    tests = [result.score.value for result in runs]
    return {
        'learning_rate': chosen,
        'validation': {f'{rate:g}': round(value, 4) for rate, value in found.items()},
        'test': [round(value, 4) for value in tests],
        'mean': round(statistics.mean(tests), 4),
        'sd': round(statistics.stdev(tests), 4) if len(tests) > 1 else None,
        'trainable_share': round(runs[0]['trainable_parameters'] / runs[0]['parameters'], 4),
        'fit_seconds': round(statistics.median(result['fit_seconds'] for result in runs), 1),
    }


def main(_: list[str]) -> None:
    """Measures every strategy and writes the results after each."""
    logging.set_verbosity(logging.WARNING)  # Orbax would account for every checkpoint
    task = _TASK.value
    path = ROOT / 'benchmarks' / 'results' / f'strategies_{task}.json'
    variants = [name for name in VARIANTS if name != 'prompt' or task == 'digits_vit']
    results = json.loads(path.read_text())['results'] if path.exists() and _STRATEGIES.value else {}
    for variant in _STRATEGIES.value or variants:
        results[variant] = measure(task, variant)
        row = results[variant]
        print(f'{variant:45} {row["mean"]:.1%} ± {row["sd"] or 0:.1%} at {row["learning_rate"]:g}', flush=True)
        command = f'python -m benchmarks.strategies --task={task} --search_seeds={_SEARCH.value} --seeds={_SEEDS.value}'
        record = {
            **circumstances(f'{command} --learning_rates={",".join(_RATES.value)}'),
            'task': dataclasses.asdict(base(task).data),
            'results': results,
        }
        path.write_text(json.dumps(record, indent=2) + '\n')
    print('\n| strategy | learning rate | trains | test accuracy |\n|---|---|---|---|')
    for name, row in results.items():
        share = f'{row["trainable_share"]:.1%}'
        print(f'| {name} | {row["learning_rate"]:g} | {share} | {row["mean"]:.1%} ± {row["sd"] or 0:.1%} |')


if __name__ == '__main__':
    app.run(main)
