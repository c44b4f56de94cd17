"""Errors are text, whatever the names in them hold, and survive the way from another process."""

import pickle

from jtransfer.data.images import UnreadableImageError
from jtransfer.errors import UserError


def test_a_name_in_an_error_does_nothing_to_the_terminal():
    for kind in (UserError, UnreadableImageError):
        error = pickle.loads(pickle.dumps(kind("no class 'a\x1b[31m\x07'\nü \udcff")))
        assert type(error) is kind
        assert str(error) == "no class 'a\\x1b[31m\\x07'\nü \\xff"
