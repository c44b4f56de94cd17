"""Figures that were added to a kind; what a run tells of them is in tests/new_figure_test.py."""

import numpy as np
import pytest

from jtransfer.tasks import Task, single_label
from jtransfer.tasks.metrics import added
from jtransfer.tasks.metrics.added import add_figure, added_figures
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.several import measure

NUMBER = Task('', 'regression', ('size',))


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(added, '_ADDED', {})


def test_figures_are_of_their_kind_in_the_order_in_which_they_were_added():
    add_figure('regression', 'largest', lambda task, outputs, labels: outputs.max(), unit='cm')
    add_figure('regression', 'undefined', lambda task, outputs, labels: None)
    outputs = np.array([[1.0], [3.0]])
    assert added_figures(NUMBER, outputs, outputs) == (Figure('largest', 3.0, 'cm'), Figure('undefined', None))
    assert added_figures(single_label(('a', 'b')), outputs, outputs) == ()


def test_metrics_tell_them_and_a_log_has_those_that_are_defined():
    before = measure(NUMBER, np.ones((2, 1)), np.zeros((2, 1)))
    assert before.added == ()
    assert 'figures' not in before.to_dict()
    test_figures_are_of_their_kind_in_the_order_in_which_they_were_added()
    after = measure(NUMBER, np.ones((2, 1)), np.zeros((2, 1)))
    assert after.to_dict() == {**before.to_dict(), 'figures': {'largest': 1.0, 'undefined': None}}
    assert after.logged() == {**before.logged(), 'largest': 1.0}
    assert ('also', after.more()[0][1]) == after.more()[0]
    assert [figure.text for figure in after.all_figures()[-2:]] == ['1 cm', '–']
