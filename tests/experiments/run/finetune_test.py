"""Whole runs: what they write, what they refuse before they write, how they resume."""

import csv
import dataclasses
import json
import pathlib
import re
import shutil
import struct
import zlib

import numpy as np
import pytest
from safetensors.numpy import load_file

from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.folder import FolderSource
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_config, read_result
from jtransfer.pretrained.model import load_model
from jtransfer.train import training
from jtransfer.train.logs.log import MetricLog, read_log

pytestmark = pytest.mark.usefixtures('compile_once')

THOROUGH = {
    'transfer.strategy': 'fine_tune',
    'optim.ema_decay': 0.5,
    'data.validation_fraction': 0.2,
    'augment.crop_scale': (0.5, 1.0),
    'augment.horizontal_flip': 0.5,
    'model.dropout': 0.1,
    'train.steps': 6,
    'train.evaluate_every': 2,
    'train.checkpoint_every': 2,
}


def tensors(path):
    return load_file(pathlib.Path(path) / 'model.safetensors')


def assert_same_network(first, second):
    first, second = tensors(first), tensors(second)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def tree(folder):
    return {str(path): path.read_bytes() for path in pathlib.Path(folder).rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def finished(tiny_config, tmp_path_factory, compile_once):
    """A finished run with all that a run can have, and what it said."""
    lines = []
    path = tmp_path_factory.mktemp('finished') / 'run'
    settings = {**THOROUGH, 'run_dir': str(path), 'train.tensorboard': True}
    return finetune.run(tiny_config(**settings), say=lines.append), lines


def test_a_run_leaves_everything_it_lists(finished):
    result, lines = finished
    path = result.directory.path
    assert [name for name, _ in result.directory.listing()] == [
        'report.html', 'evaluation/', 'model.safetensors', 'metrics.jsonl', 'tensorboard/', 'checkpoints/', 'plan.txt',
        'split.json', 'config.py', 'result.json',
    ]  # fmt: skip
    assert sorted(p.name for p in (path / 'checkpoints').iterdir()) == ['best', 'last']
    assert not list(path.rglob('*.partial*'))
    assert '3 classes (ant, bee, cat); images: 13 to train on, 8 to validate on, 15 to test on' in lines[0]
    assert lines[1].endswith('holds a folder for each class')
    assert 're-initialised the head' in lines[2]
    assert lines[3].startswith('trained: head, backbone')
    assert lines[4] == f'writing {path}'


def test_its_numbers_agree_everywhere(finished):
    result, _ = finished
    path = result.directory.path
    record = read_result(path)
    metrics = json.loads((path / 'evaluation' / 'metrics.json').read_text())
    assert record['part'] == 'test'
    assert record['examples'] == 15
    assert record['score'] == result.metrics.top1 == metrics['top1']
    assert record['score_interval'][0] < record['score'] < record['score_interval'][1]
    with open(path / 'evaluation' / 'predictions.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert np.mean([int(row['correct']) for row in rows]) == pytest.approx(record['score'])
    log = read_log(path / 'metrics.jsonl')
    assert [line['step'] for line in log] == list(range(1, 7))
    assert record['validation']['score'] == max(line.get('validation/top1', 0) for line in log)
    equal = [line for line in log if line.get('validation/top1') == record['validation']['score']]
    assert record['validation']['loss'] == min(line['validation/loss'] for line in equal)
    assert record['chosen_step'] == min(equal, key=lambda line: line['validation/loss'])['step']
    assert record['trainable_parameters'] == record['parameters'] == result.plan.elements
    assert record['train_examples'] == 13
    assert re.fullmatch(r'\d+\.\d+.*', record['versions']['jax'])


def test_the_split_names_every_example_once(finished, photos):
    result, _ = finished
    split = json.loads((result.directory.path / 'split.json').read_text())
    ids = [name for part in ('train', 'validation', 'test') for name in split[part]['ids']]
    assert sorted(ids) == sorted(str(path.relative_to(photos)) for path in photos.rglob('*.png'))
    assert split['class_names'] == ['ant', 'bee', 'cat']


def test_the_saved_network_is_the_trained_one(finished):
    result, _ = finished
    model = load_model(str(result.directory.path))
    assert model.class_names == ('ant', 'bee', 'cat')
    np.testing.assert_array_equal(
        model.variables['params']['head']['kernel'], result.model.variables['params']['head']['kernel']
    )


def test_the_same_configuration_gives_the_same_network(finished, nowhere):
    result, _ = finished
    again = finetune.run(dataclasses.replace(read_config(result.directory.path), run_dir='again'))
    assert_same_network(result.directory.path, 'again')
    assert read_result('again')['loss'] == result.metrics.loss
    other = finetune.run(dataclasses.replace(read_config(result.directory.path), seed=1))
    assert other.metrics.loss != again.metrics.loss


def test_a_finished_run_is_never_overwritten(finished, tiny_config):
    result, _ = finished
    before = tree(result.directory.path)
    config = tiny_config(**{**THOROUGH, 'run_dir': str(result.directory.path), 'train.tensorboard': True})
    for resume in ('never', 'auto'):
        config.train.resume = resume
        with pytest.raises(UserError, match='holds a finished run'):
            finetune.run(config)
    config.optim.learning_rate = 0.1
    with pytest.raises(UserError, match=r'another configuration \(optim.learning_rate is 0.05 there and 0.1 here\)'):
        finetune.run(config)
    assert tree(result.directory.path) == before


@pytest.mark.parametrize('stop', [1, 4, 5])
def test_an_interrupted_run_continues_where_it_was(finished, tiny_config, nowhere, monkeypatch, stop):
    write = MetricLog.write

    def interrupt(self, step, values):
        if step == stop:
            raise KeyboardInterrupt
        write(self, step, values)

    monkeypatch.setattr(MetricLog, 'write', interrupt)
    with pytest.raises(KeyboardInterrupt):
        finetune.run(tiny_config(**THOROUGH))
    monkeypatch.undo()
    monkeypatch.chdir(nowhere)
    assert not (nowhere / 'runs/tiny/result.json').exists()

    lines = []
    result = finetune.run(tiny_config(**{**THOROUGH, 'train.resume': 'auto'}), say=lines.append)
    assert str(result.directory.path) == 'runs/tiny'
    assert lines[-1] == 'resuming runs/tiny'
    assert_same_network('runs/tiny', finished[0].directory.path)
    steps = [line['step'] for line in read_log(pathlib.Path('runs/tiny/metrics.jsonl'))]
    assert steps == list(range(1, 7))
    record, expected = read_result('runs/tiny'), read_result(finished[0].directory.path)
    for name in ('score', 'loss', 'chosen_step', 'validation'):
        assert record[name] == expected[name]
    assert [path.name for path in (nowhere / 'runs').iterdir()] == ['tiny']


def test_an_unfinished_run_is_not_resumed_on_other_images(tiny_config, photos, nowhere, monkeypatch):
    shutil.copytree(photos, 'mine')
    config = tiny_config(**{'data.source': 'folder:mine', 'run_dir': 'run'})
    monkeypatch.setattr(MetricLog, 'write', lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        finetune.run(config)
    shutil.copy('mine/ant/00.png', 'mine/ant/new.png')
    config.train.resume = 'auto'
    before = tree('run')
    with pytest.raises(UserError, match='run was begun with other images'):
        finetune.run(config)
    assert tree('run') == before


def png_header(side: int) -> bytes:
    """A PNG that says it has side × side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    size = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', size) + chunk(b'IDAT', zlib.compress(bytes(99))) + chunk(b'IEND', b'')


def truncated_jpeg(folder):
    from PIL import Image

    path = folder / 'bee' / 'cut.jpg'
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:400])


def empty_class(folder):
    (folder / 'dog').mkdir()


def single_class(folder):
    shutil.rmtree(folder / 'ant')
    shutil.rmtree(folder / 'bee')


def bomb(folder):
    (folder / 'bee' / 'bomb.png').write_bytes(png_header(30_000))


def nothing(folder):
    pass


BAD = {
    'missing folder': (nothing, {'data.source': 'folder:mien'}, r"there is no folder mien. Did you mean 'mine'\?"),
    'no path': (nothing, {'data.source': 'folder:'}, r'names no data: write folder:PATH'),
    'unknown source': (nothing, {'data.source': 'digit'}, r"data.source='digit' is not one of .* mean 'digits'"),
    'images in memory': (nothing, {'data.source': 'memory'}, r'handed over in Python'),
    'empty class folder': (empty_class, {}, r"class folder 'mine/dog' has no images"),
    'a single class': (single_class, {}, r"mine has 1 class \('cat'\): at least 2"),
    'a truncated JPEG': (truncated_jpeg, {}, r'mine/bee/cut.jpg is a truncated or damaged JPEG; .*skip_unreadable'),
    'a decompression bomb': (bomb, {}, r'mine/bee/bomb.png has .*decompression bomb\?\); 100,000,000 are allowed'),
    'a batch too large': (nothing, {'data.batch_size': 24}, r'batch_size=24 is larger than the training part of 21'),
    'a batch that cannot be shared': (nothing, {'data.batch_size': 9}, r'multiple of 8 \(8 devices.*16 would do'),
    'a rule for nothing': (nothing, {'transfer.rules': (('backbone/stme/.*', 'freeze'),)}, r'backbone/stme/\.\*'),
    'all frozen': (nothing, {'transfer.rules': (('.*', 'freeze'),)}, r'every parameter is frozen'),
    'an unknown treatment': (nothing, {'transfer.rules': (('head/.*', 'melt'),)}, r'melt'),
    'learning rate 0': (nothing, {'optim.learning_rate': 0.0}, r'optim.learning_rate=0.0 must be above 0'),
    'learning rate NaN': (nothing, {'optim.learning_rate': float('nan')}, r'optim.learning_rate=nan must be above 0'),
    'too few a class': (nothing, {'data.examples_per_class': 40}, r'40'),
    'nothing to evaluate on': (nothing, {'data.test_fraction': 0.0}, r'nothing to evaluate on: set data.test_fraction'),
    'no such network': (nothing, {'model.checkpoint': 'jtransfer/resnet_glyph'}, r"mean 'jtransfer/resnet_glyphs'\?"),
    'another architecture': (nothing, {'model.name': 'resnet50'}, r"of architecture 'resnet_tiny', not 'resnet50'"),
    'two lengths': (nothing, {'train.epochs': 2.0}, r'exactly one of train.epochs and train.steps'),
    'a wrong type': (nothing, {'data': 3}, r'data=3 must be a Data'),
    'a large seed': (nothing, {'seed': 2**32}, r'seed=4294967296 must be below 2\*\*32'),
    'a folder in the way': (nothing, {'run_dir': 'mine'}, r'run_dir=mine is not empty and holds no run'),
    'a file in the way': (nothing, {'run_dir': 'mine/ant/00.png'}, r'run_dir=mine/ant/00.png is a file'),
    'runs is a file': (lambda folder: pathlib.Path('runs').touch(), {}, r'runs/tiny cannot be written'),
}


@pytest.mark.parametrize('what', BAD)
def test_what_cannot_be_is_said_in_a_line_before_anything_is_written(tiny_config, photos, nowhere, what):
    spoil, settings, message = BAD[what]
    shutil.copytree(photos, 'mine')
    spoil(nowhere / 'mine')
    before = tree(nowhere)
    config = tiny_config(**{'data.source': 'folder:mine'})
    for field, value in settings.items():
        group, _, leaf = field.rpartition('.')
        setattr(getattr(config, group) if group else config, leaf, value)
    with pytest.raises(UserError, match=message) as caught:
        finetune.run(config)
    assert '\n' not in str(caught.value)
    assert tree(nowhere) == before
    assert sorted(path.name for path in nowhere.iterdir()) in (['mine'], ['mine', 'runs'])


def test_batch_normalisation_over_a_single_value_is_refused_first(tiny_config, nowhere, monkeypatch):
    import jax

    one = jax.devices()[:1]
    for name in ('devices', 'local_devices'):
        monkeypatch.setattr(jax, name, lambda: one)
    settings = {'data.batch_size': 1, 'model.image_size': 2, 'transfer.strategy': 'fine_tune'}
    with pytest.raises(UserError, match='would train on a single value a channel: use a larger batch'):
        finetune.run(tiny_config(**settings))
    assert not list(nowhere.iterdir())
    # Frozen, it takes no statistics, and a batch of one is fine.
    assert finetune.run(tiny_config(**settings | {'transfer.strategy': 'linear_probe'})).metrics.examples == 15


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
def test_unreadable_images_are_skipped_and_counted(tiny_config, photos, nowhere):
    shutil.copytree(photos, 'mine')
    truncated_jpeg(nowhere / 'mine')
    bomb(nowhere / 'mine')
    (nowhere / 'mine' / 'cat' / 'note.txt').touch()
    lines = []
    settings = {'data.source': 'folder:mine', 'data.skip_unreadable': True}
    result = finetune.run(tiny_config(**settings), say=lines.append)
    assert result.skipped == read_result(result.directory.path)['skipped_images'] == 2
    record = read_result(result.directory.path)
    assert record['train_examples'] + record['examples'] == 36
    assert '1 file in the folders is no image and was left out (.txt 1)' in lines[2]


def test_labels_outside_the_range_and_other_arrays(tiny_config, nowhere):
    images = np.zeros((12, 4, 4, 3), np.uint8)
    with pytest.raises(UserError, match=r'array: example array/11 has label 7, outside 0 to 1 \(2 classes\)'):
        ArraySource(images, [0, 1] * 5 + [0, 7], ('a', 'b'))

    source = ArraySource(images, [0, 1] * 6, ('a', 'b'))
    source.labels = np.array([0, 1] * 5 + [-1, 1])
    with pytest.raises(
        UserError, match=r'1 of the 12 examples of the train part have no label \(the first is array/10'
    ):
        finetune.run(tiny_config(), {'train': source, 'test': ArraySource(images, [0, 1] * 6, ('a', 'b'))})
    assert not list(nowhere.iterdir())


def test_streamed_and_resident_images_train_the_same_network(tiny_config, nowhere):
    for placement in ('device', 'stream'):
        settings = {**THOROUGH, 'data.placement': placement, 'run_dir': placement, 'train.checkpoint_every': 0}
        finetune.run(tiny_config(**settings))
    assert_same_network('device', 'stream')
    assert read_result('device')['loss'] == read_result('stream')['loss']


def test_pmap_runs_from_end_to_end_with_the_numbers_of_jit(tiny_config, nowhere):
    for placement in ('jit', 'pmap'):
        settings = {'transfer.strategy': 'fine_tune', 'train.placement': placement, 'run_dir': placement}
        result = finetune.run(tiny_config(**settings))
        assert '8 ×' in read_result(result.directory.path)['versions']['device']
    losses = [[line['train/loss'] for line in read_log(pathlib.Path(p, 'metrics.jsonl'))] for p in ('jit', 'pmap')]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert len(losses[0]) == 4


def test_a_run_that_diverges_keeps_its_last_good_state(tiny_config, nowhere):
    settings = {'transfer.strategy': 'fine_tune', 'optim.learning_rate': 1e30, 'optim.warmup': 0.0, 'run_dir': 'run'}
    settings |= {'optim.name': 'sgd', 'optim.clip_norm': 0.0, 'optim.weight_decay': 0.0}
    with pytest.raises(TrainingDivergedError, match=r'stopped being finite at step \d.*last/\d'):
        finetune.run(tiny_config(**settings))
    assert list(pathlib.Path('run/checkpoints/last').iterdir())
    assert not pathlib.Path('run/result.json').exists()
    with pytest.raises(UserError, match='holds an unfinished run'):
        finetune.run(tiny_config(**settings))


@pytest.mark.filterwarnings('ignore:run/metrics.jsonl has lost lines:jtransfer.errors.RunWarning')
def test_a_run_that_diverged_goes_on_with_a_lower_learning_rate_and_says_so(tiny_config, nowhere, monkeypatch):
    settings = {'optim.learning_rate': 0.1, 'optim.clip_norm': 0.0, 'run_dir': 'run'}
    collect = training.lines_of_lanes

    def never_finite(*args):
        return {number: {**line, 'finite': False} for number, line in collect(*args).items()}

    with monkeypatch.context() as patch:
        patch.setattr(training, 'lines_of_lanes', never_finite)
        with pytest.raises(TrainingDivergedError, match=r'run_dir=run --config\.train\.resume=changed .* goes on'):
            finetune.run(tiny_config(**settings))
    lower = settings | {'optim.learning_rate': 0.01, 'optim.clip_norm': 1.0, 'train.resume': 'auto'}
    with pytest.raises(UserError, match=r'learning_rate is 0\.1 there .* step 1 with --config\.train\.resume=changed'):
        finetune.run(tiny_config(**lower))
    with pytest.raises(UserError, match=r'name another directory$'):
        finetune.run(tiny_config(**lower | {'seed': 5, 'train.resume': 'changed'}))
    said: list[str] = []
    result = finetune.run(tiny_config(**lower | {'train.resume': 'changed'}), say=said.append)
    what = 'optim.learning_rate 0.01 instead of 0.1, optim.clip_norm 1.0 instead of 0.0'
    assert said[-1] == f'resuming run after step 1 with {what}'
    assert read_result('run')['changes'] == [
        {'after_step': 1, 'field': 'optim.learning_rate', 'from': 0.1, 'to': 0.01},
        {'after_step': 1, 'field': 'optim.clip_norm', 'from': 0.0, 'to': 1.0},
    ]
    assert read_config('run').optim == result.config.optim
    assert [line['step'] for line in read_log('run/metrics.jsonl')] == [2, 3, 4]
    assert 'optim.learning_rate from 0.1 to 0.01 after step 1' in pathlib.Path('run/report.html').read_text()


def test_without_a_test_part_validation_is_reported(tiny_config, nowhere):
    config = tiny_config(**{'data.test_fraction': 0.0, 'data.validation_fraction': 0.3})
    result = finetune.run(config)
    assert result.part == read_result(result.directory.path)['part'] == 'validation'
    assert result.metrics.top1 == read_result(result.directory.path)['validation']['score']


def test_scratch_takes_the_network_but_not_its_weights(tiny_config, nowhere):
    result = finetune.run(tiny_config(**{'transfer.strategy': 'scratch', 'train.steps': 1}))
    assert 'random' in result.load_summary
    assert result.plan.trainable_elements == result.plan.elements


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'loss.class_weights': (1.0, 2.0)}, 'loss.class_weights has 2 weights for 3 classes'),
        (
            {'transfer.strategy': 'gradual', 'transfer.unfreeze_every': 9},
            'begins the last of 4 phases after 27 of 4 steps',
        ),
        ({'transfer.strategy': 'gradual'}, 'there is no validation part'),
    ],
)
def test_settings_that_cannot_be_are_told_before_an_image_is_read(tiny_config, nowhere, monkeypatch, settings, message):
    monkeypatch.setattr(FolderSource, '__getitem__', lambda *_: pytest.fail('an image was read'))
    with pytest.raises(UserError, match=message):
        finetune.run(tiny_config(**settings))
    assert not (nowhere / 'runs').exists()
