"""An Optuna study: opened for this very search, worked on by one process or several, and read as plain records."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jtransfer import config as config_lib
from jtransfer.config import Config
from jtransfer.config.fields import field_names, get_field
from jtransfer.errors import UserError, WritingError
from jtransfer.experiments.run.directory import NOT_IDENTITY
from jtransfer.experiments.search.sampler import check_sampler, make_pruner, make_sampler
from jtransfer.experiments.search.space import Dimension
from jtransfer.files.paths import output_file
from jtransfer.files.reading import parse_json
from jtransfer.files.record_types import NUMBER
from jtransfer.files.writing import alive, make_folder, refused, unwritten

JOURNAL = 'study.journal'
_REMEDY = 'give the search another name, or another search.storage'
# What may differ between two invocations, or two machines, of one search.
BESIDES = (*NOT_IDENTITY, 'search.trials', 'search.storage', 'data.data_dir', 'data.cache_dir')
_CONFIG, _DATA, _LABELS, _ERROR, _LOSS, _PROCESS = 'config', 'data', 'labels', 'error', 'loss', 'process'
# A running trial of another machine that takes so many times the longest finished one is taken for lost.
_PATIENCE, _AT_LEAST = 3, 60.0
_MAX_PID_DIGITS = 9
# What Optuna says of a journal with damaged entries.
_DAMAGE = (LookupError, TypeError, AttributeError, AssertionError)

Objective = Callable[[Mapping[str, Any], Callable[[int, float], None]], float | tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: from 0, in the order in which they began.
        state: `complete`, `pruned` (ended early, for it fell behind), `failed`, `running`, or `lost` (its process is
            gone).
        score: what it was judged by; of a pruned one the last it reached; None where there is none.
        fields: its settings by dotted name; choices as texts. Empty before they were drawn.
        seconds: how long it took, None where it has not ended.
        started: date and time, local, ISO 8601; empty before it began.
        error: why it failed, else empty.
        loss: beside the score, of a complete one; None where it is not known.
    """

    number: int
    state: str
    score: float | None
    fields: dict[str, Any]
    seconds: float | None
    started: str
    error: str
    loss: float | None = None


class Study:
    """A study of Optuna, with what this process needs to work on it."""

    def __init__(self, study: Any, space: Sequence[Dimension], where: str = 'the study') -> None:
        """Wraps a study, which is written somewhere; `open_study` makes it."""
        self._study, self._space, self._where = study, tuple(space), where

    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials so far, in the order of their numbers."""
        with quiet():
            frozen = self._study.get_trials(deepcopy=False)
        longest = max((t.duration.total_seconds() for t in frozen if t.duration is not None), default=0.0)
        return tuple(_record(trial, longest) for trial in frozen)

    def optimise(
        self,
        trials: int,
        objective: Objective,
        failures: tuple[type[Exception], ...],
        told: Callable[[TrialRecord], None] = lambda record: None,
    ) -> None:
        """Takes trials until there are so many, of all processes, finished or at work; failed and pruned ones count.

        A trial whose process is gone does not count.

        Args:
            trials: how many.
            objective: from the fields of a trial, and a function that is told intermediate scores (number from 1, and
                score) and ends the trial where it falls behind, to its score, larger is better, with or without a loss.
            failures: what the objective may raise without an end to the search; the trial is then a failed one.
            told: called after every trial of this process.
        """
        while sum(record.state != 'lost' for record in self.trials()) < trials:
            try:
                with quiet():
                    number = self._take(objective, failures)
            except OSError as error:
                if not refused(error):
                    raise
                raise unwritten(error.filename or self._where, error) from error
            told(self.trials()[number])

    def _take(self, objective: Objective, failures: tuple[type[Exception], ...]) -> int:
        """One trial. Where it is interrupted it remains at work, which nobody is: it is lost, and taken again."""
        import optuna

        trial = self._study.ask()
        trial.set_user_attr(_PROCESS, _this_process())

        def report(step: int, score: float) -> None:
            trial.report(score, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            found = objective({each.field: _suggest(trial, each) for each in self._space}, report)
            score, loss = found if isinstance(found, tuple) else (found, math.nan)
        except optuna.TrialPruned:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except WritingError:
            raise  # it says nothing about the trial, and the next would not be written either
        except failures as error:
            trial.set_user_attr(_ERROR, (str(error).splitlines() or [type(error).__name__])[0])
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            if math.isfinite(loss):
                trial.set_user_attr(_LOSS, loss)
            self._study.tell(trial, score)
        return trial.number


def need_optuna() -> None:
    """Raises `UserError` where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UserError("a search needs Optuna: pip install 'jtransfer[search]'") from None


def open_study(
    config: Config,
    space: Sequence[Dimension],
    data: str,
    folder: Path,
    *,
    name: str = '',
    seed: int | None = None,
    labels: str = '',
) -> Study:
    """Opens the study of a search, or begins it.

    The trial of a number draws its settings by (seed, number) and the trials before it, so that a single process that
    was stopped goes on as if it had not been, and several draw different ones.

    Args:
        config: of the search.
        space: of `parse_space`.
        data: a hash of the parts and folds.
        folder: where it is kept unless `search.storage` names another place; made if it is not there.
        name: of the study. Empty: `config.name`.
        seed: of the sampler. None: `search.seed`, or the configuration's.
        labels: a hash of the labels. Empty: they are not compared, nor those of a study of an earlier version.

    Raises:
        UserError: Optuna is missing, a sampler that does not fit the space, a place that cannot be used, or a study of
            this name that is of another configuration or of other data.
    """
    need_optuna()
    import optuna

    own = config.seed if config.search.seed is None else config.search.seed
    check_sampler(config.search.sampler, space)
    with quiet():
        sampler = make_sampler(config.search.sampler, space, own if seed is None else seed)
        study = _reaching(
            config.search.storage or str(folder / JOURNAL),
            lambda: optuna.create_study(
                storage=_storage(config.search.storage, folder),
                sampler=sampler,
                pruner=make_pruner(config.search.pruner),
                study_name=name or config.name,
                direction='maximize',
                load_if_exists=True,
            ),
        )
        _check_same(study, config, data, labels)
    return Study(study, space, config.search.storage or str(folder / JOURNAL))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Optuna's log says no more than errors while the block lasts; how much it said before holds afterwards."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _storage(text: str, folder: Path) -> Any:
    """Optuna's storage at a URL or in a file."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if text.startswith('sqlite:///') and ':memory:' not in text:
        name, *query = text.removeprefix('sqlite:///').split('?', 1)
        database = output_file(name, 'search.storage')
        make_folder(database.parent)
        text = '?'.join([f'sqlite:///{database}', *query])
    if '://' in text:
        return RDBStorage(text)
    path = output_file(text, 'search.storage') if text else folder / JOURNAL
    if path.exists() and path.stat().st_size:
        with path.open('rb') as file:
            if file.read(1) != b'{':
                raise UserError(f'search.storage={text} is a file of something else; a database is sqlite:///{path}')
    make_folder(path.parent)
    return JournalStorage(JournalFileBackend(str(path)))


def _reaching(text: str, make: Callable[[], Any]) -> Any:
    """What `make` returns; a storage that cannot be reached or read is one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return make()
    except ImportError as error:
        raise UserError(f'search.storage={text} needs a package that is not installed: {error}') from None
    except UserError:
        raise
    except (SQLAlchemyError, OSError, ValueError, RuntimeError, *_DAMAGE) as error:
        reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
        raise UserError(f'search.storage={text} cannot be used: {reason}') from None


def _check_same(study: Any, config: Config, data: str, labels: str) -> None:
    """Writes down what the study is of; raises `UserError` if that is something else already."""
    found = study.user_attrs
    if _CONFIG in found:
        there = _config_of(study)
        for field in field_names(config):
            old, new = get_field(there, field), get_field(config, field)
            if field not in BESIDES and old != new:
                raise UserError(
                    f"the study '{study.study_name}' is of another configuration ({field} is {old!r} there and {new!r} "
                    'here): give it another name, or another search.storage'
                )
        if found.get(_DATA) != data:
            raise UserError(f"the study '{study.study_name}' is of other images, or of another division of them")
        if labels and found.get(_LABELS, labels) != labels:
            raise UserError(f"the study '{study.study_name}' is of other labels than its images have now: {_REMEDY}")
        return
    # In this order: what has a configuration is complete.
    study.set_user_attr(_DATA, data)
    study.set_user_attr(_LABELS, labels)
    study.set_user_attr(_CONFIG, json.dumps(config_lib.to_dict(config)))


def _config_of(study: Any) -> Config:
    name = f"the study '{study.study_name}'"
    text = study.user_attrs[_CONFIG]
    values = parse_json(text if isinstance(text, str) else '', f'the configuration of {name}', remedy=_REMEDY)
    try:
        return config_lib.from_dict(values)
    except (UserError, RecursionError) as error:
        raise UserError(f'{name}: {error}; {_REMEDY}') from None


def _suggest(trial: Any, dimension: Dimension) -> Any:
    if dimension.choices:
        return trial.suggest_categorical(dimension.field, dimension.choices)
    if dimension.whole:
        return trial.suggest_int(dimension.field, int(dimension.low), int(dimension.high), log=dimension.logarithmic)
    return trial.suggest_float(dimension.field, dimension.low, dimension.high, log=dimension.logarithmic)


def _record(trial: Any, longest: float) -> TrialRecord:
    state = {'COMPLETE': 'complete', 'PRUNED': 'pruned', 'FAIL': 'failed'}.get(trial.state.name, 'running')
    score = trial.value if state == 'complete' else None
    if state == 'pruned' and trial.intermediate_values:
        score = trial.intermediate_values[max(trial.intermediate_values)]
    if state == 'running' and not _alive(trial, longest):
        state = 'lost'
    return TrialRecord(
        number=trial.number,
        state=state,
        score=score,
        fields=dict(trial.params),
        seconds=None if trial.duration is None else trial.duration.total_seconds(),
        started='' if trial.datetime_start is None else trial.datetime_start.isoformat(timespec='seconds'),
        error=str(trial.user_attrs.get(_ERROR, '')),
        loss=loss if NUMBER.holds(loss := trial.user_attrs.get(_LOSS)) else None,
    )


def _this_process() -> str:
    return f'{socket.gethostname()} {os.getpid()}'


def _alive(trial: Any, longest: float) -> bool:
    """Whether another process still works on a running trial, as far as one can know."""
    host, _, number = str(trial.user_attrs.get(_PROCESS, '')).rpartition(' ')
    if not number.isdecimal() or len(number) > _MAX_PID_DIGITS:
        return False
    if host == socket.gethostname():
        if int(number) == os.getpid():
            return False  # this process takes one after another: it was interrupted in it
        return alive(int(number))
    if trial.datetime_start is None:
        return False
    taken = (datetime.datetime.now() - trial.datetime_start).total_seconds()
    return taken < max(_PATIENCE * longest, _AT_LEAST)
