"""What columns, arrays and features were taken for is a line that is safe to print."""

from jtransfer.data.sources import taken
from jtransfer.tasks.base import Task, single_label


def test_one_line_of_as_many_as_there_are():
    heads = (single_label(('a', 'b'), 'kind'), Task('age', 'regression', ('age',)))
    roles = [(['path'], taken.IMAGES), *taken.labels(['kind', 'age'], heads), ([], taken.GROUP)]
    assert taken.taken('column', roles) == (
        "column 'path' holds the images, 'kind' the label (single_label), 'age' the label (regression)"
    )
    several = taken.labels(['x', 'y'], (Task('', 'multi_label', ('x', 'y')),))
    assert several == [(['x', 'y'], 'the labels (multi_label)')]
    line = taken.taken('array', [(['a', 'b\x1b'], taken.IMAGES)], ['c\n'] * 9)
    assert line == r"arrays 'a', 'b\x1b' hold the images; not read: 'c\n', 'c\n', 'c\n', 'c\n', 'c\n', … (9)"
