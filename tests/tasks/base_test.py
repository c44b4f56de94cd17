"""What a task may be."""

import pytest

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (('', 'classes', ('a',)), "kind='classes' is not one of single_label, multi_label, regression"),
        (('age', 'regression', ()), "task 'age' has no outputs"),
        (('', 'regression', ('a', 'b'), 1.0, (1.0,)), '1 values of offset for 2 outputs'),
        (('', 'single_label', ('a', 'b'), 1.0, (1.0, 2.0)), 'single_label.*2 values of offset'),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Task(*fields)
