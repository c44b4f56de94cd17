"""The order of training examples in which the classes take turns: a pure function of the labels, seed and step."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from jaxtyping import Int, Int32, Int64

from jtransfer.errors import UserError

# Keep the turns of the classes, and the turns of the examples of a class, independent of each other.
_CLASSES_STREAM = 11
_EXAMPLES_STREAM = 12
# Turns are drawn for many rounds at once, as a generator takes longer to make than a round of few classes to draw.
_TURNS_AT_ONCE = 4096


def balanced_order(
    step: int, batch_size: int, labels: Int[np.ndarray, ' n'], seed: int, repeats: int = 1
) -> tuple[Int64[np.ndarray, ' batch'], Int32[np.ndarray, ' batch']]:
    """Which examples make up the batch of a step, in an endless sequence in which the classes take turns.

    The sequence consists of rounds. In each, every class that occurs comes once, in an order drawn for the round, and
    sends its next example; those of a class come in an order drawn anew each time that all of them have come. This is
    class-balanced sampling (as in Kang et al., 2020, "Decoupling representation and classifier for long-tailed
    recognition") without replacement: the examples of a class come equally often, up to one.

    With repeats, every example of the sequence comes several times in a row; see `example_order`.

    Args:
        step: number of the optimiser update, from 0.
        batch_size: examples a step.
        labels: class number of every example of the training part.
        seed: of the order, ≥ 0.
        repeats: how often every example comes, ≥ 1.

    Returns:
        Position of every example in the training part, and how often all examples of its class have come before (its
        epoch, from 0). With repeats, copy r of an example in epoch e counts as seen in epoch e * `repeats` + r. No
        example is seen twice in an epoch, so that each time it is augmented in its own way.

    Raises:
        UserError: the labels are not one class an example, or an example has none.
    """
    return BalancedOrder.of(batch_size, labels, seed, repeats)(step)


@dataclasses.dataclass(frozen=True, eq=False)
class BalancedOrder:
    """`balanced_order` of one training part: from a step to its examples. Picklable, and safe to share among threads.

    Attributes:
        batch_size: examples a step.
        seed: of the order.
        repeats: how often every example comes.
        classes: numbers of the classes that occur, ascending.
        members: positions in the training part, those of the first class first.
        starts: where those of each class begin, and the end of the last.
    """

    batch_size: int
    seed: int
    repeats: int
    classes: Int64[np.ndarray, ' classes']
    members: Int64[np.ndarray, ' n']
    starts: Int64[np.ndarray, ' classes_and_one']
    # Of each class the epoch that was asked for last, and its order: all of them are no larger than `members`.
    _latest: dict[int, tuple[int, np.ndarray]] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, batch_size: int, labels: Int[np.ndarray, ' n'], seed: int, repeats: int = 1) -> BalancedOrder:
        """The order for the labels of a training part; arguments and errors are those of `balanced_order`."""
        check_classes(labels)
        classes, counts = np.unique(labels, return_counts=True)
        members = np.argsort(labels, kind='stable')
        return cls(batch_size, seed, repeats, classes.astype(np.int64), members, np.cumsum([0, *counts]))

    def __call__(self, step: int) -> tuple[Int64[np.ndarray, ' batch'], Int32[np.ndarray, ' batch']]:
        """The examples of the step, and their epochs."""
        position = step * self.batch_size + np.arange(self.batch_size, dtype=np.int64)
        visit, copy = np.divmod(position, self.repeats)
        kind, k = self._turns(visit)
        epoch, within = np.divmod(k, np.diff(self.starts)[kind])
        index = np.empty(self.batch_size, np.int64)
        order = np.lexsort((epoch, kind))
        bounds = np.flatnonzero(np.diff(kind[order]) | np.diff(epoch[order])) + 1
        for rows in np.split(order, bounds):
            c, e = int(kind[rows[0]]), int(epoch[rows[0]])
            index[rows] = self.members[self.starts[c] + self._permutation(c, e)[within[rows]]]
        return index, (epoch * self.repeats + copy).astype(np.int32)

    def __getstate__(self) -> dict[str, Any]:
        """Everything that cannot be drawn again."""
        return {**self.__dict__, '_latest': {}}

    def _turns(self, visit: Int64[np.ndarray, ' batch']) -> tuple[np.ndarray, np.ndarray]:
        """Whose turn it is, as an index of `classes`, and how often that class has come before."""
        count = len(self.classes)
        rounds, turn = np.divmod(visit, count)
        block, within = np.divmod(rounds, rounds_at_once(count))
        kind = np.empty(len(visit), np.int64)
        for b in np.unique(block):
            here = block == b
            kind[here] = _rounds(self.seed, int(b), count)[within[here], turn[here]]
        return kind, rounds

    def _permutation(self, kind: int, epoch: int) -> np.ndarray:
        count = int(self.starts[kind + 1] - self.starts[kind])
        if count == 1:  # a class of one example has an epoch a visit
            return np.zeros(1, np.int64)
        latest, permutation = self._latest.get(kind, (-1, np.empty(0)))
        if latest != epoch:
            generator = np.random.default_rng((self.seed, _EXAMPLES_STREAM, int(self.classes[kind]), epoch))
            permutation = generator.permutation(count)
            self._latest[kind] = epoch, permutation
        return permutation


def check_classes(labels: Any) -> None:
    """Raises `UserError` unless the labels are one class an example, for every example."""
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            'data.sampling=balanced is for one label an example: with several labels, numbers or several heads it must '
            'be uniform'
        )
    if not len(labels):
        raise UserError('data.sampling=balanced: there are no training examples')
    without = np.flatnonzero(labels < 0)
    if len(without):
        raise UserError(
            f'data.sampling=balanced: training example {without[0]} has no label ({len(without)} such): leave them '
            'out, or set data.sampling=uniform'
        )


def rounds_at_once(count: int) -> int:
    """How many rounds of that many classes are drawn by one generator; part of what the order is."""
    return max(1, _TURNS_AT_ONCE // count)


@functools.lru_cache(maxsize=4)
def _rounds(seed: int, block: int, count: int) -> np.ndarray:
    """Whose turn it is in each of the rounds of a block, [rounds, classes]."""
    generator = np.random.default_rng((seed, _CLASSES_STREAM, block))
    turns = generator.permuted(np.tile(np.arange(count), (rounds_at_once(count), 1)), axis=1)
    turns.flags.writeable = False
    return turns
