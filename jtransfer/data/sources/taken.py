"""What the columns of a table, the arrays of a file or the features of a data set were taken for, in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jtransfer.tasks.base import Task
from jtransfer.text.outside import first_few

IMAGES = 'the images'
GROUP = 'the group (no split divides one)'
PART = 'the part'
WEIGHT = 'the weight in the loss'

# Names, and what they hold.
Taken = tuple[Sequence[str], str]


def taken(what: str, found: Iterable[Taken], unread: Sequence[str] = ()) -> str:
    """A line that says what each was taken for.

    >>> taken('column', [(['file'], IMAGES), (['a', 'b'], 'the labels'), ([], GROUP)], ['age'])
    "column 'file' holds the images, 'a', 'b' the labels; not read: 'age'"

    Args:
        what: what they are, one of them in a word.
        found: what has no name is not said.
        unread: names of those that mean nothing here.
    """
    (names, role), *rest = [(names, role) for names, role in found if names]
    first = f'{what} {_quoted(names)} holds' if len(names) == 1 else f'{what}s {_quoted(names)} hold'
    others = ''.join(f', {_quoted(names)} {role}' for names, role in rest)
    return f'{first} {role}{others}' + (f'; not read: {_quoted(unread)}' if unread else '')


def labels(names: Sequence[str], tasks: Sequence[Task]) -> list[Taken]:
    """The names of what holds the labels, and of which kind these are; a head is called as what holds its labels."""
    kinds = {task.name: task.kind for task in tasks}
    if '' in kinds:
        return [(names, f'the label{"s" * (len(names) > 1)} ({kinds[""]})')]
    return [([name], f'the label ({kinds[name]})') for name in names]


def _quoted(names: Sequence[str]) -> str:
    return first_few([f"'{name}'" for name in names])
