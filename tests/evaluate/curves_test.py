"""From metric lines to the charts of a run."""

from jtransfer.evaluate.curves import training_charts


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
