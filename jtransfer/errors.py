"""The two kinds of failure a person can act on, and what stops nothing but should be known."""


class UserError(ValueError):
    """Something the person asked for cannot be done: one line that says what is wrong and what would be right.

    The launch scripts print the message without a traceback and leave with exit status 2.
    """


class DataWarning(UserWarning):
    """Something about the data that only reading them shows, one line; the launch scripts print it as a note."""


class TrainingDivergedError(FloatingPointError):
    """The loss or a gradient stopped being finite; the message names the step and the last good checkpoint."""
