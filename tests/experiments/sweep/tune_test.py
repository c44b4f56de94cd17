"""Values chosen for each side of a sweep: by validation alone, with what failed as the worst."""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.records import RunRecord
from jtransfer.experiments.sweep import sweep
from jtransfer.experiments.sweep.plot import plot
from jtransfer.experiments.sweep.summary import summarise, write_tables
from jtransfer.experiments.sweep.table import print_table
from jtransfer.experiments.sweep.tune import choose, validation_of

OVER = {'transfer.strategy': ['scratch', 'fine_tune'], 'seed': ['0', '1']}
TUNE = {'optim.learning_rate': ['0.001', '0.003', '0.01', '0.03']}
# By strategy and learning rate: validation score, its loss, test score. What is best on the test part is never the
# best on validation, nor the first of what is equal there.
FOUND = {
    ('scratch', 0.001): (0.5, 1.0, 0.99),
    ('scratch', 0.003): (0.7, 1.0, 0.9),
    ('scratch', 0.01): (0.8, 0.5, 0.6),
    ('scratch', 0.03): (0.8, 0.4, 0.7),
    ('fine_tune', 0.001): (0.9, 0.5, 0.8),
    ('fine_tune', 0.003): (0.9, 0.5, 0.85),
    ('fine_tune', 0.01): (0.9, 0.6, 0.95),
    ('fine_tune', 0.03): None,
}


@pytest.fixture
def runs(monkeypatch):
    """Runs that take no time; which were started."""
    started = []

    def run(config, **others):
        assert set(others) == {'title', 'say'}
        started.append(config)
        found = FOUND[config.transfer.strategy, config.optim.learning_rate]
        directory = finetune.RunDirectory.find(config)
        directory.create(config)
        if found is None and config.seed:
            raise TrainingDivergedError('the loss stopped being finite at step 2')
        score, loss, test = found or (1.0, 0.0, 1.0)
        shift = (0.02 if config.transfer.strategy == 'scratch' else 0.01) * config.seed
        directory.finish(
            {
                **{'part': 'test', 'score_name': 'accuracy', 'score': test + shift, 'accuracy': test + shift},
                **{'loss': 1.0, 'seconds': 1.5, 'best_validation_accuracy': score, 'best_validation_loss': loss},
                **{'steps': 4, 'backbone_learning_rate_scales': [1.0, 1.0], 'train_examples': 9, 'set_aside': []},
                **{'parameters': 10, 'trainable_parameters': 10},
            }
        )

    monkeypatch.setattr(finetune, 'run', run)
    return started


@pytest.fixture
def config(tiny_config):
    return tiny_config(**{'data.validation_fraction': 0.3})


def tuned(config, say=lambda line: None):
    folder, records = sweep.run(config, OVER, 'out', tune=TUNE, say=say)
    rows = summarise(records, list(OVER), tune=list(TUNE))
    return folder, records, rows


def test_each_side_has_the_values_that_are_best_on_validation(config, nowhere, runs):
    _, records, rows = tuned(config)
    assert len(runs) == len(records) == 16
    # Of scratch the lower loss of two equal scores; of fine-tuning the later of two that are equal in both.
    assert [row.tuned['optim.learning_rate'] for row in rows] == ['0.03', '0.003']
    assert [row.at_end for row in rows] == [('optim.learning_rate',), ()]
    assert [row.values['test accuracy'] for row in rows] == [(0.7, 0.72), (0.85, 0.86)]
    assert (rows[1].gain, rows[1].failed) == (pytest.approx(0.145), 0)
    low, high = rows[1].interval
    assert (low, high) == (
        pytest.approx(0.145 - 12.7062 * 0.005, abs=1e-5),
        pytest.approx(0.145 + 12.7062 * 0.005, abs=1e-5),
    )
    # Nothing is run again, and nothing is chosen otherwise; what failed is tried again.
    runs.clear()
    assert tuned(config)[2] == rows
    assert {(own.optim.learning_rate, own.seed) for own in runs} == {(0.03, 1)}


def test_test_results_of_what_was_not_chosen_are_shown_nowhere(config, nowhere, runs):
    said = []
    folder, records, rows = tuned(config, said.append)
    assert all('validation accuracy' in line for line in said[:14])
    assert not any('test' in line for line in said)
    assert said[-1] == (
        'strategy=fine_tune: learning_rate=0.03 counts as the worst, for 1 of 2 runs failed: '
        'the loss stopped being finite at step 2'
    )
    assert {bool(record['metrics']) for record in records if not record['chosen']} == {False}
    write_tables(folder, records, rows)
    plot(folder / 'summary.png', rows)
    with open(folder / 'runs.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert len(table) == 16
    chosen = [row for row in table if row['chosen'] == '1']
    assert [row['optim.learning_rate'] for row in chosen] == ['0.03', '0.03', '0.003', '0.003']
    assert {row['test accuracy'] for row in table if row['chosen'] == '0'} == {''}
    assert table[0]['validation accuracy'] == '0.5'
    with open(folder / 'summary.csv', newline='') as file:
        scratch, ours = csv.DictReader(file)
    assert (scratch['optim.learning_rate'], scratch['at the end of the range']) == ('0.03', 'optim.learning_rate')
    assert (ours['optim.learning_rate'], ours['at the end of the range']) == ('0.003', '')
    assert ours['optim.learning_rate of'] == '0.001, 0.003, 0.01, 0.03'
    assert float(ours['gain low']) < float(ours['gain over scratch']) < float(ours['gain high'])
    console = Console(file=io.StringIO(), width=120)
    print_table(rows, console=console)
    text = console.file.getvalue()
    assert '0.03 †' in text
    assert '†: at the end of the range: a value beyond it may do better' in text
    assert '0.003 †' not in text
    assert 'optim.learning_rate: of 0.001, 0.003, 0.01, 0.03, chosen for each row' in text


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'data.validation_fraction': 0.0}, r'^tune chooses on the validation part: set data\.validation_fraction'),
        (
            {'data.validation_fraction': 0.3, 'data.test_fraction': 0.0},
            r'^tune reports what is chosen on the test part: set data\.test_fraction',
        ),
    ],
)
def test_without_a_part_to_choose_or_to_report_by_nothing_starts(tiny_config, nowhere, runs, settings, message):
    with pytest.raises(UserError, match=message):
        sweep.run(tiny_config(**settings), OVER, 'out', tune=TUNE)
    assert not runs
    assert not (nowhere / 'out').exists()


def test_finished_runs_without_a_validation_are_no_choice_either(config, nowhere, runs):
    tuned(config)
    path = nowhere / 'out' / 'transfer.strategy=scratch,seed=0,optim.learning_rate=0.001' / 'result.json'
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, 'best_validation_accuracy': None}))
    with pytest.raises(UserError, match=r'^tune chooses on the validation part'):
        tuned(config)


@pytest.mark.parametrize(
    ('tune', 'message'),
    [
        ({'seed': ['5', '6']}, 'tune=seed would choose a lucky draw'),
        ({'transfer.strategy': ['lora', 'ssf']}, 'transfer.strategy is in over and in tune'),
        ({'optim.learning_rate': ['1e-2', '0.01']}, r'^tune=optim\.learning_rate=… has the value 0\.01 twice'),
        ({'optim.lr': ['1']}, "Did you mean 'optim.learning_rate'"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(config, nowhere, runs, tune, message):
    with pytest.raises(UserError, match=message):
        sweep.run(config, OVER, 'out', tune=tune)
    assert not runs


def test_flags_of_both_kinds_name_themselves():
    assert sweep.parse_fields([], '--tune') == {}
    with pytest.raises(UserError, match=r'--tune=train\.resume would not make another run'):
        sweep.parse_fields(['train.resume=auto'], '--tune')
    with pytest.raises(UserError, match='--tune=a is not of the form --tune=FIELD=VALUE,VALUE'):
        sweep.parse_fields(['a'], '--tune')


def record(rate, score=None, loss=0.5, seed=0, decay=0.1):
    fields = {'seed': seed, 'optim.learning_rate': rate, 'optim.weight_decay': decay}
    validation = {} if score is None else {'validation R²': score, 'validation loss': loss}
    error = 'diverged' if score is None else None
    return {
        **{'fields': fields, 'metrics': {'test R²': 0.0}, 'seconds': 1.0, 'run_dir': '', 'error': error},
        'validation': validation,
    }


TWO = ['optim.learning_rate', 'optim.weight_decay']


@pytest.mark.parametrize(
    ('records', 'rate', 'decay'),
    [
        ([record(1.0, -5.0), record(2.0, -4.0), record(3.0, -4.5)], 2.0, 0.1),
        ([record(1.0, 0.5), record(1.0, 0.6, decay=0.2), record(2.0, 0.55)], 1.0, 0.2),
        ([record(1.0, 0.5, math.nan), record(2.0, 0.5, 9.0)], 2.0, 0.1),
        ([record(1.0), record(2.0, -math.inf)], 2.0, 0.1),
        ([record(1.0, 0.9), record(1.0, seed=1), record(2.0, 0.1), record(2.0, 0.1, seed=1)], 2.0, 0.1),
        ([record(1.0, 0.0), record(1.0, 1.0, seed=1), record(2.0, 0.6), record(2.0, 0.6, seed=1)], 2.0, 0.1),
        ([record(1.0), record(2.0)], 2.0, 0.1),
    ],
)
def test_the_mean_over_the_seeds_decides(records, rate, decay):
    marked = choose(records, ['seed'], TWO)
    (chosen,) = {tuple(own['fields'][name] for name in TWO) for own in marked if own['chosen']}
    assert chosen == (rate, decay)


def test_scores_of_every_task_are_found():
    assert validation_of(RunRecord({'best_validation_accuracy': 0.5, 'best_validation_loss': 2.0})) == {
        'validation accuracy': 0.5,
        'validation loss': 2.0,
    }
    earlier = RunRecord({'best_validation_score': -1.0, 'score_name': 'R²'})
    assert [*validation_of(earlier)] == ['validation R²', 'validation loss']
    assert validation_of(RunRecord({'best_validation_score': None, 'score_name': 'R²'})) is None
    assert validation_of(RunRecord({})) is None
