"""The ordered, named stages of a backbone, and the part of them that a call runs."""

from __future__ import annotations

from collections.abc import Sequence

from jtransfer.checks import nearest
from jtransfer.errors import UserError


def selected(stages: Sequence[str], start: str | None, stop: str | None) -> tuple[str, ...]:
    """The stages from `start` up to and including `stop`; None stands for the first and the last.

    Raises:
        UserError: a name that is not a stage (the message lists the stages), or `stop` before `start`.
    """
    first = 0 if start is None else _index(stages, start)
    last = len(stages) - 1 if stop is None else _index(stages, stop)
    if last < first:
        raise UserError(f"stage '{stop}' comes before '{start}'; the order is {', '.join(stages)}")
    return tuple(stages[first : last + 1])


def block_names(count: int) -> tuple[str, ...]:
    """The names of a stage's blocks, in order.

    >>> block_names(2)
    ('block0', 'block1')
    """
    return tuple(f'block{index}' for index in range(count))


def _index(stages: Sequence[str], stage: str) -> int:
    if stage not in stages:
        hint = nearest(stage, stages)
        hint = hint if hint.startswith(' Did') else ''
        raise UserError(f"the backbone has no stage '{stage}'; its stages are {', '.join(stages)}.{hint}")
    return list(stages).index(stage)
