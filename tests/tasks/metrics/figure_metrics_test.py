"""A score and figures are enough for lines, records, tables and a page."""

import json

import numpy as np

from jtransfer.evaluate.write import write_evaluation
from jtransfer.report.page import write_report
from jtransfer.tasks.base import single_label
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.figure_metrics import FigureMetrics

TASK = single_label(['low', 'high'])
METRICS = FigureMetrics(
    task=TASK,
    examples=3,
    loss=0.25,
    told=Figure('quadratic kappa', 0.5),
    further=[Figure('within one grade', 0.75, 'share')],
)


def test_lines_and_records():
    assert METRICS.headline() == 'quadratic kappa 0.500 on 3 examples'
    assert METRICS.title() == ('quadratic kappa 0.500', '3 examples')
    assert METRICS.more() == [('also', 'within one grade 75.0%; loss 0.250')]
    values = json.loads(json.dumps(METRICS.to_dict(), allow_nan=False))
    assert values['figures'] == {'within one grade': 0.75}
    assert not {'task', 'told', 'further'} & set(values)


def test_files_and_a_page(tmp_path):
    outputs, labels = np.float32([[1, 0], [0, 2], [0, 1]]), np.int32([0, 1, -1])
    write_evaluation(tmp_path, METRICS, {'': outputs}, {'': labels}, ['a', 'b', 'c'])
    assert (tmp_path / 'predictions.csv').read_text() == (
        'id,label,class,probability\na,low,low,0.731059\nb,high,high,0.880797\nc,,high,0.731059\n'
    )
    write_report(tmp_path / 'report.html', title='t', metrics=METRICS)
    text = (tmp_path / 'report.html').read_text()
    assert 'Quadratic kappa on 3 examples' in text
    assert 'Within one grade' in text
    assert 'class="gauge"' not in text
