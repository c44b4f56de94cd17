"""A kind of task with two outputs a number: the number itself, and the logarithm of its variance."""

import dataclasses

from jtransfer.tasks.regression import Regression


@dataclasses.dataclass(frozen=True)
class Spread(Regression):
    """As regression; the outputs are all numbers, and then all their spreads."""

    floor: float = 0.0

    @property
    def outputs(self) -> int:
        return 2 * len(self.class_names)
