"""Small files that give a trained network back, bit for bit, on the base that they were trained on and on no other."""

import dataclasses
import functools
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import adapters, rules
from jtransfer.config.transfer import ADAPTATIONS, Adapters, Transfer
from jtransfer.errors import UserError
from jtransfer.experiments.predict.predict import evaluate_checkpoint
from jtransfer.experiments.run import finetune
from jtransfer.pretrained.adapter_file import load_adapter, save_adapter
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.export import export_model
from jtransfer.pretrained.files.safetensors import read_safetensors, write_safetensors
from jtransfer.pretrained.model import load_model
from jtransfer.transfer.plan import make_plan
from tests.tiers import slow

NAMES = ('ape', 'bee', 'cat')
_BIT = {'depths': [1, 1], 'widths': [4, 8], 'stem_width': 8, 'norm_groups': 4}
FAMILIES = {
    'resnet': {'architecture': 'resnet_tiny'},
    'bit': {'architecture': 'bit_r50x1', 'options': _BIT, 'image_size': 32},
    'vit': {'architecture': 'vit_tiny_test'},
}
SETTINGS = Adapters(lora_rank=2, adapter_dim=4, adapter_kind='sequential', prompt_tokens=3)
CASES = [
    (family, strategy)
    for family in FAMILIES
    for strategy in ('bitfit', *ADAPTATIONS)
    if family == 'vit' or strategy != 'prompt'
]


def write(path, model):
    """A whole checkpoint."""
    save_model(
        path,
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        options=model.options,
        adaptation=model.adaptation,
    )
    return str(path)


@pytest.fixture(scope='module')
def bases(tmp_path_factory):
    """Files of random networks by family."""
    folder = tmp_path_factory.mktemp('bases')
    return {
        family: write(folder / f'{family}.safetensors', load_model(num_classes=4, seed=3, **facts))
        for family, facts in FAMILIES.items()
    }


def start(checkpoint, strategy, **kwargs):
    """What training starts from, and its plan."""
    model = load_model(checkpoint, **{'class_names': NAMES, **kwargs})
    if strategy in ADAPTATIONS:
        params = model.variables['params']
        network, params = adapters.adapt(
            model.network,
            params,
            adapters.make_adaptation(strategy, SETTINGS, model.network, params),
            key=jax.random.key(0),
        )
        model = dataclasses.replace(model, network=network, variables={**model.variables, 'params': params})
    return model, make_plan(model.network, model.variables['params'], Transfer(strategy=strategy))


def train(model, plan):
    """What moves has moved, statistics too."""
    random = np.random.default_rng(5)
    trainable, frozen = plan.split(model.variables['params'])

    def moved(leaf):
        return jnp.asarray(leaf + np.abs(0.1 * random.standard_normal(leaf.shape)), jnp.float32)

    params = rules.unflatten({**rules.flatten(jax.tree.map(moved, trainable)), **rules.flatten(frozen)})
    variables = {kind: jax.tree.map(moved, tree) for kind, tree in model.variables.items() if kind != 'params'}
    return dataclasses.replace(model, variables={'params': params, **variables})


def logits(model):
    shape = (2, *model.preprocessing.shape, model.preprocessing.channels)
    images = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    return np.asarray(_apply(model.network, model.variables, images))


@functools.partial(jax.jit, static_argnums=0)
def _apply(network, variables, images):
    return network.apply(variables, images)['']


def assert_same(first, second):
    assert first.network == second.network
    assert (first.class_names, first.preprocessing) == (second.class_names, second.preprocessing)
    assert jax.tree.structure(first.variables) == jax.tree.structure(second.variables)
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


@pytest.mark.parametrize(('family', 'strategy'), CASES)
def test_the_file_on_its_base_is_the_trained_network_bit_for_bit(bases, tmp_path, family, strategy):
    base, plan = start(bases[family], strategy)
    model = train(base, plan)
    path = tmp_path / 'adapter.safetensors'
    save_adapter(path, model, base=base)
    for loaded in (load_model(path), load_adapter(path)):
        assert_same(loaded, model)
    np.testing.assert_array_equal(logits(loaded), logits(model))

    arrays, _ = read_safetensors(path)
    moving = {f'params/{path}' for group in plan.trainable_groups for path in group.paths}
    statistics = {name for name in rules.flatten(model.variables) if name.startswith('batch_stats/')}
    assert set(arrays) == moving | statistics
    assert bool(statistics) == (family == 'resnet')


def test_metadata_is_the_documented_one_and_equal_models_give_equal_bytes(bases, tmp_path):
    base, plan = start(bases['vit'], 'lora')
    model = train(base, plan)
    for name in ('a', 'b'):
        save_adapter(tmp_path / name, model, base=base, training={'seed': 3})
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()
    _, metadata = read_safetensors(tmp_path / 'a')
    assert set(metadata) == {
        *('format', 'architecture', 'num_classes', 'class_names', 'image_size', 'preprocessing'),
        *('adapters', 'base', 'training'),
    }
    assert metadata['format'] == 'jtransfer-adapter/1'
    assert json.loads(metadata['class_names']) == list(NAMES)
    assert json.loads(metadata['adapters']) == adapters.to_dict(model.adaptation)
    said = json.loads(metadata['base'])
    assert set(said) == {'checkpoint', 'beside', 'sha256', 'frozen_dtype'}
    assert (said['checkpoint'], len(said['sha256'])) == (bases['vit'], 64)


def test_the_wrong_base_is_refused_in_one_line(bases, tmp_path):
    base, plan = start(bases['resnet'], 'lora')
    path = tmp_path / 'adapter.safetensors'
    save_adapter(path, train(base, plan), base=base)
    other = write(tmp_path / 'other.safetensors', load_model(architecture='resnet_tiny', num_classes=4, seed=4))
    with pytest.raises(UserError, match=r'with sha256 .*, but the weights of .*other.* have ') as caught:
        load_adapter(path, base=other)
    said = json.loads(read_safetensors(path)[1]['base'])['sha256']
    assert said[:12] in str(caught.value)
    assert 'load_adapter(path, base=…)' in str(caught.value)
    assert '\n' not in str(caught.value)
    # One value of one tensor is enough.
    flat = rules.flatten(load_model(bases['resnet']).variables)
    flat['params/backbone/stem/conv/kernel'] = flat['params/backbone/stem/conv/kernel'].at[0, 0, 0, 0].add(1e-6)
    almost = dataclasses.replace(load_model(bases['resnet']), variables=rules.unflatten(flat))
    with pytest.raises(UserError, match='with sha256'):
        load_adapter(path, base=write(tmp_path / 'almost.safetensors', almost))
    with pytest.raises(UserError, match=r"cannot be its base: .* is of architecture 'vit_tiny_test'") as caught:
        load_model(path, base=bases['vit'])
    assert '\n' not in str(caught.value)


def test_the_base_may_be_in_another_format_and_under_other_names(bases, tmp_path):
    base, plan = start(bases['resnet'], 'ssf')
    model = train(base, plan)
    save_adapter(tmp_path / 'adapter.safetensors', model, base=base)
    export_model(load_model(bases['resnet']), tmp_path / 'timm.safetensors', 'timm')
    assert_same(load_adapter(tmp_path / 'adapter.safetensors', base=tmp_path / 'timm.safetensors'), model)


def test_the_base_is_found_from_anywhere_and_moves_with_the_adapter(bases, tmp_path, monkeypatch):
    folder = tmp_path / 'here'
    (folder / 'run').mkdir(parents=True)
    shutil.copy(bases['resnet'], folder / 'base.safetensors')
    monkeypatch.chdir(folder)
    base, plan = start('base.safetensors', 'linear_probe')
    model = train(base, plan)
    save_adapter('run/adapter.safetensors', model, base=base)
    monkeypatch.chdir(tmp_path)
    assert_same(load_adapter('here/run/adapter.safetensors'), model)
    folder.rename(tmp_path / 'there')
    assert_same(load_adapter('there/run/adapter.safetensors'), model)
    (tmp_path / 'there/base.safetensors').unlink()
    with pytest.raises(
        UserError, match=r'cannot be its base: .*no such file.*; load_adapter\(path, base=…\)'
    ) as caught:
        load_model('there/run/adapter.safetensors')
    assert '\n' not in str(caught.value)


def test_frozen_kernels_that_were_kept_in_bfloat16_come_back_so(bases, tmp_path):
    base, plan = start(bases['resnet'], 'bitfit')
    model = train(base, plan)
    trainable, frozen = plan.split(model.variables['params'])
    kept = {
        path: leaf.astype(jnp.bfloat16).astype(jnp.float32) if path.endswith('/kernel') else leaf
        for path, leaf in rules.flatten(frozen).items()
    }
    params = rules.unflatten({**rules.flatten(trainable), **kept})
    model = dataclasses.replace(model, variables={**model.variables, 'params': params})
    path = tmp_path / 'adapter.safetensors'
    save_adapter(path, model, base=base, frozen_dtype='bfloat16')
    assert_same(load_adapter(path), model)
    arrays, _ = read_safetensors(path)
    assert not any(name.endswith('conv1/kernel') for name in arrays)
    # Not told so, the file is larger and gives the same.
    save_adapter(path, model, base=base)
    assert_same(load_adapter(path), model)
    assert any(name.endswith('conv1/kernel') for name in read_safetensors(path)[0])


def test_what_was_fitted_to_another_size_and_other_channels_is_in_the_file(bases, tmp_path):
    base, plan = start(bases['vit'], 'adapter', image_size=(32, 16), input_channels=1)
    assert len(base.load_report.resized) == 2
    model = train(base, plan)
    path = tmp_path / 'adapter.safetensors'
    save_adapter(path, model, base=base)
    assert set(base.load_report.resized) < set(read_safetensors(path)[0])
    assert_same(load_adapter(path), model)
    # And it is a checkpoint like any other: other classes, another size.
    other = load_model(path, class_names=('x', 'y'), image_size=16)
    assert logits(other).shape == (2, 2)
    assert other.adaptation == model.adaptation
    np.testing.assert_array_equal(
        rules.flatten(other.variables['params']['adapters'])['backbone/block0/mlp/down/kernel'],
        rules.flatten(model.variables['params']['adapters'])['backbone/block0/mlp/down/kernel'],
    )


def test_an_adapted_network_may_be_a_base(bases, tmp_path):
    first = train(*start(bases['vit'], 'prompt'))
    second = load_model(write(tmp_path / 'first.safetensors', first))
    plan = make_plan(second.network, second.variables['params'], Transfer(strategy='linear_probe'))
    model = train(second, plan)
    save_adapter(tmp_path / 'adapter.safetensors', model, base=second)
    assert_same(load_adapter(tmp_path / 'adapter.safetensors'), model)


SEQUENTIAL = {'transfer.strategy': 'adapter', 'adapters.adapter_kind': 'sequential', 'adapters.adapter_dim': 2}


@pytest.mark.parametrize(
    ('family', 'settings'),
    [
        ('vit', {'transfer.strategy': 'lora', 'transfer.frozen_dtype': 'bfloat16', 'data.validation_fraction': 0.2}),
        *slow(
            (
                'resnet',
                {'transfer.strategy': 'adapter', 'adapters.adapter_kind': 'sequential', 'adapters.adapter_dim': 2},
            )
        ),
        ('resnet', {'transfer.strategy': 'bitfit', 'transfer.batch_norm': 'train', 'optim.ema_decay': 0.5}),
    ],
)
@pytest.mark.usefixtures('compile_once')
def test_a_run_leaves_a_whole_model_and_an_adapter_that_are_the_same(
    bases, tiny_config, tmp_path, monkeypatch, family, settings
):
    shutil.copy(bases[family], tmp_path / 'base.safetensors')
    monkeypatch.chdir(tmp_path)
    known = {'model.checkpoint': 'base.safetensors', 'model.head_init': 'zeros', 'run_dir': 'run', 'train.steps': 3}
    config = tiny_config(**{**known, **settings})
    result = finetune.run(config)
    assert 'adapter.safetensors' in dict(result.directory.listing())
    adapter = load_adapter('run/adapter.safetensors')
    assert_same(adapter, result.model)
    whole = load_model('run')
    if settings['transfer.strategy'] == 'lora':
        assert whole.adaptation is None
        np.testing.assert_allclose(logits(whole), logits(adapter), atol=1e-5)
    else:
        assert_same(whole, result.model)
    small, large = (pathlib.Path('run', name).stat().st_size for name in ('adapter.safetensors', 'model.safetensors'))
    assert small < large
    assert json.loads(read_safetensors('run/adapter.safetensors')[1]['training'])['checkpoint'] == 'base.safetensors'
    metrics, part = evaluate_checkpoint('run', 'evaluated')
    assert (part, metrics.top1) == ('test', result.metrics.top1)
    assert metrics.loss == pytest.approx(result.metrics.loss, abs=1e-5)


def test_a_run_that_trains_most_of_the_network_leaves_no_adapter(bases, tiny_config, tmp_path):
    config = tiny_config(
        **{'model.checkpoint': bases['resnet'], 'run_dir': str(tmp_path / 'run'), 'transfer.strategy': 'fine_tune'}
    )
    assert 'adapter.safetensors' not in dict(finetune.run(config).directory.listing())


def test_a_file_that_is_not_whole_is_refused(bases, tmp_path):
    base, plan = start(bases['resnet'], 'adapter')
    path = tmp_path / 'adapter.safetensors'
    save_adapter(path, train(base, plan), base=base)
    whole, metadata = read_safetensors(path)
    whole = {name: np.array(value) for name, value in whole.items()}
    for lacking, message in (
        ('batch_stats/backbone/stem/bn/mean', 'statistics included; there is no batch_stats/backbone/stem/bn/mean'),
        ('params/head/bias', "there is no tensor 'params/head/bias'"),
        (next(name for name in whole if name.startswith('params/adapters/')), r'missing \(1\): params/adapters/'),
    ):
        write_safetensors(path, {name: value for name, value in whole.items() if name != lacking}, metadata)
        with pytest.raises(UserError, match=message):
            load_adapter(path)
    write_safetensors(path, whole, {key: value for key, value in metadata.items() if key != 'adapters'})
    with pytest.raises(UserError, match='nothing says what they add'):
        load_adapter(path)
    write_safetensors(path, whole, {**metadata, 'base': '{"checkpoint": "x"}'})
    with pytest.raises(UserError, match="'base' must have beside, checkpoint, frozen_dtype, sha256"):
        load_adapter(path)
    own = {'checkpoint': str(path), 'beside': path.name, 'sha256': '0' * 64, 'frozen_dtype': 'float32'}
    write_safetensors(path, whole, {**metadata, 'base': json.dumps(own)})
    with pytest.raises(UserError, match='whose base in the end is this one again'):
        load_adapter(path)


def test_bases_that_cannot_be(bases, tmp_path):
    random = load_model(architecture='resnet_tiny', class_names=NAMES)
    path = tmp_path / 'adapter.safetensors'
    with pytest.raises(UserError, match='this one has random weights'):
        save_adapter(path, random, base=random)
    with pytest.raises(UserError, match='the base, vit_tiny_test, is not of the network that was trained, resnet_tiny'):
        save_adapter(path, random, base=load_model(bases['vit'], class_names=NAMES))
    with pytest.raises(UserError, match='is no adapter file'):
        load_adapter(bases['resnet'])
    with pytest.raises(UserError, match='is no adapter file'):
        load_adapter(tmp_path / 'absent.safetensors')
    with pytest.raises(UserError, match='is no adapter file, so that it has no base'):
        load_model(bases['resnet'], base=bases['vit'])
    with pytest.raises(UserError, match='no checkpoint is named'):
        load_model(architecture='resnet_tiny', num_classes=2, base=bases['vit'])
    assert not path.exists()
