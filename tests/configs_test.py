"""Every file in configs/ is built, is valid, and takes a step; a new file cannot be forgotten."""

import dataclasses
import importlib
import json
import pathlib

import jax
import pytest

from jtransfer import config as config_lib
from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.experiments.run import finetune
from jtransfer.pretrained.catalogue.locate import locate
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.base import single_label
from jtransfer.tasks.choose_loss import task_losses
from jtransfer.tasks.criterion import make_criterion
from jtransfer.train.step import make_train_step
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import make_plan
from tests.tiers import slow

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(path.stem for path in (ROOT / 'configs').glob('*.py') if path.stem != '__init__')
VARIANTS = {
    'finetune': ['resnet_glyphs', 'vit_glyphs'],
    'pretrain_glyphs': [None],
    'pretrain_glyphs_vit': [None],
    'quickstart': ['resnet', 'vit'],
    'scratch': ['resnet_tiny'],
    'crossval': [None],
    'search': [None],
}
LARGE = ['resnet18', 'resnet50', 'wide_resnet50_2', 'vit_s16']


def build(file, variant):
    module = importlib.import_module(f'configs.{file}')
    return config_lib.validate(module.get_config(variant) if variant else module.get_config())


def test_every_file_is_here():
    assert sorted(VARIANTS) == FILES
    assert VARIANTS['quickstart'] == list(importlib.import_module('configs.quickstart').CHECKPOINTS)
    assert VARIANTS['finetune'] == list(importlib.import_module('configs.finetune').NETWORKS)


@pytest.mark.parametrize('file', FILES)
def test_it_is_valid_as_it_stands_and_survives_being_saved(file):
    variants = models.variant_names() if file == 'scratch' else VARIANTS[file]
    for variant in variants:
        config = build(file, variant)
        assert config_lib.from_dict(config_lib.to_dict(config)) == config
        assert file != 'scratch' or config.model.name == variant


@pytest.mark.parametrize('file', ['finetune', 'quickstart'])
def test_a_variant_that_does_not_exist_is_one_line(file):
    with pytest.raises(UserError, match=rf"configs/{file}\.py has no .*'vgg'.* take "):
        build(file, 'vgg')


@pytest.mark.usefixtures('compile_once')
@pytest.mark.parametrize(
    ('file', 'variant'),
    [
        *[('finetune', 'vit_glyphs'), ('quickstart', 'resnet'), ('scratch', 'resnet_tiny'), ('search', None)],
        *slow(('finetune', 'resnet_glyphs'), ('quickstart', 'vit'), ('crossval', None)),
        *slow(('pretrain_glyphs', None), ('pretrain_glyphs_vit', None)),
    ],
)
def test_it_takes_a_step(file, variant, nowhere, monkeypatch):
    monkeypatch.setattr(jax, 'local_devices', lambda: jax.devices()[:1])  # eight take longer to compile for
    config = build(file, variant)
    changes = {'train.epochs': 0.0, 'train.steps': 1, 'train.progress': False, 'train.tensorboard': False}
    changes |= {'data.examples_per_class': 2, 'data.batch_size': 8, 'optim.accumulate_steps': 1}
    for field, value in changes.items():
        config = config_lib.replace(config, field, value)
    sources = _few(config) if config.data.source == 'glyphs' else _few_digits()
    result = finetune.run(dataclasses.replace(config, run_dir='run'), sources)
    assert result.config.name == config.name
    assert 0 <= result.metrics.top1 <= 1
    assert (nowhere / 'run' / 'result.json').exists()


@pytest.mark.parametrize('network', LARGE)
def test_a_large_network_can_be_traced(network):
    config = build('scratch', network)
    size = 32
    model = jax.eval_shape(lambda: _variables(network, size))
    network_module = _network(network, size)
    plan = make_plan(network_module, model['params'], config.transfer, config.optim.weight_decay)
    preprocessing = dataclasses.replace(_preprocessing(network), image_size=size)
    tasks = [single_label([str(number) for number in range(network_module.heads[''])])]
    criterion = make_criterion(tasks, task_losses(config.loss, tasks), config.optim.label_smoothing)
    parts = StepParts(network_module, preprocessing, plan, config, criterion, 1)
    state = jax.eval_shape(parts.start, model)
    side = round(size * 256 / 224)
    batch = {
        'inputs': {
            'image': jax.ShapeDtypeStruct((4, side, side, 3), 'uint8'),
            'aspect': jax.ShapeDtypeStruct((4,), 'float32'),
        },
        **{name: jax.ShapeDtypeStruct((4,), 'int32') for name in ('id', 'epoch')},
        'labels': {'': jax.ShapeDtypeStruct((4,), 'int32')},
        'seed': jax.ShapeDtypeStruct((), 'uint32'),
        'step': jax.ShapeDtypeStruct((), 'int32'),
    }
    after, metrics = jax.eval_shape(make_train_step(parts, state.trainable), state, batch)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert metrics['loss'].shape == ()


def test_the_shipped_checkpoints_open():
    for name in ('resnet_glyphs', 'vit_glyphs'):
        model = load_model(f'jtransfer/{name}')
        assert len(model.class_names) == 47
        assert not model.load_report.re_initialised
        assert not model.load_report.ignored


def _network(name, size):
    return models.create(name, num_classes=3, image_size=size)


def _variables(name, size):
    return _network(name, size).init(jax.random.key(0), jax.numpy.zeros((1, size, size, 3)))


def _preprocessing(name):
    return models.describe(name).preprocessing


def _few_digits():
    from jtransfer.data.sources.arrays import ArraySource
    from jtransfer.data.sources.digits import load_digits

    digits = load_digits()
    images = [digits[i]['image'] for i in range(300)]
    return ArraySource(images, digits.labels[:300], digits.class_names)


def _few(config):
    from jtransfer.data.sources.glyphs import GlyphSource

    assert config.model.name
    return {part: GlyphSource(part, size=94) for part in ('train', 'validation', 'test')}


@pytest.mark.parametrize(
    ('name', 'file'), [('resnet_glyphs', 'pretrain_glyphs'), ('vit_glyphs', 'pretrain_glyphs_vit')]
)
def test_the_shipped_weights_were_made_by_the_configuration_that_is_here(name, file):
    record = locate(f'jtransfer/{name}').path.with_suffix('.json')
    assert config_lib.from_dict(json.loads(record.read_text())['config']) == build(file, None)
