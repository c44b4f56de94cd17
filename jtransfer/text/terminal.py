"""The way to a terminal: what is said there is text, never markup, and what a stream cannot hold is spelt otherwise."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from jtransfer.text.outside import printable_lines

# The name of the error handler that `str.encode` and streams know it by.
STAND_INS = 'jtransfer.stand_ins'
_WIDTH_OF_FILES = 120

# What stands for the signs of our own texts where an encoding (ASCII, cp1252) does not have them.
_ALIKE = {
    '–': '-', '—': '-', '−': '-', '─': '-', '━': '-', '…': '...', '·': '|', '×': 'x', '±': '+/-', '★': '*', '•': '*',
    '≥': '>=', '≤': '<=', '≠': '!=', '≈': '~', '→': '->', '²': '^2', '°': ' degrees', 'µ': 'u', '\u00a0': ' ',
    '‘': "'", '’': "'", '“': '"', '”': '"',
}  # fmt: skip


class PlainConsole(Console):
    """A console to which every string is plain text: `[a-z]` is a rule and `:smile:` a class.

    Control characters are spelt out, and signs that its stream cannot hold are replaced: of strings before they are
    measured, of rich's own `Text` when it is written. A `Panel` parses its title by itself; give it a `Text`.
    """

    def __init__(self, **settings: Any) -> None:
        """Takes the settings of a `rich.console.Console`."""
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """The string as rich text; `Console.print` and the cells of tables come here."""
        return super().render_str(self._shown(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are written; what came in as rich text is made harmless here."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(self._shown(piece.text), piece.style)

    def on_broken_pipe(self) -> None:
        """Says nothing more where nobody reads on; what is being computed goes on."""
        self.quiet = True

    def _shown(self, text: str) -> str:
        return encodable(printable_lines(text), self.encoding)


def wide_console() -> Console:
    """A console on the standard output that folds nothing where the width is unknown (a file, a pipe)."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=_WIDTH_OF_FILES)


def encodable(text: str, encoding: str) -> str:
    """The text with letters that an encoding does not have replaced by ones that are like them, or spelt out.

    >>> encodable('81.2 ± 0.4 % ★ Grün', 'ascii')
    '81.2 +/- 0.4 % * Gr\\\\xfcn'
    """
    return text.encode(encoding, STAND_INS).decode(encoding)


def soften(stream: IO[str] | None) -> None:
    """Lets a text stream write what is like a letter that its encoding does not have, instead of raising."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=STAND_INS)


class _Enduring(io.FileIO):
    """What is written when the reader has gone, the terminal is closed or the disk is full is lost, and no error.

    Attributes:
        lost: why something did not arrive first. None: all did.
    """

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Writes the bytes, or drops them."""
        try:
            return super().write(data)
        except OSError as error:
            self.lost = self.lost or error
            return memoryview(data).nbytes


def enduring(stream: IO[str] | None) -> IO[str] | None:
    """The same stream, to which writing never fails; one that writes to no file descriptor is returned as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw_of = getattr(stream.buffer, 'raw', stream.buffer)
    if type(raw_of) is not io.FileIO:  # the console of Windows has a class of its own
        return stream
    try:
        stream.flush()
        number = stream.fileno()
    except (OSError, ValueError):
        return stream
    raw = _Enduring(number, 'w', closefd=False)
    # `python -u` has no buffer.
    binary: Any = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        binary,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def lost(stream: Any) -> OSError | None:
    """Why something that was written to a stream of `enduring` did not arrive; None where all did."""
    raw = getattr(getattr(stream, 'buffer', None), 'raw', getattr(stream, 'buffer', None))
    return raw.lost if isinstance(raw, _Enduring) else None


def _stand_ins(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return ''.join(_ALIKE.get(one) or one.encode('ascii', 'backslashreplace').decode() for one in letters), error.end


codecs.register_error(STAND_INS, _stand_ins)
