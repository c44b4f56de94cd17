"""What is written to a terminal: text as it is, nothing that a terminal acts on, nothing that a stream cannot hold."""

import contextlib
import io
import os

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jtransfer.text.terminal import PlainConsole, encodable, enduring, soften, wide_console

NAMES = ('head[/].*', '[red]x[/red]', ':smile:', '[a-z]', '[bold]', '\\[b]')


def stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def written(file):
    return file.buffer.getvalue().decode(file.encoding)


def everything(name):
    """A name everywhere that rich may put one."""
    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    return Panel(table)


@pytest.mark.parametrize('name', NAMES)
def test_no_string_is_markup(name):
    console = PlainConsole(file=io.StringIO(), width=60)
    console.print(name)
    console.print(everything(name))
    assert console.file.getvalue().count(name) == 5


@pytest.mark.parametrize('settings', [{}, {'write_through': True}, {'line_buffering': True}])
def test_writing_to_a_closed_pipe_is_no_error(settings):
    reader, writer = os.pipe()
    with os.fdopen(writer, 'w', encoding='ascii', errors='replace') as own:
        own.reconfigure(**settings)
        stream = enduring(own)
        assert (stream.encoding, stream.errors, stream.fileno()) == ('ascii', 'replace', writer)
        print('read', file=stream, flush=True)
        assert os.read(reader, 99) == b'read\n'
        os.close(reader)
        for _ in range(2):
            print('read by nobody' * 999, file=stream, flush=True)
        stream.close()  # the file descriptor is not its own


def test_a_console_whose_pipe_is_closed_falls_silent():
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, 'w') as stream:
        console = PlainConsole(file=stream)
        console.print('read by nobody')  # rich would end the process here
        assert console.quiet


def test_what_is_no_file_descriptor_is_written_to_as_it_is():
    assert enduring(None) is None
    text = io.StringIO()
    assert enduring(text) is text


@pytest.mark.parametrize('make', [str, Text], ids=['string', 'text'])
def test_control_characters_are_spelt_out(make):
    console = PlainConsole(file=io.StringIO(), width=60, force_terminal=True)
    console.print(make('a\x1b[31m\x9bb\udcff'), style='bold')
    console.print(make('two\nlines\x1b'))
    text = console.file.getvalue()
    assert 'a\\x1b[31m\\x9bb\\xff' in text
    assert 'two\nlines\\x1b\n' in text
    assert '\x1b[1m' in text  # its own colours stay


def test_what_is_spelt_out_is_measured_so():
    console = PlainConsole(file=io.StringIO(), width=60)
    table = Table('', '')
    table.add_row('\x07\x1b', 'next')
    table.add_row('plain', 'next')
    console.print(table)
    lines = console.file.getvalue().splitlines()
    assert '\\x07\\x1b' in lines[3]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize('encoding', ['ascii', 'cp1252', 'utf-8'])
def test_any_stream_takes_any_text(encoding):
    file = stream(encoding)
    console = PlainConsole(file=file, width=60, force_terminal=True)
    console.print(everything('★ 81.2 ± 0.4 · 苹果 …'), Text('★ 苹果 \udcff'))
    text = written(file)
    assert ('★' in text) == (encoding == 'utf-8')
    assert ('±' in text) == (encoding != 'ascii')
    assert ('\\u82f9\\u679c' in text) == (encoding != 'utf-8')


def test_likenesses_read_well():
    assert encodable('0.4 ± 0.1 × 2 – 3 · 5…', 'ascii') == '0.4 +/- 0.1 x 2 - 3 | 5...'
    assert encodable('Grün ★ ≥ 1', 'cp1252') == 'Grün * >= 1'
    assert encodable('Grün ★ \U0001f34e', 'ascii') == 'Gr\\xfcn * \\U0001f34e'
    assert encodable('Grün ★', 'utf-8') == 'Grün ★'


def test_a_softened_stream_never_refuses():
    file = stream('ascii')
    with pytest.raises(UnicodeEncodeError):
        print('a – b', file=file)
    soften(file)
    print('a – b', file=file)
    assert written(file) == 'a - b\n'
    soften(io.StringIO())
    soften(None)


def test_a_file_gets_wide_lines(capsys):
    wide_console().print('x ' * 55)
    assert capsys.readouterr().out.count('\n') == 1
