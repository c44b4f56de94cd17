"""Two experiments side by side: the tests by hand, and what cannot be compared in one line."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from jtransfer.config import Config, Optim, Search, Transfer
from jtransfer.data.split.fold_file import fold_record
from jtransfer.data.split.folds import make_folds
from jtransfer.errors import UserError
from jtransfer.experiments.crossval.compare import compare, describe, write
from jtransfer.experiments.run.directory import read_result, write_config, write_json
from jtransfer.experiments.run.outputs import OUTPUTS, Outputs, write_outputs

COUNT, CLASSES = 40, ('a', 'b')
IDS = tuple(f'p{index}' for index in range(COUNT))
LABELS = (np.arange(COUNT) % 2).astype(np.int32)
FIRST, SECOND = (0.7, 0.75, 0.65, 0.8, 0.7), (0.8, 0.8, 0.7, 0.8, 0.85)


def said(right, labels=LABELS):
    """Logits that are right where they are to be."""
    predicted = np.where(right, labels, 1 - labels)
    return np.eye(2, dtype=np.float32)[predicted]


def rights(seed, share=0.7):
    return np.random.default_rng(seed).random(COUNT) < share


def single(folder, right, *, ids=IDS, labels=LABELS, score_name='accuracy', outputs=None):
    """A finished run."""
    write_json(folder / 'result.json', {'score': float(np.mean(right)), 'score_name': score_name, 'part': 'test'})
    logits = said(right, labels) if outputs is None else outputs
    write_outputs(folder / 'evaluation' / OUTPUTS, Outputs(ids, {'': logits}, {'': labels}))
    return folder


def crossed(folder, scores, right, *, seed=0, ratio=0.25, repeats=1, **options):
    """A finished cross-validation."""
    folds = make_folds(LABELS, splitter='stratified', folds=5 // repeats, repeats=repeats, seed=seed)
    single(folder, right, **options)
    write_json(folder / 'folds.json', fold_record(folds, IDS, splitter='stratified', seed=seed, class_names=CLASSES))
    record = {'score': float(np.mean(scores)), 'score_name': 'accuracy', 'fold_scores': list(scores)}
    write_json(folder / 'result.json', {**record, 'test_train_ratio': ratio})
    return folder


def shown(outcome):
    console = Console(file=io.StringIO(), width=200)
    console.print(describe(outcome))
    return console.file.getvalue()


def test_folds_are_compared_by_the_corrected_t_test(tmp_path):
    first = crossed(tmp_path / 'a', FIRST, rights(0))
    second = crossed(tmp_path / 'b', SECOND, rights(1))
    outcome = compare(first, second, confidence=0.9)
    differences = np.subtract(SECOND, FIRST)
    error = np.sqrt((1 / 5 + 0.25) * differences.var(ddof=1))
    assert outcome.difference == pytest.approx(differences.mean())
    assert outcome.t_test.t == pytest.approx(differences.mean() / error)
    assert outcome.t_test.p == pytest.approx(2 * stats.t.sf(differences.mean() / error, 4))
    reach = stats.t.ppf(0.95, 4) * error
    assert (outcome.t_test.low, outcome.t_test.high) == (
        pytest.approx(differences.mean() - reach),
        pytest.approx(differences.mean() + reach),
    )
    assert (outcome.folds, outcome.examples, outcome.bootstrap) == (5, 40, None)
    text = shown(outcome)
    assert 'corrected resampled t-test over 5 folds: +0.0700 (90% interval' in text
    assert '4 degrees of freedom' in text


def test_the_larger_correction_counts(tmp_path):
    first = crossed(tmp_path / 'a', FIRST, rights(0), ratio=0.25)
    second = crossed(tmp_path / 'b', SECOND, rights(1), ratio=0.5)
    there, back = compare(first, second), compare(second, first)
    assert there.t_test.p == back.t_test.p
    error = np.sqrt((1 / 5 + 0.5) * np.subtract(SECOND, FIRST).var(ddof=1))
    assert there.t_test.standard_error == pytest.approx(error)


def test_single_runs_are_compared_image_by_image(tmp_path):
    right = rights(0), rights(1, 0.9)
    first = single(tmp_path / 'a', right[0])
    # In another order: images are found by their names.
    order = np.random.default_rng(5).permutation(COUNT)
    ids = tuple(IDS[index] for index in order)
    second = single(tmp_path / 'b', right[1][order], ids=ids, labels=LABELS[order])
    outcome = compare(first, second)
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert (outcome.mcnemar.only_a, outcome.mcnemar.only_b) == only
    assert outcome.mcnemar.p == pytest.approx(stats.binomtest(only[0], sum(only), 0.5).pvalue)
    difference = right[1].mean() - right[0].mean()
    assert outcome.bootstrap.mean == pytest.approx(difference) == pytest.approx(outcome.difference)
    assert outcome.bootstrap.low < difference < outcome.bootstrap.high
    assert (outcome.t_test, outcome.folds) == (None, 0)
    text = shown(outcome)
    assert 'paired bootstrap over 40 images' in text
    assert f'{only[0]} are right in the first alone and {only[1]} in the second alone' in text


def test_runs_of_numbers_are_told_by_their_scores_alone(tmp_path):
    numbers = np.linspace(0, 1, COUNT, dtype=np.float32)[:, None]
    folders = [
        single(tmp_path / name, rights(0), labels=numbers, outputs=numbers, score_name='R²') for name in ('a', 'b')
    ]
    outcome = compare(*folders)
    assert (outcome.mcnemar, outcome.bootstrap, outcome.t_test) == (None, None, None)
    assert 'difference' in shown(outcome)


def test_what_each_side_was_given_is_said(tmp_path):
    folders = [single(tmp_path / name, rights(0)) for name in ('a', 'b')]
    for folder, strategy, rate, note in zip(folders, ('scratch', 'fine_tune'), (0.01, 0.003), (['x'], []), strict=True):
        write_config(folder, Config(transfer=Transfer(strategy), optim=Optim(learning_rate=rate)))
        given = {'steps': 1500, 'trainable_parameters': 1, 'parameters': 2, 'set_aside': note}
        write_json(folder / 'result.json', {**read_result(folder), **given})
    outcome = compare(*folders)
    assert [given['learning rate'] for given in outcome.given] == ['0.01', '0.003']
    text = shown(outcome)
    assert all(word in text for word in ('learning rate', 'scratch', '0.003', 'both: trains 50.0%, steps 1,500'))
    assert f'{folders[0]}: x' in text
    assert f'{folders[1]}: ' not in text
    write(tmp_path / 'c.json', outcome)
    assert json.loads((tmp_path / 'c.json').read_text())['given'][1]['strategy'] == 'fine_tune'


def test_what_every_fold_found_for_itself_is_said(tmp_path):
    folders = [crossed(tmp_path / name, FIRST, rights(0)) for name in ('a', 'b')]
    search = Search(space=('optim.learning_rate=choice(0.01, 0.03)',))
    for folder, rates in zip(folders, ((0.03, 0.01, 0.03), (0.01, 0.01, 0.01)), strict=True):
        write_config(folder, Config(search=search, optim=Optim(learning_rate=0.003)))
        for number, rate in enumerate(rates):
            write_config(folder / f'fold-{number}', Config(optim=Optim(learning_rate=rate)))
    assert [given['learning rate'] for given in compare(*folders).given] == ['0.03 (2) | 0.01 (1)', '0.01']


def test_folds_of_several_repeats_are_found_by_their_names(tmp_path):
    folder = crossed(tmp_path / 'a', FIRST[:4], rights(0), repeats=2)
    search = Search(space=('optim.learning_rate=choice(0.01, 0.03)',))
    write_config(folder, Config(search=search, optim=Optim(learning_rate=0.003)))
    for name, rate in (('repeat-0-fold-0', 0.01), ('repeat-1-fold-1', 0.03), ('fold-0', 0.5)):
        write_config(folder / name, Config(optim=Optim(learning_rate=rate)))
    assert compare(folder, folder).given[0]['learning rate'] == '0.01 (1) | 0.03 (1)'


def test_images_without_a_label_do_not_count(tmp_path):
    labels = np.where(np.arange(COUNT) < 10, -1, LABELS).astype(np.int32)
    right = rights(0), rights(1)
    folders = [
        single(tmp_path / name, own, labels=labels, outputs=said(own)) for name, own in zip('ab', right, strict=True)
    ]
    outcome = compare(*folders)
    assert outcome.mcnemar.only_a == int((right[0] & ~right[1])[10:].sum())


def test_the_numbers_are_written_as_json(tmp_path):
    def refuse(word):
        raise AssertionError(word)

    first = crossed(tmp_path / 'a', FIRST, rights(0))
    for name, scores in (('b', SECOND), ('c', tuple(np.add(FIRST, 0.125)))):
        outcome = compare(first, crossed(tmp_path / name, scores, rights(1)))
        write(tmp_path / f'{name}.json', outcome)
        record = json.loads((tmp_path / f'{name}.json').read_text(), parse_constant=refuse)
        assert record['difference'] == outcome.difference
        assert record['t_test']['p'] == outcome.t_test.p
        assert record['names'] == [str(first), str(tmp_path / name)]
    assert compare(first, first).t_test.p == 1


def spoil(folder, name):
    (folder / name).unlink()
    return folder


@pytest.mark.parametrize(
    ('second', 'message'),
    [
        (
            lambda path: crossed(path, SECOND, rights(1), seed=1),
            r'different folds; run the second with .*crossval\.file',
        ),
        (lambda path: single(path, rights(1)), 'is a cross-validation and .* a single run: compare like with like'),
        (lambda path: crossed(path, SECOND, rights(1), labels=1 - LABELS), 'differ in the labels of their images'),
        (lambda path: spoil(crossed(path, SECOND, rights(1)), 'result.json'), 'holds no finished run'),
        (lambda path: spoil(crossed(path, SECOND, rights(1)), 'evaluation/outputs.npz'), 'is not there: it holds'),
        (lambda path: path, 'holds no finished run'),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path, second, message):
    first, other = crossed(tmp_path / 'a', FIRST, rights(0)), second(tmp_path / 'b')
    with pytest.raises(UserError, match=message) as caught:
        compare(first, other)
    assert '\n' not in str(caught.value)
    with pytest.raises(UserError) as caught:
        compare(other, first)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('second', 'message'),
    [
        ({'score_name': 'R²'}, 'is measured by accuracy and .* by R²'),
        ({'ids': tuple(f'q{index}' for index in range(COUNT))}, r'has no prediction for p0 \(40 such\)'),
        ({'labels': 1 - LABELS}, 'differ in the labels'),
    ],
)
def test_runs_on_other_images_are_one_line(tmp_path, second, message):
    with pytest.raises(UserError, match=message) as caught:
        compare(single(tmp_path / 'a', rights(0)), single(tmp_path / 'b', rights(0), **second))
    assert '\n' not in str(caught.value)


def test_one_of_more_images_is_one_line(tmp_path):
    first = single(tmp_path / 'a', rights(0)[:30], ids=IDS[:30], labels=LABELS[:30])
    second = single(tmp_path / 'b', rights(0))
    with pytest.raises(UserError, match='a has no prediction for p30, unlike'):
        compare(first, second)
    with pytest.raises(UserError, match=r'a has no prediction for p30 \(10 such\), unlike'):
        compare(second, first)


def test_what_was_never_tested_is_one_line(tmp_path):
    first = single(tmp_path / 'a', rights(0))
    write_json(tmp_path / 'b' / 'result.json', {'members': ['fold-0']})
    with pytest.raises(UserError, match='b was not tested: it has no score to compare'):
        compare(first, tmp_path / 'b')
