"""What Orbax and TensorStore print about a failed write besides raising it: a thousand lines that say it again."""

from __future__ import annotations

import logging
import sys
from typing import Any

_ORBAX = '/orbax/checkpoint/'
_state: dict[str, Any] = {'open': 0}


class _Said(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Lets through all but the errors that Orbax logs before it raises them."""
        return record.levelno < logging.ERROR or _ORBAX not in record.pathname.replace('\\', '/')


_said = _Said()


def begin_quiet() -> None:
    """Keeps the background threads from printing tracebacks, until `end_quiet` has been called as often."""
    if not _state['open']:
        logging.getLogger('absl').addFilter(_said)
        _state['hook'], sys.unraisablehook = sys.unraisablehook, _unraisable
    _state['open'] += 1


def end_quiet() -> None:
    """See `begin_quiet`."""
    _state['open'] -= 1
    if not _state['open']:
        logging.getLogger('absl').removeFilter(_said)
        if sys.unraisablehook is _unraisable:
            sys.unraisablehook = _state['hook']


def _unraisable(unraisable: Any) -> None:
    # TensorStore's answers to a loop that the first of them has ended.
    if isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == 'Event loop is closed':
        return
    _state['hook'](unraisable)
