"""A run directory: found or made before a run, never overwritten in silence, and readable afterwards.

`config.py` and `config.json` say what was run, `checkpoints/` and `metrics.jsonl` grow while it trains,
`model.safetensors` is there as soon as training ends, and `result.json`, after which only the page is written, says
that the run is finished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pprint
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from jtransfer import config as config_lib
from jtransfer.config import Config
from jtransfer.config.fields import field_names, get_field
from jtransfer.errors import UserError
from jtransfer.experiments.data.split import other_data
from jtransfer.experiments.run.changes import CHANGES, Change, changeable, how_to_change, with_changes
from jtransfer.experiments.run.lock import LOCK, check_free, held
from jtransfer.experiments.run.records import RunRecord, read_result_file, read_split_file
from jtransfer.files.paths import expanded, output_folder
from jtransfer.files.reading import read_json, read_json_object
from jtransfer.files.writing import atomic_text, is_partial, make_folder
from jtransfer.train.logs.log import read_log

CONFIG, PROGRAM, RESULT, SPLIT, FOLDS = 'config.json', 'config.py', 'result.json', 'split.json', 'folds.json'
LOG = 'metrics.jsonl'
_CONFIG_REMEDY = 'config.py beside it says the same, and runs it again in a new directory: --config=…/config.py'
ROOT = Path('runs')

CONTENTS = {
    'report.html': 'curves, figures and diagrams, most-wrong images',
    'evaluation/': 'metrics, tables, predictions',
    'model.safetensors': 'the trained network',
    'adapter.safetensors': 'what of it differs from its base, a small file',
    'metrics.jsonl': 'loss, scores, learning rates, speed',
    'tensorboard/': 'the same for TensorBoard',
    'checkpoints/': 'last and best state, for resuming',
    'plan.txt': 'what was trained and frozen, group by group',
    'split.json': 'which examples were in which part',
    'config.py': 'the configuration; --config=…/config.py reruns it',
    'changes.json': 'what was changed under way, and after which step; config.py has the values since',
    'result.json': 'the numbers above, for programs',
}

# What a person may change between two invocations of one run.
NOT_IDENTITY = ('run_dir', 'train.resume', 'train.progress')


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Where a run is, and in which condition it was found.

    Attributes:
        path: the directory.
        resumes: it holds the unfinished run that is to be continued.
        changes: what is changed in that from now on.
    """

    path: Path
    resumes: bool
    changes: tuple[Change, ...] = ()

    @classmethod
    def find(cls, config: Config) -> RunDirectory:
        """Chooses the directory of a run and checks that nothing there would be lost. Writes nothing.

        Raises:
            UserError: `config.run_dir` holds another configuration, a finished run, or (unless `train.resume=auto`)
                an unfinished one, or anything that is no run; or it is no directory.
        """
        auto = config.train.resume != 'never'
        if not config.run_dir and config.train.resume == 'changed':
            raise UserError('train.resume=changed continues a run that is named: set run_dir to its directory')
        if not config.run_dir:
            taken = _numbered(config.name)
            if auto:
                for number in sorted(taken, reverse=True):
                    if _continues(taken[number], config):
                        check_free(taken[number])
                        check_records(taken[number])
                        return cls(taken[number], resumes=True)
            # One more than the largest: a number that was deleted is not given to another run.
            name = f'{config.name}-{max(taken) + 1}' if taken else config.name
            return cls(ROOT / name, resumes=False)
        path = output_folder(config.run_dir, 'run_dir')
        if holds_nothing(path):
            check_free(path)
            return cls(path, resumes=False)
        if not (path / CONFIG).exists():
            raise UserError(f'run_dir={path} is not empty and holds no run; name a new directory')
        if (path / FOLDS).exists():
            raise UserError(f'run_dir={path} holds a cross-validation, no single run; name a new directory')
        changes = differing(path, config)
        if changes and (config.train.resume != 'changed' or not changeable(changes)):
            raise UserError(
                f'run_dir={path} holds another configuration ({_in_words(changes)}); name another directory'
                + ('' if is_finished(path) else how_to_change(path, changes))
            )
        check_free(path)
        if is_finished(path):
            read_result(path)
            raise UserError(f'run_dir={path} holds a finished run of this configuration; name another directory')
        if not auto:
            raise UserError(
                f'run_dir={path} holds an unfinished run of this configuration; '
                '--config.train.resume=auto continues it, or name another directory'
            )
        check_records(path)
        return cls(path, True, tuple(changes))

    @staticmethod
    def differs(config: Config) -> str:
        """In which field `config.run_dir` holds another configuration, in words; empty when it holds this one."""
        return difference(expanded(config.run_dir), config)

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Keeps other processes out of the directory while the block lasts, see `run_lock.held`."""
        return held(self.path)

    def create(self, config: Config) -> None:
        """Makes the directory and saves the resolved configuration in it; of a run that is resumed, what is missing.

        Raises:
            UserError: another run has taken the directory since it was found, or the run was finished by another.
            WritingError: the directory cannot be made.
        """
        make_folder(self.path)
        if self.resumes and is_finished(self.path):
            raise UserError(f'another process has just finished the run in {self.path}')
        if self.changes:
            write_json(self.path / CHANGES, with_changes(self.path, self.changes))
            write_config(self.path, config)
        elif self.resumes and not (self.path / PROGRAM).exists():
            write_program(self.path, config)
        if self.resumes:
            return
        if not holds_nothing(self.path):
            raise UserError(f'another run has just begun in {self.path}; start this one again')
        write_config(self.path, config)

    def write_split(self, record: dict[str, Any]) -> None:
        """Writes `split.json`, which example is in which part.

        Raises:
            UserError: the run is resumed, and was begun with other examples, or with other labels.
        """
        if self.resumes and (changed := other_data(self.path / SPLIT, record)):
            raise UserError(f'{self.path} was begun with {changed}; train.resume=never starts a new run')
        write_json(self.path / SPLIT, record)

    def finish(self, result: dict[str, Any]) -> None:
        """Writes `result.json`, which marks the run as finished."""
        write_json(self.path / RESULT, result)

    def listing(self) -> list[tuple[str, str]]:
        """(name, what it is) of what the directory holds."""
        return [(name, text) for name, text in CONTENTS.items() if (self.path / name).exists()]


_PROGRAM = '''"""The resolved configuration of a jtransfer run; pass this file to --config to run it again."""

from jtransfer.config import Config, from_dict

VALUES = {values}


def get_config() -> Config:
    """The configuration, as it was run."""
    return from_dict(VALUES)
'''


def write_config(path: Path, config: Config) -> None:
    """Writes `config.json` and `config.py` into a directory.

    In this order: what has a `config.json` says which run it is, and whoever resumes it writes the rest.
    """
    write_json(path / CONFIG, _saved(config))
    write_program(path, config)


def write_program(path: Path, config: Config) -> None:
    """Writes `config.py` alone."""
    values = pprint.pformat(_saved(config), sort_dicts=False, width=100)
    write_text(path / PROGRAM, _PROGRAM.format(values=values))


def _saved(config: Config) -> dict[str, Any]:
    train = dataclasses.replace(config.train, resume='never')
    return config_lib.to_dict(dataclasses.replace(config, run_dir='', train=train))


def holds_nothing(path: Path) -> bool:
    """Whether a folder is missing or empty, but for what a process leaves that was killed before it had begun."""
    return not path.exists() or all(entry.name == LOCK or is_partial(entry.name) for entry in path.iterdir())


def beside_run(config: Config, ending: str) -> Path:
    """Where something is written that belongs to a run, but not into it: its directory's name with an ending."""
    run = expanded(config.run_dir) if config.run_dir else ROOT / config.name
    return run.with_name(run.name + ending)


def is_finished(path: Path) -> bool:
    """Whether a run directory holds a run that came to its end."""
    return (path / RESULT).exists()


def read_config(path: str | Path) -> Config:
    """The configuration saved in a run directory.

    Raises:
        UserError: there is none, or this version does not know one of its fields.
    """
    file = expanded(path) / CONFIG
    if not file.exists():
        raise UserError(f'{path} is not a run directory: it has no readable {CONFIG}')
    values = read_json_object(file, remedy=_CONFIG_REMEDY)
    try:
        return config_lib.from_dict(values)
    except (UserError, RecursionError) as error:
        raise UserError(f'{file}: {error}; {_CONFIG_REMEDY}') from None


def is_run(path: str | Path) -> bool:
    """Whether a directory is a run's; others hold a config.json too, of another kind.

    Raises:
        UserError: its config.json is damaged: nothing of the run would be known.
    """
    file = expanded(path) / CONFIG
    if not file.exists():
        return False
    saved = read_json(file, remedy=_CONFIG_REMEDY)
    return isinstance(saved, dict) and {'transfer', 'optim'} <= set(saved)


def read_result(path: str | Path, needs: Collection[str] = ()) -> dict[str, Any]:
    """The `result.json` of a finished run.

    Args:
        path: of the directory.
        needs: fields that must be in it.

    Raises:
        UserError: the run is not finished, or the file is damaged.
    """
    file = expanded(path) / RESULT
    if not file.exists():
        raise UserError(f'{path} holds no finished run')
    return read_result_file(file, needs)


def read_record(path: str | Path, needs: Collection[str] = ()) -> RunRecord:
    """As `read_result`, in one form whichever version wrote it."""
    return RunRecord(read_result(path, needs))


def check_records(path: Path) -> None:
    """Raises `UserError` for damaged records of an unfinished run, before anything is computed to go on with it."""
    if (path / SPLIT).exists():
        read_split_file(path / SPLIT)
    read_log(path / LOG)


def difference(path: Path, config: Config, besides: Collection[str] = ()) -> str:
    """The first field that makes the saved run another one, in words; empty when it is the same.

    Args:
        path: of the directory.
        config: to compare with what is saved there.
        besides: further fields, dotted, that may differ.
    """
    return _in_words(differing(path, config, besides))


def differing(path: Path, config: Config, besides: Collection[str] = ()) -> list[Change]:
    """The fields that make the saved run another one, with the value there and the value here; see `difference`."""
    there = read_config(path)
    return [
        (field, old, new)
        for field in field_names(config)
        if field not in (*NOT_IDENTITY, *besides)
        and (old := get_field(there, field)) != (new := get_field(config, field))
    ]


def _in_words(differing: Sequence[Change]) -> str:
    if not differing:
        return ''
    field, old, new = differing[0]
    more = f' and {len(differing) - 1} more fields' if len(differing) > 1 else ''
    return f'{field} is {old!r} there and {new!r} here{more}'


def write_json(path: Path, values: Any) -> None:
    """Writes JSON so that the file is there whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + '\n')


def write_text(path: Path, text: str) -> None:
    """Writes text so that the file is there whole or not at all."""
    with atomic_text(path) as file:
        file.write(text)


def _numbered(name: str) -> dict[int, Path]:
    """What `runs` holds under a name, by number; files too, for their names are taken."""
    pattern = re.compile(re.escape(name) + r'(?:-([1-9][0-9]*))?')
    found = [(pattern.fullmatch(path.name), path) for path in (ROOT.iterdir() if ROOT.is_dir() else ())]
    return {int(match[1] or 1): path for match, path in found if match}


def _continues(path: Path, config: Config) -> bool:
    """Whether a path holds an unfinished run of the configuration."""
    if not (path / CONFIG).is_file() or is_finished(path):
        return False
    try:
        return not difference(path, config)
    except UserError:  # not readable, or of another version: in any case not this run
        return False
