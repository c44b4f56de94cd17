"""Text from outside is shown without doing anything to the terminal, and ordinary writing stays as it is."""

import pytest

from jtransfer.text.outside import first_few, for_figure, from_cell, printable, printable_lines, printable_path, to_cell


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('Äpfel 苹果 🍎', 'Äpfel 苹果 🍎'),
        ('family 👩\u200d👧 می\u200cخواهم', 'family 👩\u200d👧 می\u200cخواهم'),  # joiners belong to the writing
        ('\x1b[31mred\x07', '\\x1b[31mred\\x07'),
        ('two\nlines\ttab', 'two\\nlines\\ttab'),
        ('exe\u202egnp.', 'exe\\u202egnp.'),
        ('bad\udcff', 'bad\\xff'),
        ('\x9b31m', '\\x9b31m'),
        ('[bold]', '[bold]'),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode('utf-8')


def test_breaks_of_lines_stay_where_they_are_meant() -> None:
    assert printable_lines('a\x07\n\nb\tc') == 'a\\x07\n\nb\\tc'


def test_first_few() -> None:
    assert first_few(('ant', 'bee')) == 'ant, bee'
    assert first_few(('ant', 'b\x1bee', 'cat'), 2) == 'ant, b\\x1bee, … (3)'


def test_paths_have_forward_slashes() -> None:
    assert printable_path('a/b\udcff.png') == 'a/b\\xff.png'


@pytest.mark.parametrize(
    'text', ['=1+1', '+', '-5.png', '@SUM(A1)', '\t=1', '\r1', '＝1', '-1e', "'=1", "''-x", '+49 30 1234', '-', '-0x1']
)
def test_what_would_run_as_a_formula_is_quoted(text: str) -> None:
    assert to_cell(text) == f"'{text}"
    assert from_cell(to_cell(text)) == text


@pytest.mark.parametrize('text', ['', 'plain', "'tis", "'", '-0.5', '+1', '-1.5e-07', '-inf', 'nan', 'a=b', '5-6'])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert to_cell(text) == text
    assert from_cell(text) == text


def test_no_formula_in_a_figure() -> None:
    assert for_figure('$x_$ \x07\nnext') == '\\$x_\\$ \\x07\nnext'
