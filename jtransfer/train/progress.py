"""The progress bar of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jtransfer.terminal import PlainConsole


@runtime_checkable
class Bar(Protocol):
    """What the loop tells its progress bar."""

    def __call__(self, step: int, text: str = '') -> None:
        """Moves the bar to a step; a text, when given, replaces the one behind it."""


@contextmanager
def progress_bar(
    title: str, total: int, *, start: int = 0, show: bool = True, console: Console | None = None
) -> Iterator[Bar]:
    """A bar on the terminal; where there is none, such as in a log file, ten lines in all.

    Args:
        title: stands before it.
        total: the last step.
        start: steps made already.
        show: False: nothing is printed.
        console: where to. None: standard error.
    """
    console = console or PlainConsole(stderr=True)
    if not show:
        yield lambda step, text='': None
    elif not console.is_terminal:
        yield _lines(console, title, total, start)
    else:
        columns = (
            TextColumn('{task.description}', markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn('left'),
            TimeRemainingColumn(),
            TextColumn('{task.fields[text]}', markup=False),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(title, total=total, completed=start, text='')

            def move(step: int, text: str = '') -> None:
                fields = {'text': text} if text else {}
                progress.update(task, completed=step, **fields)  # type: ignore[arg-type]

            yield move


def _lines(console: Console, title: str, total: int, start: int) -> Bar:
    tenth = start * 10 // max(1, total)

    def move(step: int, text: str = '') -> None:
        nonlocal tenth
        if text and step * 10 // total > tenth:
            tenth = step * 10 // total
            console.print(f'{title} {step}/{total}  {text}', markup=False, highlight=False, soft_wrap=True)

    return move
