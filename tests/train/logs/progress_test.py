"""The progress bar: a bar on a terminal, ten lines in a log file, nothing when it is not wanted."""

import io

import pytest
from rich.console import Console

from jtransfer.train.logs.progress import progress_bar


def show(terminal, steps, total, start=0, show=True, text='loss 0.5'):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    with progress_bar('digits', total, start=start, show=show, console=console) as bar:
        for step in steps:
            bar(step, text)
    return file.getvalue()


def test_a_log_file_gets_ten_lines():
    lines = show(False, range(1, 101), 100).splitlines()
    assert lines[0] == 'digits 10/100  loss 0.5'
    assert lines[-1] == 'digits 100/100  loss 0.5'
    assert len(lines) == 10


def test_a_log_file_gets_no_line_without_news():
    assert show(False, range(1, 101), 100, text=None) == ''


def test_how_far_it_is_may_be_all_there_is_to_say():
    """And it is said once: `303/3021  303 of 3,021` stood there."""
    assert show(False, range(1, 101), 100, text='').splitlines()[:2] == ['digits 10/100', 'digits 20/100']


@pytest.mark.parametrize('terminal', [False, True])
def test_names_are_text_and_no_markup(terminal):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    with progress_bar('sweep [red]', 2, console=console) as bar:
        bar(2, 'loss [bold]')
    assert 'sweep [red]' in file.getvalue()
    assert 'loss [bold]' in file.getvalue()


def test_a_resumed_run_goes_on_where_it_stopped():
    lines = show(False, range(46, 101), 100, start=45).splitlines()
    assert [line.split()[1] for line in lines] == ['50/100', '60/100', '70/100', '80/100', '90/100', '100/100']


def test_a_run_shorter_than_ten_steps_gets_a_line_a_step():
    assert len(show(False, range(1, 4), 3).splitlines()) == 3


def test_a_terminal_gets_a_bar():
    output = show(True, range(1, 8), 7)
    assert '\x1b[' in output
    assert '7/7' in output
    assert 'loss 0.5' in output


def test_nothing_is_printed_when_it_is_not_wanted(capfd):
    assert show(True, range(1, 8), 7, show=False) == ''
    with progress_bar('digits', 7, show=False) as bar:
        bar(7, 'done')
    assert capfd.readouterr() == ('', '')


def test_standard_output_stays_clean(capfd):
    with progress_bar('digits', 2) as bar:
        bar(2, 'done')
    out, err = capfd.readouterr()
    assert out == ''
    assert 'digits 2/2  done' in err
