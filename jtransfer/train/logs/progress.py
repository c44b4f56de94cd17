"""The progress bar of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jtransfer.text.terminal import PlainConsole


@runtime_checkable
class Bar(Protocol):
    """What the loop tells its progress bar."""

    def __call__(self, step: int, text: str | None = None) -> None:
        """Moves the bar to a step; a text, when given, replaces the one behind it, and is worth a line in a log file.

        The text need not say how far it is, which stands before it; there may be nothing to add, ''.
        """


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
        yield lambda step, text=None: None
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

            def move(step: int, text: str | None = None) -> None:
                fields = {} if text is None else {'text': text}
                progress.update(task, completed=step, **fields)  # type: ignore[arg-type]

            yield move


def _lines(console: Console, title: str, total: int, start: int) -> Bar:
    tenth = start * 10 // max(1, total)

    def move(step: int, text: str | None = None) -> None:
        nonlocal tenth
        if text is not None and step * 10 // total > tenth:
            tenth = step * 10 // total
            line = f'{title} {step}/{total}  {text}'.rstrip()
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    return move
