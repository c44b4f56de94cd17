"""What the launch scripts share: configuration flags, one-line errors with exit status 2, and JAX's compilation cache.

Nothing here imports JAX before the configuration has been read and checked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from jtransfer import config as config_lib
from jtransfer.config import Config
from jtransfer.config_check import field_names, nearest, unknown_field
from jtransfer.errors import TrainingDivergedError, UserError

_SAVED = Path(__file__).with_name('saved_config.py')


def define_config() -> Callable[[], Config]:
    """Defines `--config` and its dotted overrides; the function returned gives the checked configuration."""
    holder = config_flags.DEFINE_config_file(
        'config', help_string='A Python file with get_config(), a saved config.json, or a run directory.'
    )

    def checked() -> Config:
        if holder.value is None:
            raise UserError('--config is missing; --config=configs/quickstart.py is a start')
        return config_lib.validate(holder.value)

    return checked


def run(main: Callable[[], None]) -> None:
    """Parses the flags and runs `main`; a person's mistake ends in one line on standard error and status 2."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # XLA's notes about the machine are not for the user

    def guarded(_: Sequence[str]) -> None:
        if not any('verbosity' in part for part in sys.argv):
            logging.set_verbosity(logging.WARNING)  # absl sets INFO, and Orbax would account for every checkpoint
        try:
            cache_compilations()
            main()
        except UserError as error:
            fail(error)
        except TrainingDivergedError as error:
            print(f'training stopped: {error}', file=sys.stderr)
            sys.exit(3)
        except KeyboardInterrupt:
            print('interrupted; --config.train.resume=auto continues from the last checkpoint', file=sys.stderr)
            sys.exit(130)

    app.run(guarded, flags_parser=_parse)


def fail(error: Exception) -> None:
    """Prints the error as one line and leaves with status 2."""
    print('error: ' + ' '.join(str(error).split()), file=sys.stderr)
    sys.exit(2)


def cache_compilations() -> None:
    """Lets JAX keep compiled programs in the user's cache, so that the same run starts at once the next time.

    Set through the environment, so that JAX need not be imported for it; what the user has set there stands.
    """
    cache = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'jtransfer' / 'xla'
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache))
    os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        sys.argv[:] = _prepare(list(argv))  # config_flags looks for the overrides there
        rest = flags.FLAGS(sys.argv)
        if len(rest) > 1:
            raise UserError(f"'{rest[1]}' is not a flag; flags are written --name=value")
        return rest
    except UserError as error:
        fail(error)
    except KeyError as error:
        fail(_field_error(argv, error))
    except flags.UnrecognizedFlagError as error:
        hint = nearest(error.flagname.lstrip('-'), (n for n in flags.FLAGS if '.' not in n))
        fail(UserError(f"there is no flag '--{error.flagname.lstrip('-')}'.{hint}"))
    except flags.Error as error:
        fail(error)
    except (SyntaxError, ImportError, AttributeError, TypeError, ValueError) as error:
        fail(UserError(f'the configuration file could not be read: {type(error).__name__}: {error}'))
    raise AssertionError('unreachable: fail() leaves')


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
        path = Path(value).expanduser()
        if path.is_dir():
            path = path / 'config.json'
            if not path.exists():
                raise UserError(f'--config={value} is a directory without a config.json: not a run of ours')
        if path.suffix == '.json':
            value = f'{_SAVED}:{path}'
        file = Path(value.partition(':')[0])
        if not file.exists():
            folder = file.parent if file.parent.is_dir() else Path('configs')
            known = [str(folder / p.name) for p in sorted(folder.glob('*.py'))] if folder.is_dir() else []
            raise UserError(f'--config={value}: there is no such file.{nearest(str(file), known)}')
        argv[index] = f'--config={value}'
        argv.insert(1, argv.pop(index))
        return argv
    if overrides := [part for part in argv if part.startswith('--config.')]:
        raise UserError(f'{overrides[0]} needs a --config to change; --config=configs/quickstart.py is a start')
    return argv


def _field_error(argv: Sequence[str], error: Exception) -> Exception:
    """Which of the overrides names a field that does not exist, and what it may have meant."""
    known = field_names(Config())
    groups = {name.rpartition('.')[0] for name in known}
    for part in argv:
        name = part.removeprefix('--config.').partition('=')[0]
        if part.startswith('--config.') and name not in known and name not in groups:
            return unknown_field(name, Config())
    return UserError(f'the configuration file could not be read: KeyError: {error}')


def say(line: str) -> None:
    """Prints a line about what is going on."""
    print(line, flush=True)


def show(what: Any) -> None:
    """Prints something rich knows how to lay out."""
    from rich.console import Console

    Console(highlight=False).print(what)
