"""What runs give, to the last bit: recorded before a change of the code, and compared after it.

    python -m benchmarks.recording --output=before
    git switch changed
    python -m benchmarks.recording --output=after
    python -m benchmarks.recording --compare=before,after

Tiny runs over tasks, networks, strategies, placements of the data and of the devices, and cross-validations one fold
after another and side by side, each begun as a person begins it. Of each are kept the network's arrays, the metrics of
every step, the outputs and predictions of the test part, the plan and the figures. Nothing of the library is imported,
so that the script of one commit can record another one (`--tree`). Times are left out.
"""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image
from safetensors.numpy import load_file

_OUTPUT = flags.DEFINE_string('output', '', 'The folder to record into; a folder a run.')
_COMPARE = flags.DEFINE_list('compare', [], 'Two folders that were recorded.')
_TREE = flags.DEFINE_string('tree', '', 'The checkout to record. Empty: this one.')
_ONLY = flags.DEFINE_string('only', '', 'Part of the names of the runs to record. Empty: all of them.')
_TOLERANCE = flags.DEFINE_float('tolerance', 1e-6, 'The relative difference that is still called close.')

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TIMES = ('seconds', 'per_second')
# Fields that records of one schema may have where those of the other have none; what both have is compared.
_OF_ONE_SCHEMA = {
    *('schema', 'score_name', 'score', 'score_unit', 'score_interval', 'confidence', 'unlabelled', 'metrics'),
    *('accuracy', 'expected_calibration_error'),
}
_IMAGES, _SIDE = 48, 16
_CONFIG = """
from jtransfer import config


def get_config():
    return config.Config(
        name='recorded',
        model=config.Model(head_init='normal'),
        data=config.Data(source='csv:table.csv', batch_size=8, validation_fraction=0.2, test_fraction=0.25),
        optim=config.Optim(learning_rate=0.01),
        train=config.Train(steps=6, log_every=2, evaluate_every=3, progress=False, tensorboard=False),
        evaluate=config.Evaluate(batch_size=16, most_wrong=2),
    )
"""
_KIND = {'data.label_columns': "('kind',)"}
_TAGS = {'data.task': 'multi_label', 'data.label_columns': "('red','striped')"}
_LIGHT = {'data.task': 'regression', 'data.label_columns': "('light',)"}
_HEADS = {'data.task': 'heads', 'data.label_columns': "('kind','light')"}
_RESNET = {'model.checkpoint': 'resnet/model.safetensors'}
_VIT = {'model.checkpoint': 'vit/model.safetensors'}
_FOLDS = {'crossval.folds': 3, 'data.test_fraction': 0.0}

# The first two are what the others start from.
RUNS: dict[str, tuple[str, Mapping[str, Any]]] = {
    'resnet': ('finetune', {**_KIND, 'transfer.strategy': 'scratch', 'model.name': 'resnet_tiny'}),
    'vit': ('finetune', {**_KIND, 'transfer.strategy': 'scratch', 'model.name': 'vit_tiny_test'}),
    'one_label_host': ('finetune', {**_KIND, **_RESNET, 'transfer.strategy': 'linear_probe', 'data.placement': 'host'}),
    'one_label_stream': (
        'finetune',
        {
            **_KIND, **_RESNET, 'transfer.strategy': 'one_then_all', 'data.placement': 'stream', 'optim.ema_decay': 0.9,
            'augment.crop_scale': '(0.5,1.0)', 'augment.horizontal_flip': 0.5, 'optim.accumulate_steps': 2,
        },
    ),
    'one_label_pmap': (
        'finetune',
        {
            **_KIND, **_VIT, 'transfer.strategy': 'fine_tune', 'train.placement': 'pmap', 'model.drop_path': 0.2,
            'transfer.layer_decay': 0.7, 'optim.label_smoothing': 0.1, 'augment.operations': "('mixup(0.4)',)",
        },
    ),
    'one_label_pulls': (
        'finetune',
        {
            **_KIND, **_RESNET, 'transfer.strategy': 'fine_tune', 'transfer.decay_to_source': 0.01,
            'transfer.distill': 0.5, 'optim.name': 'sgd', 'loss.class_balance': 'inverse', 'data.sampling': 'balanced',
        },
    ),
    'one_label_sam': (
        'finetune', {**_KIND, **_RESNET, 'optim.sam_rho': 0.05, 'loss.name': 'focal', 'evaluate.temperature': True}
    ),
    'one_label_lora': ('finetune', {**_KIND, **_VIT, 'transfer.strategy': 'lora', 'evaluate.flips': True}),
    'tags': ('finetune', {**_TAGS, **_RESNET, 'transfer.strategy': 'fine_tune'}),
    'tags_host_pmap': (
        'finetune',
        {**_TAGS, **_VIT, 'transfer.strategy': 'fine_tune', 'train.placement': 'pmap', 'data.placement': 'host'},
    ),
    'numbers': ('finetune', {**_LIGHT, **_RESNET, 'transfer.strategy': 'fine_tune', 'loss.name': 'huber'}),
    'numbers_stream': ('finetune', {**_LIGHT, **_VIT, 'transfer.strategy': 'bitfit', 'data.placement': 'stream'}),
    'heads': ('finetune', {**_HEADS, **_RESNET, 'transfer.strategy': 'fine_tune', 'evaluate.flips': True}),
    'folds': ('crossval', {**_KIND, **_RESNET, **_FOLDS}),
    'folds_side_by_side': ('crossval', {**_KIND, **_RESNET, **_FOLDS, 'crossval.side_by_side': True}),
    'folds_of_tags': ('crossval', {**_TAGS, **_RESNET, **_FOLDS, 'crossval.afterwards': 'soup'}),
    'folds_of_numbers_side_by_side': ('crossval', {**_LIGHT, **_VIT, **_FOLDS, 'crossval.side_by_side': True}),
}  # fmt: skip


def main(argv: list[str]) -> None:
    """Records, or compares."""
    del argv
    if _COMPARE.value:
        first, second = (pathlib.Path(folder) for folder in _COMPARE.value)
        sys.exit(compare(first, second))
    if not _OUTPUT.value:
        sys.exit('--output or --compare is missing')
    with tempfile.TemporaryDirectory() as folder:
        place, output = pathlib.Path(folder), pathlib.Path(_OUTPUT.value)
        make_table(place)
        (place / 'config.py').write_text(_CONFIG)
        for name, (script, settings) in RUNS.items():
            needed = name in ('resnet', 'vit')
            if needed or _ONLY.value in name:
                record(place, name, script, settings, output)


def make_table(place: pathlib.Path) -> None:
    """Writes images of random brightness, some red, some striped, and a table of what they show."""
    random = np.random.default_rng(7)
    rows = ['image,kind,red,striped,light']
    for number in range(_IMAGES):
        light, red, striped = random.uniform(40, 160), random.random() < 0.5, random.random() < 0.5
        image = np.full((_SIDE, _SIDE, 3), light)
        image[..., 0] += 90 * red
        image[::4] -= 40 * striped
        image = np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(place / f'{number:02}.png')
        rows.append(f'{number:02}.png,{"light" if light > 100 else "dark"},{red:d},{striped:d},{light}')
    (place / 'table.csv').write_text('\n'.join(rows) + '\n')


def record(place: pathlib.Path, name: str, script: str, settings: Mapping[str, Any], output: pathlib.Path) -> None:
    """Runs a script and keeps what it left."""
    tree = pathlib.Path(_TREE.value or ROOT).resolve()
    command = [sys.executable, '-m', f'launch.{script}', '--config=config.py', f'--config.run_dir={name}']
    command += [f'--config.{field}={value}' for field, value in settings.items()]
    environment = {
        **os.environ,
        'PYTHONPATH': str(tree),
        'JAX_PLATFORMS': 'cpu',
        'XLA_FLAGS': '--xla_force_host_platform_device_count=4',
        'XDG_CACHE_HOME': str(place / 'cache'),
    }
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'{name} ended with status {done.returncode}: {done.stderr}')
    runs = sorted({path.parent for path in (place / name).rglob('model.safetensors')})
    arrays, texts = {}, {}
    for run in runs:
        label = run.relative_to(place).as_posix()
        arrays |= {f'{label}/model/{path}': array for path, array in load_file(run / 'model.safetensors').items()}
        outputs = run / 'evaluation' / 'outputs.npz'
        if outputs.exists():
            with np.load(outputs) as file:
                arrays |= {f'{label}/outputs/{key}': file[key] for key in file.files}
        texts |= {f'{label}/{path}': value for path, value in read_texts(run)}
    texts |= {f'{name}/{path}': value for path, value in read_texts(place / name)}
    shutil.rmtree(output / name, ignore_errors=True)
    (output / name).mkdir(parents=True)
    np.savez(output / name / 'arrays.npz', **arrays)
    (output / name / 'texts.json').write_text(json.dumps(texts, indent=1) + '\n')
    print(f'{name}: {len(arrays)} arrays, {len(texts)} texts', flush=True)


def read_texts(run: pathlib.Path) -> Iterator[tuple[str, Any]]:
    """Plan, metrics, tables and figures of a run by their names, without times."""
    for path in sorted([*run.glob('*'), *run.glob('evaluation/*')]):
        name = path.relative_to(run).as_posix()
        if path.suffix == '.csv':
            yield name, columns_without_times(path.read_text())
        elif path.name == 'plan.txt':
            yield name, path.read_text().splitlines()
        elif path.name == 'metrics.jsonl':
            yield name, [without_times(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.name in ('metrics.json', 'result.json', 'crossval.json'):
            yield name, without_times(json.loads(path.read_text()))


def in_one_schema(value: Any) -> Any:
    """JSON in which records of either schema (`docs/results_schema.md`) call the same numbers by the same names."""
    if isinstance(value, list):
        return [in_one_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    value = dict(value)
    if 'schema' in value and 'validation' in value:
        best = value.pop('validation') or {'score': None, 'loss': None}
        value |= {'best_validation_score': best['score'], 'best_validation_loss': best['loss']}
    renamed = {'best_validation_accuracy': 'best_validation_score', 'accuracy_interval': 'score_interval'}
    if 'fold_scores' in value:
        renamed['interval'] = 'score_interval'
    return {renamed.get(key, key): in_one_schema(each) for key, each in value.items()}


def in_both_schemas(paths: set[str], others: set[str]) -> tuple[set[str], set[str]]:
    """The paths of two recordings without what only one schema tells, unless both are of the same schema."""
    schemas = [any(path.endswith('.json/schema') for path in each) for each in (paths, others)]
    if schemas[0] == schemas[1]:
        return paths, others
    told = ({path for path in each if not _OF_ONE_SCHEMA & set(path.split('/'))} for each in (paths, others))
    return next(told), next(told)


def columns_without_times(text: str) -> list[list[str]]:
    """The rows of a table, without the columns of times."""
    header, *rows = csv.reader(text.splitlines())
    kept = [index for index, name in enumerate(header) if not any(word in name for word in _TIMES)]
    return [[row[index] for index in kept] for row in (header, *rows)]


def without_times(value: Any) -> Any:
    """The same JSON without what another run of the same commit has otherwise, too."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if not any(word in key for word in _TIMES)}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def compare(first: pathlib.Path, second: pathlib.Path) -> int:
    """Prints what became of every run that either folder has; 0: all are the same bits or close, 1: some are not."""
    status = 0
    for name in sorted({path.name for folder in (first, second) for path in folder.iterdir()}):
        lines = list(differences(first / name, second / name))
        apart = [line for line in lines if not line.startswith('close')]
        print(f'{name}: {"other" if apart else "close" if lines else "the same bits"}')
        for line in lines:
            print(f'  {line}')
        status = 1 if apart else status
    return status


def differences(first: pathlib.Path, second: pathlib.Path) -> Iterator[str]:
    """A line for everything that two recordings of a run do not share."""
    for folder in (first, second):
        if not (folder / 'texts.json').exists():
            yield f'{folder} was not recorded'
            return
    with np.load(first / 'arrays.npz') as one, np.load(second / 'arrays.npz') as two:
        yield from missing(set(one.files), set(two.files))
        for key in sorted({*one.files} & {*two.files}):
            yield from array_difference(key, one[key], two[key])
    ours, theirs = (in_one_schema(json.loads((folder / 'texts.json').read_text())) for folder in (first, second))
    yield from missing(*in_both_schemas(set(flat(ours)), set(flat(theirs))))
    for key, value in flat(ours).items():
        other = flat(theirs).get(key, value)
        if value != other:
            near = numbers_close(value, other)
            yield f'{"close" if near else "other"}: {key}: {value} and {other}'


def missing(first: set[str], second: set[str]) -> Iterator[str]:
    """What only one of two recordings has."""
    yield from (f'only in the first: {key}' for key in sorted(first - second))
    yield from (f'only in the second: {key}' for key in sorted(second - first))


def array_difference(key: str, first: np.ndarray, second: np.ndarray) -> Iterator[str]:
    """A line where two arrays are not the same bits."""
    if first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes():
        return
    if first.shape != second.shape or first.dtype.kind != 'f':
        yield f'other: {key}'
        return
    scale = max(float(np.nanmax(np.abs(first), initial=0)), np.finfo(np.float32).tiny)
    apart = float(np.nanmax(np.abs(first - second), initial=0)) / scale
    yield f'{"close" if apart <= _TOLERANCE.value else "other"}: {key}: {apart:.1e} of the largest value'


def flat(value: Any, path: str = '') -> dict[str, Any]:
    """The leaves of JSON by their paths."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        return {path: value}
    return {key: leaf for name, each in inner for key, leaf in flat(each, f'{path}/{name}').items()}


def numbers_close(first: Any, second: Any) -> bool:
    """Whether two leaves are numbers that differ by rounding alone."""
    both = isinstance(first, int | float) and isinstance(second, int | float)
    return both and bool(np.isclose(first, second, rtol=_TOLERANCE.value, atol=0, equal_nan=True))


if __name__ == '__main__':
    app.run(main)
