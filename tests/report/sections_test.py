"""What the page says of a task in words."""

import numpy as np
import pytest

from jtransfer.report.sections import gauge, sections, task_rows
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.measured import Baseline
from jtransfer.tasks.metrics.several import measure, measure_tasks


def test_a_gauge_is_cut_off_at_its_ends():
    got = gauge(Figure('R²', -0.5, interval=(-2.0, 0.25)), Baseline(0.0, 'x'))
    assert (got.value, got.low, got.high, got.reference) == (0.0, 0.0, 0.25, 0.0)
    assert got.label == 'R² -0.500, between -2.000 and 0.250'


@pytest.mark.parametrize(('classes', 'top_k'), [(3, False), (7, True)])
def test_tiles_of_classes(classes, top_k):
    task = single_label([f'c{i}' for i in range(classes)])
    logits = np.eye(classes, dtype=np.float32)
    (section,) = sections(measure(task, logits, np.append(np.arange(classes - 1), 0).astype(np.int32)))
    tiles = {tile.label: tile.value for tile in section.tiles}
    assert tiles['Mistakes'] == '1'
    assert ('Top-5 accuracy' in tiles) == top_k
    assert section.hero.gauge.text == f'always the commonest class: {2 / classes:.1%}'
    assert (section.name, section.wrong_title) == ('', 'Most confidently wrong')
    assert [group.layout for group in (*section.groups, *section.last)] == ['two', 'two']


def test_the_level_of_chance_of_several_labels_is_the_mean_share_of_positives():
    task = Task('', 'multi_label', ('a', 'b', 'never'))
    labels = np.float32([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
    (section,) = sections(measure(task, labels * 2 - 1, labels))
    assert section.hero.gauge.reference == 0.5
    assert section.last[0].panels[0].layout[-1][0].text == 'never'


def test_rows_of_tasks():
    task = Task('age', 'regression', ('years',))
    metrics = measure_tasks([task], {'age': np.float32([[1], [3]])}, {'age': np.float32([[1], [3]])})
    assert task_rows(metrics) == [('age', 'R²', '1.000', '1.000 to 1.000', '0', '2')]
    assert task_rows(metrics.by_task['age']) == []
    (section,) = sections(metrics)
    assert (section.name, section.wrong_title) == ('age', 'Largest errors')
