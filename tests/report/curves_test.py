"""From metric lines to the charts of a run."""

from jtransfer.report.curves import fold_charts, training_charts
from jtransfer.tasks.metrics.figure import Figure


def lines():
    for step in range(10, 60, 10):
        yield {
            'step': step,
            'train/loss': 1 / step,
            'train/accuracy': step / 100,
            'learning_rate/head': 1e-3,
            'learning_rate/backbone': 1e-4,
            'gradient_norm': 1.0,
            'images_per_second': 100.0,
        }
    yield {'step': 25, 'validation/loss': 0.5, 'validation/top1': 0.9}
    yield {'step': 50, 'validation/loss': 0.4, 'validation/top1': 0.8}


def test_every_chart_of_a_full_log():
    charts = {chart.title: chart for chart in training_charts(list(lines()))}
    assert list(charts) == ['Loss', 'Accuracy', 'Learning rate', 'Gradient norm', 'Images per second']
    accuracy = {line.name: line for line in charts['Accuracy'].lines}
    assert (accuracy['train'].value, accuracy['validation'].value) == ('50.0%', '80.0%')
    assert accuracy['validation'].best.label == 'validation: 90.0% at step 25'
    rates = {line.name: line.value for line in charts['Learning rate'].lines}
    assert rates == {'head': '1e-3', 'backbone': '1e-4'}


def test_of_equal_scores_the_checkpoint_that_was_chosen_is_marked():
    scores = [(1, 1.0, 0.9), (2, 1.0, 0.2), (3, 0.5, 0.1), (4, 1.0, 0.2), (5, 1.0, 0.3)]
    log = [{'step': s, 'validation/top1': score, 'validation/loss': loss} for s, score, loss in scores]
    (accuracy,) = (chart for chart in training_charts(log) if chart.title == 'Accuracy')
    assert accuracy.lines[0].best.label == 'validation: 100.0% at step 4'


def test_what_was_not_logged_is_left_out():
    assert training_charts([]) == []
    assert [c.title for c in training_charts([{'step': 1, 'train/loss': 2.0, 'gradient_norm': None}])] == ['Loss']
    assert training_charts([{'step': 1, 'train/loss': float('nan')}]) == []


def test_many_groups_become_six_from_fastest_to_slowest():
    line = {'step': 1, **{f'learning_rate/layer{i}': 0.5**i for i in range(14)}}
    (chart,) = training_charts([line])
    assert [entry.name for entry in chart.lines] == ['layer0', 'layer3', 'layer5', 'layer8', 'layer10', 'layer13']
    assert [entry.colour for entry in chart.lines] == [1, 2, 3, 4, 5, 6]


def test_a_wide_gradient_norm_gets_a_logarithmic_axis():
    (chart,) = training_charts([{'step': i, 'gradient_norm': 10.0**i} for i in range(4)])
    assert [tick.label for tick in chart.y_ticks] == ['1', '10', '100', '1000']


def test_another_score_has_a_chart_of_its_own():
    log = [{'step': 1, 'train/accuracy': 0.5}, {'step': 2, 'validation/score': -0.5}]
    charts = {chart.title: chart for chart in training_charts(log, Figure('R²', 0.5))}
    assert list(charts) == ['R²', 'Accuracy in training']
    assert [line.value for line in charts['R²'].lines] == ['-0.5']
    assert [line.name for line in charts['Accuracy in training'].lines] == ['train']
    (chart,) = training_charts(log[1:], Figure('mean average precision', 0.5, 'share'))
    assert (chart.title, chart.lines[0].value) == ('Mean average precision', '-50.0%')


def test_what_a_kind_of_task_logs_has_a_chart():
    lines = [
        {'step': step, 'train/loss': 1.0, 'train/loss/tags': 1.0, 'train/image_size': 8, 'train/grades_off': 1 / step}
        for step in (1, 2)
    ]
    assert [chart.title for chart in training_charts(lines)] == ['Loss', 'Grades off in training']


def test_folds_lie_over_each_other():
    charts = {chart.title: chart for chart in fold_charts([list(lines())] * 3, ['a', 'b', 'c'])}
    assert list(charts) == [
        'Accuracy in validation', 'Loss in validation', 'Loss in training', 'Accuracy in training',
    ]  # fmt: skip
    drawn = charts['Accuracy in validation'].lines
    assert [(line.name, line.colour, line.faint, line.value) for line in drawn] == [
        ('a', 1, False, '80.0%'),
        ('b', 2, False, '80.0%'),
        ('c', 3, False, '80.0%'),
    ]
    assert fold_charts([[], []], ['a', 'b']) == []


def test_many_folds_are_pale_under_their_mean():
    folds = [[{'step': s, 'validation/score': 0.1 * i, 'train/loss': float(s)} for s in (1, 2)] for i in range(8)]
    folds[3] = folds[3][:1]
    charts = {chart.title: chart for chart in fold_charts(folds, [f'fold {i}' for i in range(8)], Figure('R²', 0.5))}
    *pale, mean = charts['R² in validation'].lines
    assert [line.faint for line in pale] == [True] * 8
    assert {line.colour for line in pale} == {1}
    # At step 1 alone, which every fold has.
    assert (mean.name, mean.faint, mean.colour, mean.value) == ('mean of 8', False, 2, '0.35')
    assert [dot.label for dot in mean.dots] == ['mean of 8: 0.35 at step 1']


def test_long_curves_of_folds_are_their_running_means_alone():
    folds = [[{'step': s, 'train/loss': 1 + s % 2} for s in range(100)] for _ in range(2)]
    (chart,) = fold_charts(folds, ['a', 'b'], Figure('R²', 0.5))
    assert chart.note == 'running mean'
    assert [line.raw_path for line in chart.lines] == ['', '']
