"""The plan and the end of a run, as text."""

import numpy as np

from jtransfer.config import Transfer
from jtransfer.experiments.tables import plan_table
from jtransfer.transfer.plan import make_plan


def test_the_plan_lists_every_group_and_path():
    params = {
        'backbone': {'stem': {'kernel': np.zeros((3, 3))}},
        'head': {'kernel': np.zeros((3, 2)), 'bias': np.zeros(2)},
    }
    text = plan_table(make_plan(params, Transfer('linear_probe'), 0.1))
    assert text.startswith('trained: head (8 of 17 parameters, 47.1%); frozen: backbone\n')
    [head] = [line for line in text.splitlines() if line.split()[:3] == ['head', 'head/.*', 'yes']]
    assert head.split() == ['head', 'head/.*', 'yes', '1', '6', '1', '0.1']
    [backbone] = [line for line in text.splitlines() if line.split()[:2] == ['backbone', 'backbone/.*']]
    assert backbone.split()[2:] == ['frozen', '1', '9', '-', '-']
    assert '\n  backbone/stem/kernel\n' in text
