"""What is to be learnt: tasks, their labels and losses, and what is measured of them."""

from jtransfer.tasks.base import KINDS, Task, from_dict, single_label, to_dict

__all__ = ['KINDS', 'Task', 'from_dict', 'single_label', 'to_dict']
