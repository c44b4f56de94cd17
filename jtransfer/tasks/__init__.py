"""What is to be learnt: tasks, their labels and losses, and what is measured of them."""

from jtransfer.tasks.base import Task, kinds, single_label, task_class
from jtransfer.tasks.classification import Classification
from jtransfer.tasks.multi_label import MultiLabel
from jtransfer.tasks.regression import Regression
from jtransfer.tasks.task_json import from_dict, to_dict

__all__ = [
    'Classification',
    'MultiLabel',
    'Regression',
    'Task',
    'from_dict',
    'kinds',
    'single_label',
    'task_class',
    'to_dict',
]
