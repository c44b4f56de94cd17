"""A source of pictures in memory with labels of any tasks."""

import dataclasses
from typing import Any

import numpy as np

from jtransfer.tasks.base import Task
from jtransfer.tasks.door import bare, by_task
from jtransfer.tasks.labels import take


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    images: np.ndarray
    labels: Any
    tasks: tuple[Task, ...]

    @property
    def class_names(self):
        return self.tasks[0].class_names

    @property
    def ids(self):
        return tuple(f'picture {index}' for index in range(len(self.images)))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {'image': self.images[index], 'label': bare(take(by_task(self.labels), index)), 'id': self.ids[index]}
