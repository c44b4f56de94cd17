"""A plugin that says what each file of tests costs: `python -m pytest -n0 -p tests.cpu_seconds tests/train`.

Seconds of the processor, which other work on the machine changes little: of the process, and of those it waited for.
"""

import collections
import os

import pytest

_SPENT = collections.defaultdict(lambda: [0.0, 0.0])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Adds what a test and the fixtures made for it took to its file."""
    before = os.times()
    yield
    after = os.times()
    spent = _SPENT[item.location[0]]
    spent[0] += after.user + after.system - before.user - before.system
    spent[1] += after.children_user + after.children_system - before.children_user - before.children_system


def pytest_terminal_summary(terminalreporter):
    """Prints the files, the dearest first."""
    terminalreporter.section('CPU seconds, own and of other processes')
    for name, (own, others) in sorted(_SPENT.items(), key=lambda pair: -sum(pair[1])):
        terminalreporter.write_line(f'{own:8.1f} {others:8.1f}  {name}')
