"""The two kinds of failure a person can act on, and what stops nothing but should be known."""

from __future__ import annotations

import re

from jtransfer.text.outside import printable

# Letters of a message. Names and values in it come from files, and may have millions.
_LONGEST = 4000


class UserError(ValueError):
    """Something the person asked for cannot be done: one line that says what is wrong and what would be right.

    The launch scripts print the message without a traceback and leave with exit status 2. Control characters are spelt
    out, and breaks of lines are spaces: names in it come from files and tables, and a traceback ends on a terminal,
    too. What is very long keeps its beginning and its end.
    """

    def __init__(self, message: str) -> None:
        """Takes the line."""
        text = printable(re.sub(r'\s*\n\s*', ' ', str(message)))
        super().__init__(text if len(text) <= _LONGEST else f'{text[: _LONGEST - 1000]} … {text[-900:]}')


class WritingError(UserError):
    """Something cannot be written: a full disk, a used-up quota, a limit, missing rights; the line names the path."""


class OutOfMemoryError(UserError):
    """Memory has run out, or would; the line says what needs less of it."""


class DataWarning(UserWarning):
    """Something about the data that only reading them shows, one line; the launch scripts print it as a note."""


class RunWarning(UserWarning):
    """Something about a run that a person should know and that does not stop it; printed likewise."""


class TrainingDivergedError(FloatingPointError):
    """The loss or a gradient stopped being finite; the message names the step and the last good checkpoint."""
