"""What is said of a failed write is said once; everything else is said as ever (the rest: checkpoints_test)."""

import logging
import sys
import types

from jtransfer.train.saving import orbax_errors
from jtransfer.train.saving.orbax_errors import begin_quiet, end_quiet

LOGGER = logging.getLogger('absl')


def told(seen):
    """What is let through: of the log, and of what nobody could catch."""
    seen.clear()
    for path in ('/x/orbax/checkpoint/future.py', '/x/mine.py'):
        LOGGER.handle(logging.LogRecord('absl', logging.ERROR, path, 1, path, (), None))
    for error in (RuntimeError('Event loop is closed'), RuntimeError('other')):
        sys.unraisablehook(types.SimpleNamespace(exc_value=error))
    return list(seen)


def test_only_what_is_raised_as_well_is_silent_and_only_meanwhile(monkeypatch):
    seen = []
    # After a write that failed, a process stays quiet: in this one another test may have had such a write.
    monkeypatch.setattr(orbax_errors, '_state', {'open': 0})
    monkeypatch.setattr(LOGGER, 'filters', [])
    monkeypatch.setattr(sys, 'unraisablehook', lambda what: seen.append(str(what.exc_value)))
    monkeypatch.setattr(LOGGER, 'callHandlers', lambda record: seen.append(record.getMessage()))
    before = told(seen)
    assert before == ['/x/orbax/checkpoint/future.py', '/x/mine.py', 'Event loop is closed', 'other']
    begin_quiet()
    begin_quiet()
    end_quiet()
    assert told(seen) == ['/x/mine.py', 'other']
    end_quiet()
    assert told(seen) == before
