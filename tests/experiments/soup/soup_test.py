"""Soups of small runs from end to end; runs that do not belong together."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from jtransfer import rules
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.folder import load_folder
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_config, read_result
from jtransfer.experiments.run.score import score
from jtransfer.experiments.soup import average, soup
from jtransfer.pretrained.checkpoint import open_model
from jtransfer.pretrained.files.safetensors import read_safetensors, write_safetensors
from jtransfer.pretrained.model import load_model
from tests.experiments.trees import assert_identical, differing

pytestmark = pytest.mark.usefixtures('compile_once')
MODULES = (
    *(f'backbone/stage{stage}/block0/bn{number}' for stage in (1, 2) for number in (1, 2)),
    *('backbone/stage2/block0/downsample/bn', 'backbone/stem/bn'),
)


SETTINGS = {
    'transfer.strategy': 'fine_tune',
    'data.validation_fraction': 0.2,
    'data.split_seed': 0,
    'train.steps': 4,
}


@pytest.fixture(scope='module')
def runs(tiny_config, tmp_path_factory, compile_once):
    """Three runs of other seeds on the same parts."""
    folder = tmp_path_factory.mktemp('members')
    for seed in range(3):
        finetune.run(tiny_config(**SETTINGS, seed=seed, run_dir=str(folder / f'seed{seed}')))
    return [str(folder / f'seed{seed}') for seed in range(3)]


def variables_of(path):
    return open_model(pathlib.Path(path) / 'model.safetensors').variables


def training_of(path):
    return open_model(pathlib.Path(path) / 'model.safetensors').training


def by_hand(run, part, variables):
    """The metrics of variables on a part of a run's data."""
    config = read_config(run)
    parts = load_parts(config.data, config.seed)
    model = load_model(run)
    examples = read_examples(getattr(parts, part), model.preprocessing, config)
    return score(model, examples, config, variables=variables).metrics


def test_a_uniform_soup_from_end_to_end(runs, nowhere):
    made = soup.make_soup(runs, 'out', recipe='uniform')
    saved = json.loads((nowhere / 'out' / 'soup.json').read_text())
    assert saved == made.record
    assert sorted(path.name for path in (nowhere / 'out').iterdir()) == ['model.safetensors', 'soup.json']
    ours, members = rules.flatten(variables_of('out')), [rules.flatten(variables_of(run)) for run in runs]
    for path, leaf in ours.items():
        mean = np.mean([member[path].astype(np.float64) for member in members], axis=0)
        if path.startswith('params'):
            np.testing.assert_allclose(leaf, mean, rtol=1e-5, atol=1e-6, err_msg=path)
        else:
            assert not np.allclose(leaf, mean, rtol=1e-3), path

    assert [entry['run'] for entry in saved['members']] == runs
    assert all(entry['used'] for entry in saved['members'])
    for entry, run in zip(saved['members'], runs, strict=True):
        assert entry['test_score'] == entry['test_accuracy'] == read_result(run)['score']
        assert entry['validation_score'] == read_result(run)['validation']['score']
        assert len(entry['sha256']) == 64
    assert saved['recalibrated_on'] == read_result(runs[0])['train_examples'] == 13
    # Read back as any checkpoint, it is what the record says.
    model = load_model('out')
    assert model.class_names == ('ant', 'bee', 'cat')
    for part in ('validation', 'test'):
        metrics = by_hand(runs[0], part, model.variables)
        assert (saved[part]['score'], saved[part]['examples']) == (metrics.top1, metrics.examples)
        assert saved[part]['score_interval'] == list(metrics.top1_interval)
        assert saved[part]['loss'] == metrics.loss
    training = training_of('out')
    assert training['recipe'] == 'uniform'
    assert training['members'] == [{'run': e['run'], 'sha256': e['sha256']} for e in saved['members']]
    assert training['test'] == saved['test']


def test_statistics_are_averaged_where_that_is_asked_for(runs, nowhere):
    made = soup.make_soup(runs, 'out', recipe='uniform', recalibrate=False)
    assert made.record['recalibrated_on'] == 0
    members = [rules.flatten(variables_of(run)) for run in runs]
    for path, leaf in rules.flatten(variables_of('out')).items():
        np.testing.assert_allclose(
            leaf, np.mean([m[path].astype(np.float64) for m in members], axis=0), rtol=1e-5, atol=1e-6
        )
    other = soup.make_soup(runs, 'other', recipe='uniform')
    assert other.record['validation']['loss'] != made.record['validation']['loss']
    assert_identical(other.model.variables['params'], made.model.variables['params'])


def test_a_greedy_soup_does_not_get_worse_on_validation(runs, nowhere):
    made = soup.make_soup(runs, 'out')
    record = made.record
    own = {entry['run']: entry['validation_score'] for entry in record['members']}
    used = [entry['run'] for entry in record['members'] if entry['used']]
    assert max(own, key=own.get) in used
    assert record['validation']['score'] >= max(own.values())
    metrics = by_hand(runs[0], 'test', load_model('out').variables)
    assert record['test']['score'] == metrics.top1
    assert [member['run'] for member in training_of('out')['members']] == used


def test_a_greedy_soup_leaves_a_harmful_run_out_and_is_then_the_best_run_itself(runs, nowhere):
    """The other says one class alone, so loudly that it decides any average."""
    shutil.copytree(runs[0], 'good')
    shutil.copytree(runs[0], 'bad')
    path = pathlib.Path('bad/model.safetensors')
    arrays, metadata = read_safetensors(path)
    arrays = {name: np.array(value) for name, value in arrays.items()}
    validation = by_hand('good', 'validation', variables_of('good'))
    assert validation.top1 > 0
    worst = int(np.argmin([entry.examples for entry in validation.per_class]))
    head = arrays['params/head/bias']
    arrays['params/head/bias'] = np.where(np.arange(3) == worst, 1e4, head).astype(np.float32)
    write_safetensors(path, arrays, metadata)
    for order in (['good', 'bad'], ['bad', 'good']):
        made = soup.make_soup(order, 'out')
        own = {entry['run']: entry['validation_score'] for entry in made.record['members']}
        assert own['good'] > own['bad']
        assert [entry['run'] for entry in made.record['members'] if entry['used']] == ['good']
        assert made.record['recalibrated_on'] == 0
        assert_identical(variables_of('out'), variables_of('good'))
        shutil.rmtree('out')


@pytest.mark.parametrize('recipe', soup.RECIPES)
def test_the_test_part_is_looked_at_once_when_everything_is_chosen(runs, nowhere, monkeypatch, recipe):
    looked = []

    def watched(model, examples, *arguments, **named):
        looked.append(examples.ids)
        return score(model, examples, *arguments, **named)

    monkeypatch.setattr(average, 'score', watched)
    soup.make_soup(runs[:1] if recipe == 'wise' else runs, 'out', recipe=recipe, alpha=(0.3, 0.6))
    split = json.loads((pathlib.Path(runs[0]) / 'split.json').read_text())
    test, validation = (tuple(split[part]['ids']) for part in ('test', 'validation'))
    assert looked[-1] == test
    assert set(looked[:-1]) == {validation}


def test_statistics_that_no_member_moved_stay_while_the_others_are_taken_anew(runs, nowhere):
    members = ['one', 'two']
    stem = {name: np.array(value) for name, value in load_file(f'{runs[0]}/model.safetensors').items()}
    for member, run in zip(members, runs[:2], strict=True):
        shutil.copytree(run, member)
        arrays, metadata = read_safetensors(f'{run}/model.safetensors')
        still = {name: stem[name] for name in arrays if name.startswith('batch_stats/backbone/stem')}
        write_safetensors(f'{member}/model.safetensors', {**arrays, **still}, metadata)
    made = soup.make_soup(members, 'out', recipe='uniform')
    ours, averaged = variables_of('out'), soup.make_soup(members, 'plain', recipe='uniform', recalibrate=False)
    assert made.record['recalibrated_on'] == 13
    moved = differing(ours['batch_stats'], averaged.model.variables['batch_stats'], 'backbone')
    assert moved == {f'{module}/{leaf}' for module in MODULES for leaf in ('mean', 'var') if 'stem' not in module}
    assert_identical(ours['batch_stats'], variables_of('one')['batch_stats'], 'backbone/stem')


@pytest.fixture(scope='module')
def probes(tiny_config, tmp_path_factory, compile_once):
    """Two linear probes, whose backbone never moved, without a validation part."""
    folder = tmp_path_factory.mktemp('probes')
    for seed in range(2):
        settings = {'data.split_seed': 0, 'train.steps': 2, 'seed': seed, 'run_dir': str(folder / f'probe{seed}')}
        finetune.run(tiny_config(**settings))
    return [str(folder / f'probe{seed}') for seed in range(2)]


def test_what_never_moved_stays_bit_for_bit(probes, nowhere):
    made = soup.make_soup(probes, 'out', recipe='uniform')
    assert made.record['recalibrated_on'] == 0
    assert made.record['validation'] is None
    assert [entry['validation_score'] for entry in made.record['members']] == [None, None]
    assert made.record['test']['examples'] == 15
    ours, member = variables_of('out'), variables_of(probes[0])
    assert_identical(ours['batch_stats'], member['batch_stats'])
    assert_identical(ours['params']['backbone'], member['params']['backbone'])
    assert differing(ours['params'], member['params'], 'head')


def test_between_a_run_and_its_source(runs, checkpoints, nowhere):
    run = runs[1]
    source, tuned = open_model(checkpoints['resnet']).variables, variables_of(run)
    alphas = [0.0, 0.5, 1.0]
    made = soup.make_soup([run], 'out', recipe='wise', alpha=alphas)
    record = made.record
    assert [tried['alpha'] for tried in record['alphas']] == alphas
    scores = [tried['validation_score'] for tried in record['alphas']]
    equal = [tried for tried in record['alphas'] if tried['validation_score'] == max(scores)]
    assert record['alpha'] == min(equal, key=lambda tried: tried['validation_loss'])['alpha']
    assert record['validation']['score'] == max(scores)
    assert scores[2] == record['members'][0]['validation_score'] == read_result(run)['validation']['score']
    assert record['start']['checkpoint'] == checkpoints['resnet']
    assert training_of('out')['start'] == record['start']

    for alpha in alphas:
        soup.make_soup([run], f'alpha{alpha}', recipe='wise', alpha=alpha)
        ours = variables_of(f'alpha{alpha}')
        assert_identical(ours['params']['head'], tuned['params']['head'])
        for path, leaf in rules.flatten(ours['params']['backbone']).items():
            one, other = (rules.flatten(tree['params']['backbone'])[path] for tree in (source, tuned))
            np.testing.assert_allclose(leaf, (1 - alpha) * one + alpha * other, rtol=1e-5, atol=1e-6)
    # At the end it is the run itself; at the start its statistics are taken over these images.
    assert_identical(variables_of('alpha1.0'), tuned)
    assert_identical(variables_of('alpha0.0')['params']['backbone'], source['params']['backbone'])
    assert differing(variables_of('alpha0.0')['batch_stats'], source['batch_stats'], 'backbone')
    assert_identical(soup.make_soup([run], 'same', recipe='wise', alpha=1.0).model.variables, tuned)


def test_between_a_run_with_merged_adapters_and_its_source(tiny_config, checkpoints, nowhere):
    settings = {'transfer.strategy': 'lora', 'adapters.lora_rank': 2, 'train.steps': 2, 'run_dir': 'run'}
    finetune.run(tiny_config(**settings))
    soup.make_soup(['run'], 'out', recipe='wise', alpha=0.25)
    source, tuned = (open_model(path).variables for path in (checkpoints['resnet'], 'run/model.safetensors'))
    assert differing(source['params'], tuned['params'], 'backbone')
    ours = variables_of('out')
    assert ours['params'].keys() == {'backbone', 'head'}
    for path, leaf in rules.flatten(ours['params']['backbone']).items():
        one, other = (rules.flatten(tree['params']['backbone'])[path] for tree in (source, tuned))
        np.testing.assert_allclose(leaf, 0.75 * one + 0.25 * other, rtol=1e-5, atol=1e-6)


def test_images_in_memory_may_be_handed_over_again(runs, photos, nowhere):
    source = load_folder(str(photos), dict.fromkeys(('train', 'validation', 'test'), ''), 10**8)
    for run in runs[:2]:
        copy = pathlib.Path(shutil.copytree(run, pathlib.Path(run).name))
        config = json.loads((copy / 'config.json').read_text())
        config['data']['source'] = 'memory'
        (copy / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match='handed over in Python'):
        soup.make_soup(['seed0', 'seed1'], 'out', recipe='uniform')
    made = soup.make_soup(['seed0', 'seed1'], 'out', recipe='uniform', source=source)
    expected = soup.make_soup(runs[:2], 'expected', recipe='uniform')
    assert made.record['test'] == expected.record['test']


def rewrite(run, **metadata):
    path = pathlib.Path(run) / 'model.safetensors'
    arrays, old = read_safetensors(path)
    write_safetensors(path, {name: np.array(value) for name, value in arrays.items()}, {**old, **metadata})


def change_json(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def other_split(folder):
    change_json(folder / 'seed1' / 'split.json', lambda split: split['validation']['ids'].pop())


def other_images(folder):
    for run in ('seed0', 'seed1'):
        change_json(folder / run / 'split.json', lambda split: split['train']['ids'].pop())


def scratch(folder):
    change_json(folder / 'seed0' / 'config.json', lambda config: config['transfer'].update(strategy='scratch'))


def nothing(folder):
    del folder


TWO = ('seed0', 'seed1')
BAD = {
    'another recipe': (nothing, TWO, {'recipe': 'gredy'}, r"recipe='gredy' is not one of .* mean 'greedy'\?"),
    'one run': (nothing, ('seed0',), {}, 'recipe=greedy averages several runs: name two or more, not 1'),
    'no run': (nothing, (), {'recipe': 'uniform'}, 'recipe=uniform averages several runs: name two or more, not 0'),
    'the same run': (nothing, ('seed0', './seed0'), {}, 'the run seed0 is named twice'),
    'two for wise': (nothing, TWO, {'recipe': 'wise'}, 'recipe=wise is between one run and its source: .* not 2'),
    'no run directory': (nothing, ('seed0', 'nowhere'), {}, 'nowhere is not a run directory'),
    'unfinished': (lambda f: (f / 'seed1' / 'result.json').unlink(), TWO, {}, 'seed1 holds no finished run'),
    'adapters': (lambda f: rewrite('seed1', adapters='{}'), TWO, {}, 'seed1 keeps adapters beside its network'),
    'other classes': (
        lambda f: rewrite('seed1', class_names='["ant", "bee", "dog"]'),
        TWO,
        {},
        'seed1 and seed0 differ in their class names: ant, bee, dog and ant, bee, cat',
    ),
    'another architecture': (
        lambda f: rewrite('seed1', architecture='resnet18'),
        TWO,
        {},
        'seed1 and seed0 differ in their architecture: resnet18 and resnet_tiny',
    ),
    'another preprocessing': (
        lambda f: rewrite('seed1', preprocessing=json.dumps({'image_size': 16, 'crop_fraction': 0.5})),
        TWO,
        {},
        'seed1 and seed0 differ in their preprocessing',
    ),
    'other examples': (other_split, TWO, {}, 'seed1 and seed0 differ in their validation examples, .* data.split_seed'),
    'changed images': (other_images, TWO, {}, 'does not hold the images of the run seed0 any more'),
    'from scratch': (scratch, ('seed0',), {'recipe': 'wise'}, 'seed0 was trained from scratch: there is no source'),
    'beyond the ends': (nothing, ('seed0',), {'recipe': 'wise', 'alpha': 1.5}, r'alpha=1.5 must be between 0'),
    'no alpha': (nothing, ('seed0',), {'recipe': 'wise', 'alpha': ()}, 'recipe=wise needs an alpha'),
    'nothing to choose by': (
        nothing,
        ('probe0', 'probe1'),
        {},
        'recipe=greedy needs a validation part .* probe0 has none',
    ),
    'nothing to choose alpha by': (
        nothing,
        ('probe0',),
        {'recipe': 'wise', 'alpha': (0.1, 0.9)},
        'several values of alpha need a validation part to choose by, and probe0 has none',
    ),
    'an output in the way': (lambda f: (f / 'out').touch(), TWO, {}, 'output=out exists already; name a new folder'),
    'an output that is full': (nothing, TWO, {'output': 'seed0'}, 'output=seed0 exists already; name a new folder'),
}


@pytest.mark.parametrize('what', BAD)
def test_what_cannot_be_made_is_said_in_a_line_before_anything_is_written(runs, probes, nowhere, what):
    spoil, members, settings, message = BAD[what]
    for run in (*runs, *probes):
        shutil.copytree(run, pathlib.Path(run).name, ignore=shutil.ignore_patterns('checkpoints'))
    spoil(nowhere)
    before = sorted(str(path) for path in nowhere.rglob('*'))
    with pytest.raises(UserError, match=message) as caught:
        soup.make_soup(members, **{'output': 'out', **settings})
    assert '\n' not in str(caught.value)
    assert sorted(str(path) for path in nowhere.rglob('*')) == before


def test_an_empty_folder_will_do(probes, nowhere):
    (nowhere / 'out').mkdir()
    soup.make_soup(probes, 'out', recipe='uniform')
    assert load_file('out/model.safetensors').keys() == load_file(f'{probes[0]}/model.safetensors').keys()
