"""Examples of which nothing is known but what a network reads, as a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jtransfer.data.source import Example, Source, SourceLike
from jtransfer.errors import UserError
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, take


class Asked(Source):
    """Examples that a model is asked about; whatever labels they have are of no account.

    Attributes:
        given: the examples: a source, or what the network reads of each.
    """

    class_names: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    tasks: tuple[Task, ...]

    def __init__(self, given: SourceLike | Sequence[Any], model: Model) -> None:
        """Looks at no example.

        Raises:
            UserError: there are none, or a network without a head.
        """
        if not model.tasks:
            raise UserError('the network has no head, and predicts nothing: extract_features gives what it puts out')
        if not len(given):
            raise UserError('there are no examples to predict')
        self.given, self._model = given, model
        self.class_names, self.tasks = model.class_names, model.tasks
        self.labels = {task.name: task.blank(len(given)) for task in model.tasks}
        ids = given.ids if isinstance(given, SourceLike) else range(len(given))
        self.ids = tuple(map(str, ids))

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        """The example at an index."""
        fields = self._model.preprocessing.example(self.given[index])
        return {**fields, 'id': self.ids[index], 'labels': take(self.labels, index)}
