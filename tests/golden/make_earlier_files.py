"""Writes `tests/golden/earlier`, files as the checked-out version writes them.

Run by hand, once: `python -m tests.golden.make_earlier_files`. Later versions are to read what this commit, which
`made.json` names, has written; files of a newer version belong beside these, and not in their place.

Run again on the same commit it writes the same values; the names and times in Orbax's checkpoints and in Optuna's
journal are others. What differs from what a person's run leaves: pages, diagrams and further tables are left out,
seconds are 1, and names of the machine are made up.
"""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np

from jtransfer import config as config_lib
from jtransfer import rules, stopping
from jtransfer.config import Config, Data, Evaluate, Optim, Search, Train
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.predict import predict
from jtransfer.experiments.run import finetune
from jtransfer.experiments.search import search, study
from jtransfer.experiments.sweep import sweep
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.export import export_model
from jtransfer.pretrained.load.base import Base
from jtransfer.pretrained.model import load_model
from jtransfer.train.logs.log import MetricLog
from tests.golden import earlier

# Of the random ones, in the files beside the runs.
BASES = {'resnet': ('resnet_tiny', {}), 'vit': ('vit_tiny_test', {'dim': 8, 'mlp_ratio': 2})}
LEFT_OUT = ('*.html', '*.png', '*.lock', 'plan.txt', 'config.py', 'folds.csv', 'trials.csv')
# The one run that keeps its program.
PROGRAM = 'single_label'
RUNS: dict[str, dict[str, Any]] = {
    'single_label': {
        'data.label_columns': ('kind',),
        'transfer.rules': (('backbone/stage2/.*', 'freeze'),),
        'optim.ema_decay': 0.5,
    },
    'multi_label': {
        'model.checkpoint': 'vit.safetensors',
        'data.task': 'multi_label',
        'data.label_columns': ('red', 'striped'),
        'transfer.strategy': 'adapter',
        'adapters.adapter_dim': 2,
    },
    'regression': {'data.task': 'regression', 'data.label_columns': ('lux',), 'transfer.strategy': 'ssf'},
    'heads': {
        'data.source': 'csv:gaps.csv',
        'data.task': 'heads',
        'data.label_columns': ('kind', 'colour', 'lux'),
        'transfer.strategy': 'linear_probe',
    },
    'lora': {
        'model.checkpoint': 'vit.safetensors',
        'data.label_columns': ('kind',),
        'transfer.strategy': 'lora',
        'adapters.lora_rank': 1,
        'evaluate.temperature': True,
        'evaluate.flips': True,
    },
    # Tables have no head for several labels an image.
    'memory': {'data.source': 'memory', 'transfer.strategy': 'bitfit'},
}
STOPPED_AT = 5


def tiny(name: str, **settings: Any) -> Config:
    """A run of a second."""
    config = Config(
        name=name,
        run_dir=name,
        model=config_lib.Model(checkpoint='resnet.safetensors', head_init='normal'),
        data=Data(
            source='csv:whole.csv', batch_size=8, validation_fraction=0.25, test_fraction=0.3, cache=False, workers=0
        ),
        optim=Optim(learning_rate=0.02),
        train=Train(steps=8, log_every=1, evaluate_every=2, progress=False, tensorboard=False),
        evaluate=Evaluate(batch_size=16, most_wrong=2),
    )
    for field, value in settings.items():
        config = config_lib.replace(config, field, value)
    return config


def write_base(name: str) -> None:
    """A network whose values are short numbers, which compress well where nothing moves them."""
    architecture, options = BASES[name]
    model = load_model(architecture=architecture, options=options, class_names=('p', 'q', 'r', 's'), head_init='normal')
    random = np.random.default_rng(len(name))
    values = {}
    for path, leaf in rules.flatten(model.variables).items():
        drawn = np.asarray(leaf) + 0.1 * random.standard_normal(leaf.shape)
        drawn = np.abs(drawn) if path.endswith('/var') else drawn
        values[path] = drawn.astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    save_model(
        f'{name}.safetensors',
        rules.unflatten(values),
        architecture=architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        options=options,
        training={'source': 'random numbers'},
    )


@contextmanager
def stopped(step: int) -> Iterator[None]:
    """As if SIGTERM arrived when a step has been logged."""
    write = MetricLog.write

    def written(self: MetricLog, at: int, values: Any) -> None:
        write(self, at, values)
        if at == step:
            stopping._WORK.signal = signal.SIGTERM

    with mock.patch.object(MetricLog, 'write', written):
        try:
            yield
        except stopping.Stopped as said:
            print(said)
        else:
            raise AssertionError('the run was not stopped')
        finally:
            stopping._WORK.signal = None


def write_runs() -> None:
    """Finished runs of every task, with what their networks say; and two that were stopped under way."""
    sources = {'memory': earlier.in_memory()}
    for name, settings in RUNS.items():
        result = finetune.run(tiny(name, **settings), sources.get(name))
        print(name, result.headline)
        predict.predict_folder(name, earlier.PHOTOS, f'{name}/predictions.csv')
    for name in ('single_label', 'memory'):
        with stopped(STOPPED_AT):
            # The same run in every field but its directory.
            config = dataclasses.replace(tiny(name, **RUNS[name]), run_dir=f'{name}_stopped')
            finetune.run(config, sources.get(name))


def write_crossvals() -> None:
    """Two cross-validations over the same folds; of the second, the records alone will be kept."""
    settings = {'data.label_columns': ('kind',), 'transfer.strategy': 'linear_probe', 'crossval.folds': 2}
    settings |= {'crossval.test_fraction': 0.2, 'train.steps': 4}
    first = {**settings, 'crossval.afterwards': 'ensemble'}
    crossval.run(tiny('crossval', **first), say=print)
    predict.predict_folder('crossval/ensemble', earlier.PHOTOS, 'crossval/ensemble/predictions.csv')
    crossval.run(tiny('crossval_other', **{**settings, 'optim.learning_rate': 0.2}), say=print)


def write_several() -> None:
    """A sweep and a search, of which the records will be kept."""
    settings = {'data.label_columns': ('kind',), 'transfer.strategy': 'linear_probe', 'train.steps': 2}
    sweep.run(tiny('sweep', **settings), {'seed': ['0', '1']}, say=print)
    space = ('optim.learning_rate=log(1e-3, 1)', 'transfer.strategy=choice(linear_probe, norm_only)')
    searched = dataclasses.replace(tiny('search', **settings), search=Search(space=space, trials=2))
    with mock.patch.object(study, '_this_process', return_value='elsewhere 1'):
        search.run(searched, say=print)


def write_exports() -> None:
    """Folders for timm and transformers, with the outputs' names."""
    export_model(load_model('single_label'), 'export_timm', 'timm')
    export_model(load_model('lora'), 'export_huggingface', 'huggingface')


def tidy(folder: pathlib.Path) -> None:
    """Makes up what differs from run to run: seconds, and the folder in Orbax's words."""
    for file in folder.rglob('commit_success.txt'):
        file.write_text(file.read_text(encoding='utf-8').replace(str(folder), '/elsewhere'), encoding='utf-8')
    for file in (*folder.rglob('*.json'), *folder.rglob('metrics.jsonl')):
        if 'checkpoints' not in file.parts:
            text = file.read_text(encoding='utf-8')
            file.write_text(re.sub(r'("[^"]*second[^"]*": )[-+.\de]+', r'\g<1>1.0', text), encoding='utf-8')


def here() -> str:
    """The commit that is checked out, with a library as it is there."""
    root = pathlib.Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(('git', *arguments), cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    assert not git('status', '--porcelain', '--', 'jtransfer'), 'commit the library first, so that it has a name'
    return git('log', '-1', '--format=%H', '--', 'jtransfer')


def main() -> None:
    """Writes all of them."""
    made = {'commit': here(), 'by': 'python -m tests.golden.make_earlier_files', **finetune.versions()}
    named = Base.named

    def elsewhere(checkpoint: str, *arguments: Any) -> Base:
        """As if the runs had been made in a folder that is not here."""
        return dataclasses.replace(named(checkpoint, *arguments), checkpoint=f'/elsewhere/{checkpoint}')

    earlier.EARLIER.mkdir(exist_ok=True)
    before = pathlib.Path.cwd()
    with tempfile.TemporaryDirectory() as temporary, mock.patch.object(Base, 'named', elsewhere):
        folder = pathlib.Path(temporary).resolve()
        os.chdir(folder)
        earlier.write_pictures(folder)
        for name in BASES:
            write_base(name)
        for write in (write_runs, write_crossvals, write_several, write_exports):
            write()
        tidy(folder)
        os.chdir(before)
        for path in sorted(folder.iterdir()):
            if path.name in (*earlier.TABLES, earlier.PHOTOS):
                continue
            said = [str(file) for file in path.rglob('*') if file.is_file() and temporary.encode() in file.read_bytes()]
            assert not [name for name in said if not name.endswith('.html')], said
            left_out = [name for name in LEFT_OUT if path.name != PROGRAM or name != 'config.py']
            if not path.name.endswith('_stopped'):
                left_out.append('checkpoints')
            if path.name in ('crossval_other', 'sweep', 'search'):
                left_out.append('*.safetensors')
            earlier.pack(path, earlier.EARLIER / f'{path.stem}.zip', tuple(left_out))
    (earlier.EARLIER / 'made.json').write_text(json.dumps(made, indent=2) + '\n', encoding='utf-8')
    for file in sorted(earlier.EARLIER.iterdir()):
        print(f'{file.stat().st_size:8,} {file.name}')


if __name__ == '__main__':
    main()
