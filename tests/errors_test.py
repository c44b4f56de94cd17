"""Errors are text, whatever the names in them hold, and survive the way from another process."""

import pickle

from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.errors import UserError


def test_a_name_in_an_error_does_nothing_to_the_terminal_and_begins_no_other_line():
    for kind in (UserError, UnreadableImageError):
        error = pickle.loads(pickle.dumps(kind("no class 'a\x1b[31m\x07'\nü \udcff")))
        assert type(error) is kind
        assert str(error) == "no class 'a\\x1b[31m\\x07' ü \\xff"


def test_a_very_long_line_keeps_its_ends():
    text = str(UserError(f'data.csv: the class {"x" * 10**6} is none; write another'))
    assert len(text) <= 4000
    assert text.startswith('data.csv: ')
    assert text.endswith('write another')
