"""Sweep summaries: grouping, gains, files."""

import csv
import io
import statistics

import pytest
from rich.console import Console

from jtransfer.errors import UserError
from jtransfer.experiments.sweep.summary import best_row, label, short_names, summarise, write_tables
from jtransfer.experiments.sweep.table import print_table

ACCURACY = {
    ('scratch', 0): 0.70, ('scratch', 1): 0.74, ('linear_probe', 0): 0.80, ('linear_probe', 1): 0.82,
    ('fine_tune', 0): 0.91, ('fine_tune', 1): 0.93,
}  # fmt: skip
OVER = ['transfer.strategy', 'seed']


def record(fields, accuracy=None, error=None, seconds=2.0):
    metrics = {} if accuracy is None else {'test accuracy': accuracy, 'test loss': 1 - accuracy}
    run = {'seconds': seconds, 'run_dir': 'runs/x', 'unit': 'share'}
    return {'fields': fields, 'metrics': metrics, **run, 'error': error}


def records():
    return [record({'transfer.strategy': s, 'seed': seed}, value) for (s, seed), value in ACCURACY.items()]


def printed(rows, **kwargs):
    stream = io.StringIO()
    print_table(rows, console=Console(file=stream, width=80), **kwargs)
    return stream.getvalue()


def test_groups_over_seeds_and_gains_over_scratch():
    rows = summarise(records(), OVER)
    assert [label(row) for row in rows] == ['scratch', 'linear_probe', 'fine_tune']
    assert [row.mean() for row in rows] == pytest.approx([0.72, 0.81, 0.92])
    assert [row.deviation() for row in rows] == pytest.approx(
        [statistics.stdev([0.70, 0.74]), statistics.stdev([0.80, 0.82]), statistics.stdev([0.91, 0.93])]
    )
    assert rows[0].gain is None
    assert [row.gain for row in rows[1:]] == pytest.approx([0.09, 0.20])
    assert best_row(rows) is rows[2]


def test_gain_compares_the_same_setting_otherwise():
    cells = {('scratch', '10'): 0.5, ('fine_tune', '10'): 0.6, ('scratch', '20'): 0.55, ('fine_tune', '20'): 0.85}
    over = ['transfer.strategy', 'data.examples_per_class']
    rows = summarise([record(dict(zip(over, key, strict=True)), value) for key, value in cells.items()], over)
    assert [row.gain for row in rows] == [None, pytest.approx(0.1), None, pytest.approx(0.3)]
    assert label(rows[0]) == 'scratch · 10'
    assert rows[0].deviation() is None


def test_no_strategy_swept_has_no_gain_and_seed_alone_is_one_row():
    rows = summarise([record({'seed': i}, 0.8 + i / 100) for i in range(3)], ['seed'])
    assert len(rows) == 1
    assert label(rows[0]) == 'all runs'
    assert rows[0].gain is None
    assert rows[0].count() == 3
    assert 'gain' not in printed(rows)


def test_failed_runs_are_counted_and_left_out():
    runs = [*records(), record({'transfer.strategy': 'fine_tune', 'seed': 2}, error='diverged', seconds=99.0)]
    runs.append(record({'transfer.strategy': 'never', 'seed': 0}, error='a rule matches nothing'))
    rows = summarise(runs, OVER)
    assert (rows[2].failed, rows[2].count(), rows[2].seconds) == (1, 2, 2.0)
    assert (rows[3].failed, rows[3].mean(), rows[3].gain) == (1, None, None)
    assert best_row(rows) is rows[2]
    assert 'failed' in printed(rows)


def test_nothing_to_summarise_is_one_clear_line():
    with pytest.raises(UserError, match='no runs'):
        summarise([], OVER)
    with pytest.raises(UserError, match="'test top1'; they have: test accuracy, test loss"):
        summarise(records(), OVER, metric='test top1')


def test_table_marks_the_best_row_and_says_points():
    text = printed(summarise(records(), OVER))
    (best,) = (line for line in text.splitlines() if '★' in line)
    assert 'fine_tune' in best
    assert '92.0' in best
    assert '+20.0' in best
    assert 'percentage points over scratch' in text
    assert 'test accuracy, %' in text


def test_table_fits_a_narrow_terminal():
    fields = [{'transfer.strategy': s, 'data.examples_per_class': n, 'optim.learning_rate': 0.003} for s in
              ('scratch', 'linear_probe') for n in (10, 20)]  # fmt: skip
    text = printed(summarise([record(f, 0.5 + i / 10) for i, f in enumerate(fields)], list(fields[0])))
    (best,) = (line for line in text.splitlines() if '★' in line)
    assert '80.0' in best
    assert '+20.0' in best
    assert '…' not in text


def test_values_are_not_read_as_markup():
    rows = summarise([record({'name': value}, 0.5) for value in ('[bold]x', '[/]')], ['name'])
    assert '[bold]x' in printed(rows)


def test_csv_files_read_back(tmp_path):
    runs = [*records(), record({'transfer.strategy': 'fine_tune', 'seed': 2}, error='diverged, at step 3')]
    write_tables(tmp_path, runs, summarise(runs, OVER))
    with open(tmp_path / 'runs.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert len(table) == 7
    assert list(table[0]) == [*OVER, 'test accuracy', 'test loss', 'seconds', 'run_dir', 'error']
    assert (table[0]['seed'], table[0]['test accuracy'], table[0]['error']) == ('0', '0.7', '')
    assert (table[6]['test accuracy'], table[6]['error']) == ('', 'diverged, at step 3')
    with open(tmp_path / 'summary.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert [row['transfer.strategy'] for row in table] == ['scratch', 'linear_probe', 'fine_tune']
    assert float(table[2]['test accuracy mean']) == pytest.approx(0.92)
    assert float(table[2]['test loss max']) == pytest.approx(0.09)
    assert (table[2]['test accuracy n'], table[2]['failed'], table[0]['gain over scratch']) == ('2', '1', '')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['runs.csv', 'summary.csv']


def test_short_names_stay_distinct():
    assert short_names(['a.b', 'c']) == {'a.b': 'b', 'c': 'c'}
    assert short_names(['a.name', 'b.name']) == {'a.name': 'a.name', 'b.name': 'b.name'}
