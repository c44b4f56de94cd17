"""What the launch scripts share: configuration flags, one-line errors with exit status 2, and JAX's compilation cache.

Nothing here imports JAX before the configuration has been read and checked.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from jtransfer import config as config_lib
from jtransfer import stopping
from jtransfer.checks import nearest
from jtransfer.config import Config
from jtransfer.config.fields import field_names, unknown_field, wrong_type
from jtransfer.errors import DataWarning, RunWarning, TrainingDivergedError, UserError
from jtransfer.files.paths import expanded
from jtransfer.files.writing import NO_ROOM, refused, unwritten
from jtransfer.out_of_memory import is_out_of_memory, out_of_memory_line
from jtransfer.text.outside import printable, printable_lines, printable_path
from jtransfer.text.terminal import enduring, lost, soften, wide_console

# Flags defined by functions here are those of the script that calls them, and stand in its --help.
flags.disclaim_key_flags()

_SAVED = Path(__file__).with_name('saved_config.py')
# Rights and broken disks, which reading meets as writing does.
_UNTOLD = (errno.EACCES, errno.EPERM, errno.EIO)
# For what no other line is said about.
_SMALLER = 'smaller batches, smaller images, fewer data.workers or a smaller network need less'


def define_config(flag_values: flags.FlagValues = flags.FLAGS) -> Callable[[], Config]:
    """Defines `--config` and its dotted overrides; the function returned gives the checked configuration."""
    holder = config_flags.DEFINE_config_file(
        'config',
        help_string='A Python file with get_config(), a saved config.json, or a run directory.',
        flag_values=flag_values,
    )

    def checked() -> Config:
        if holder.value is None and _config_file(sys.argv):
            raise UserError(f'{_config_file(sys.argv)}: get_config() returned nothing; is a return missing?')
        if holder.value is None:
            raise UserError('--config is missing; --config=configs/quickstart.py is a start')
        if failure := getattr(holder.value, '_error', None):  # config_flags keeps an OSError until here
            raise _fault_of_file(failure, sys.argv) or UserError(f'--config could not be read: {failure}')
        if not isinstance(holder.value, Config):
            raise UserError(f'get_config() must return a jtransfer.config.Config, not a {type(holder.value).__name__}')
        return config_lib.validate(holder.value)

    return checked


def run(main: Callable[..., None], *, arguments: Sequence[str] = ()) -> None:
    """Parses the flags and runs `main`; a person's mistake ends in one line on standard error and status 2.

    Args:
        main: what to run.
        arguments: names of what must stand on the command line besides flags, in order; `main` is called with it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # where a standard stream is closed (`>&-`), XLA would write its notes into the first file that we open
    os.close(number)
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # XLA's notes about the machine are not for the user
    for stream in (sys.stdout, sys.stderr):
        soften(stream)
    # Whoever closes the terminal or reads no more than the first lines (`… | head`) does not end what is computed.
    sys.stdout, sys.stderr = enduring(sys.stdout), enduring(sys.stderr)  # type: ignore[assignment]
    logging.set_verbosity(logging.ERROR)  # what config_flags says of a file, parse() says in a line

    def guarded(argv: Sequence[str]) -> None:
        if not any('verbosity' in part for part in sys.argv):
            logging.set_verbosity(logging.WARNING)  # absl sets INFO, and Orbax would account for every checkpoint
        warnings.filterwarnings('ignore', module='PIL')  # what it finds odd in metadata changes no pixel
        warnings.showwarning = functools.partial(_show, warnings.showwarning)
        cache_compilations()
        try:
            stopping.work(lambda: main(*argv[1:]))
            sys.stdout.flush()
            if (reason := lost(sys.stdout)) and refused(reason):  # and not where the reader has gone
                fail(unwritten('what the script writes or prints', reason))
        except UserError as error:
            fail(error)
        except (MemoryError, RuntimeError, OSError) as error:
            if is_out_of_memory(error):
                complain(f'error: {out_of_memory_line(error, "on the way", _SMALLER)}')
                sys.exit(2)
            if not isinstance(error, OSError):
                raise
            if error.errno in NO_ROOM:
                fail(unwritten(error.filename or 'what the script writes or prints', error))
            if error.errno in _UNTOLD and error.filename:
                fail(UserError(f'{printable_path(os.fsdecode(error.filename))}: {error.strerror}'))
            raise
        except TrainingDivergedError as error:
            complain(f'training stopped: {error}')
            sys.exit(3)

    stopping.listen()
    app.run(guarded, flags_parser=functools.partial(parse, arguments=arguments))


def _show(otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Prints what the library says about the data or a run as a line, and other warnings as Python does."""
    if issubclass(category, DataWarning | RunWarning):
        complain(f'note: {message}')
    elif 'persistent compilation cache' in str(message):  # a full disk, or a file that one has cut off
        folder = os.environ.get('JAX_COMPILATION_CACHE_DIR', '')
        complain(f'note: {message}; it is compiled anew. The cache of compiled programs is {folder}')
    else:
        otherwise(message, category, *where)


def fail(error: Exception) -> NoReturn:
    """Prints the error as one line and leaves with status 2."""
    complain(f'error: {error}')
    sys.exit(2)


def complain(text: str) -> None:
    """Prints a text as one line on standard error."""
    print(printable(' '.join(text.split())), file=sys.stderr)


def cache_compilations() -> None:
    """Lets JAX keep compiled programs in the user's cache, so that the same run starts at once the next time.

    Set through the environment, so that JAX need not be imported for it; what the user has set there stands.
    """
    cache = expanded(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'jtransfer' / 'xla'
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache))
    os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')


def parse(
    argv: Sequence[str], flag_values: flags.FlagValues = flags.FLAGS, *, arguments: Sequence[str] = ()
) -> list[str]:
    """Parses a command line; what is wrong with it, or with the configuration file, ends in one line and status 2."""
    words = list(argv)
    try:
        words = _prepare(words)
        sys.argv[:] = words  # config_flags looks for the overrides there
        rest = flag_values(words)
        if len(rest) > 1 and not arguments:
            raise UserError(f"'{rest[1]}' is not a flag; flags are written --name=value")
        if len(rest) - 1 != len(arguments):
            raise UserError(
                f'{" ".join(arguments)} must stand on the command line, not {" ".join(rest[1:]) or "nothing"}'
            )
        return rest
    except Exception as error:  # a configuration file is a program: it can fail in any way
        fail(_reason(error, words, flag_values))


def _reason(error: Exception, argv: Sequence[str], flag_values: flags.FlagValues) -> Exception:
    """What to tell a person about a command line that could not be parsed."""
    causes = _causes(error)
    told = [cause for cause in causes if isinstance(cause, UserError)]
    if told:
        return told[-1]
    if isinstance(error, flags.UnrecognizedFlagError):
        name = error.flagname.lstrip('-')
        hint = nearest(name, (known for known in flag_values if '.' not in known), before='--')
        return UserError(f"there is no flag '--{name}'.{hint}")
    if reason := _fault_of_file(causes[-1], argv) or _field_error(argv, error):
        return reason
    if isinstance(error, flags.Error):
        return error
    return UserError(f'{_config_file(argv)} could not be read: {type(error).__name__}: {error}')


def _causes(error: BaseException) -> list[BaseException]:
    """An exception and what it wraps, innermost last: config_flags and absl wrap what a configuration file raises."""
    causes = [error]
    while inner := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(inner)
    return causes


def _config_file(argv: Sequence[str]) -> str:
    values = (part.removeprefix('--config=') for part in argv if part.startswith('--config='))
    return next(values, '').partition(':')[0]


def _fault_of_file(cause: BaseException, argv: Sequence[str]) -> UserError | None:
    """The error as one of the configuration file, with the line, where that is where it arose."""
    file = _config_file(argv)
    if isinstance(cause, SyntaxError) and cause.filename == file:
        return UserError(f'{file}, line {cause.lineno}: {cause.msg}')
    if lines := [frame.lineno for frame in traceback.extract_tb(cause.__traceback__) if frame.filename == file]:
        return UserError(f'{file}, line {lines[-1]}: {type(cause).__name__}: {cause}')
    if isinstance(cause, AttributeError) and "'get_config'" in str(cause):
        return UserError(f'{file} does not define get_config()')
    if isinstance(cause, TypeError) and 'get_config()' in str(cause):
        return UserError(f'{file}: {cause}; what stands after the colon in --config=FILE:… is its argument')
    return None


def _prepare(argv: list[str]) -> list[str]:
    """Puts `--config` before its overrides, and a saved config.json or a run directory through `saved_config.py`."""
    argv = [part.replace('-config', '--config', 1) if part.startswith('-config') else part for part in argv]
    for index, part in enumerate(argv[:-1]):
        if part == '--config':
            argv[index : index + 2] = [f'--config={argv[index + 1]}']
            break
    for index, part in enumerate(argv):
        if not part.startswith('--config='):
            continue
        value = part.removeprefix('--config=')
        if not value:
            raise UserError('--config= names no file; --config=configs/quickstart.py is a start')
        path = expanded(value)
        if path.is_dir():
            path = path / 'config.json'
            if not path.exists():
                raise UserError(f'--config={value} is a directory without a config.json: not a run of ours')
        if path.suffix == '.json':
            value = f'{_SAVED}:{path}'
        file = expanded(value.partition(':')[0])
        if not file.is_file():
            folder = file.parent if file.parent.is_dir() else Path('configs')
            known = [str(folder / p.name) for p in sorted(folder.glob('*.py'))] if folder.is_dir() else []
            raise UserError(f'--config={value}: there is no such file.{nearest(str(file), known)}')
        argv[index] = f'--config={file}' + value[len(value.partition(':')[0]) :]
        argv.insert(1, argv.pop(index))
        return argv
    if overrides := [part for part in argv if part.startswith(('--config.', '--noconfig.'))]:
        raise UserError(f'{overrides[0]} needs a --config to change; --config=configs/quickstart.py is a start')
    return argv


def _field_error(argv: Sequence[str], error: Exception) -> UserError | None:
    """Which of the overrides names a field that does not exist, or gives it a value that cannot be."""
    config = Config()
    known = field_names(config)
    for part in argv:
        override = re.match(r'--(?:no)?config\.([^=]*)', part)
        if not override or (name := override[1]) in known:
            continue
        if fields := [field for field in known if field.startswith(f'{name}.')]:
            return UserError(f'{name} is a group of fields; one of them is set by --config.{fields[0]}=…')
        return unknown_field(name, config)
    refused = re.match(r'flag --config\.([\w.]+)=(.*?): ', str(error), re.DOTALL)
    return wrong_type(refused[1], refused[2], config) if refused else None


def say(line: str) -> None:
    """Prints a line, or several, about what is going on."""
    print(printable_lines(line), flush=True)


def show(what: Any) -> None:
    """Prints something rich knows how to lay out."""
    wide_console().print(what)
