"""A hyper-parameter search inside the training part, then one run with what it found, tested once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock

from jtransfer import config as config_lib
from jtransfer import stopping
from jtransfer.config import Config
from jtransfer.data.parts import Parts, load_parts
from jtransfer.data.source import SourceLike
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.experiments.data.checking import check_data
from jtransfer.experiments.data.data_lines import describe_parts
from jtransfer.experiments.data.split import other_data, split_of
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import (
    CONFIG,
    RESULT,
    ROOT,
    SPLIT,
    difference,
    is_finished,
    read_record,
    write_config,
    write_json,
)
from jtransfer.experiments.run.records import RunRecord
from jtransfer.experiments.search.judge import Judge, Verdict, labels_of, make_judge
from jtransfer.experiments.search.plot import plot
from jtransfer.experiments.search.report import best_trial, counted, in_words, write_trials
from jtransfer.experiments.search.sampler import grid_size
from jtransfer.experiments.search.space import Dimension, parse_space, settled
from jtransfer.experiments.search.study import BESIDES, JOURNAL, Study, TrialRecord, need_optuna, open_study
from jtransfer.experiments.sweep.summary import short_names
from jtransfer.files.paths import output_folder
from jtransfer.files.record_types import SCHEMA
from jtransfer.files.writing import is_partial, make_folder
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.text.outside import count_of
from jtransfer.transfer.set_aside import for_weights, random_weights_notes

TRIALS, PLOT, BEST, FOUND, FOLDS = 'trials.csv', 'search.png', 'best', 'best.json', 'inner_folds.json'

# A setting that diverges or is too large for the device says nothing about the others.
FAILURES = (UserError, TrainingDivergedError, jax.errors.JaxRuntimeError, MemoryError)
_LOCK = '.best.lock'
STRATEGY = 'transfer.strategy'


@dataclasses.dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        config: the configuration with the best settings, without a search.
        folder: of the search.
        space: what was varied.
        trials: all of them, in order.
        best: the one with the largest score.
        score: what the score of a trial is.
        result: the `result.json` of the run with the best settings; None where trials of other machines are still at
            work, the last of which makes that run.
    """

    config: Config
    folder: Path
    space: tuple[Dimension, ...]
    trials: tuple[TrialRecord, ...]
    best: TrialRecord
    score: Figure
    result: RunRecord | None


def run(
    config: Config,
    source: SourceLike | Mapping[str, SourceLike] | None = None,
    *,
    parts: Parts | None = None,
    folder: str | Path = '',
    say: Callable[[str], None] = lambda line: None,
) -> SearchResult:
    """Searches, then trains with the best settings and tests that network once.

    Every trial starts from the same weights, with the same seed, on the same parts and folds. The images of the test
    part are not read before the settings are found. A search that was stopped goes on; more `search.trials` than before
    continue it.

    Args:
        config: the configuration, and `config.search`.
        source: labelled images in memory, instead of `config.data.source`.
        parts: data that are divided already, instead of either.
        folder: where it is written. Empty: `config.run_dir`, or `runs/search-NAME`.
        say: told, line by line, what is going on.

    Raises:
        UserError: anything the person asked for that cannot be done, or no trial came to its end.
        TrainingDivergedError: the run with the best settings did.
    """
    need_optuna()
    config = config_lib.validate(config)
    space = parse_space(config)
    folder = output_folder(folder or config.run_dir or ROOT / f'search-{config.name}', 'run_dir')
    check_folder(folder, config)
    if is_finished(folder / BEST):
        read_record(folder / BEST)  # before time is spent on trials
    with stopping.resumable(folder):
        parts = parts or load_parts(config.data, config.seed, source)
        return _search(config, space, parts, folder, say)


def _search(
    config: Config, space: tuple[Dimension, ...], parts: Parts, folder: Path, say: Callable[[str], None]
) -> SearchResult:
    check_data(parts)
    judge = make_judge(config, parts)
    study = _begin(config, space, parts, judge, folder, say)
    for line in (*describe_parts(parts, config.data.source), _describe(config, judge), *judge.notes):
        say(line)
    (folder / RESULT).unlink(missing_ok=True)
    _optimise(study, config, space, judge, say)
    trials, best = _write(study, space, judge, folder)
    chosen = settled(config, best.fields)
    result = None
    if at_work := sum(trial.state == 'running' for trial in trials):
        say(f'{at_work} still at work elsewhere: the last to end, or this command again, runs the best settings')
    else:
        judge.start.let_go()  # that run has a network of its own
        result = _run_best(chosen, parts, folder, say)
        write_json(folder / RESULT, _record(trials, best, judge, result))
    return SearchResult(chosen, folder, space, trials, best, judge.score, result)


def search_in(
    config: Config,
    parts: Parts,
    folder: str | Path,
    say: Callable[[str], None] = lambda line: None,
    *,
    groups: Sequence[str] | None = None,
) -> Config:
    """The search alone, inside one fold of a nested cross-validation.

    What was found already is kept; trials that others are at work on are waited for.

    Args:
        config: of the fold.
        parts: of the fold; the test part is not looked at.
        folder: where the study, the table and the plot go; its name tells the folds' studies apart in a shared storage.
        say: told, line by line, what is going on.
        groups: of the examples of the training part, what no inner fold divides. None: the source's own, joined by
            duplicates unless `data.duplicates` says otherwise.

    Returns:
        The configuration with the best settings, and nothing left to search for.

    Raises:
        UserError: as `run`.
    """
    need_optuna()
    config = config_lib.validate(config)
    space, folder = parse_space(config), Path(folder)
    check_folder(folder, config)
    judge = make_judge(config, parts, groups)
    study = _begin(config, space, parts, judge, folder, say, name=f'{config.name}-{folder.name}')
    _optimise(study, config, space, judge, say)
    while any(trial.state == 'running' for trial in study.trials()):
        time.sleep(1)
        _optimise(study, config, space, judge, say)
    _, best = _write(study, space, judge, folder)
    return settled(config, best.fields)


def check_folder(folder: Path, config: Config) -> None:
    """Raises `UserError` if a folder holds anything but this very search, finished or not."""
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if all(name.startswith(JOURNAL) or is_partial(name) for name in there):  # the journal has a lock beside it
        return
    if CONFIG not in there or SPLIT in there or 'folds.json' in there:
        raise UserError(f'{folder} is not empty and holds no search; name a new directory with run_dir')
    if differs := difference(folder, config, BESIDES):
        raise UserError(f'{folder} holds another search ({differs}); name another directory with run_dir')


def _begin(
    config: Config,
    space: tuple[Dimension, ...],
    parts: Parts,
    judge: Judge,
    folder: Path,
    say: Callable[[str], None],
    name: str = '',
) -> Study:
    """Checks what would stop every trial, opens the study, and writes what is known before the first one."""
    notes = judge.check(settled(config, {}), parts)
    if any(each.field == STRATEGY and 'scratch' in each.choices for each in space):
        notes = random_weights_notes(for_weights(dataclasses.replace(config.transfer, strategy='scratch'))[1])
    for line in notes:
        say(line)
    study = open_study(config, space, judge.digest(parts), folder, name=name, labels=labels_of(parts))
    make_folder(folder)
    write_config(folder, config)
    if judge.record is not None:
        write_json(folder / FOLDS, judge.record)
    return study


def _optimise(
    study: Study, config: Config, space: tuple[Dimension, ...], judge: Judge, say: Callable[[str], None]
) -> None:
    wanted = config.search.trials
    if config.search.sampler == 'grid':
        wanted = min(wanted, grid_size(space))
    names = short_names([dimension.field for dimension in space])

    def objective(fields: Mapping[str, Any], report: Callable[[int, float], None]) -> Verdict:
        return judge(settled(config, fields), report)

    def told(trial: TrialRecord) -> None:
        settings = ', '.join(f'{names[field]}={in_words(value)}' for field, value in trial.fields.items())
        outcome = trial.error or trial.state
        if trial.state == 'complete' and trial.score is not None:
            outcome = judge.score.tell(trial.score)
        say(f'[{trial.number + 1}/{wanted}] {settings}: {outcome}')

    study.optimise(wanted, objective, FAILURES, told)


def _write(
    study: Study, space: tuple[Dimension, ...], judge: Judge, folder: Path
) -> tuple[tuple[TrialRecord, ...], TrialRecord]:
    """Writes the table, the plot and the best settings; returns the trials and the best of them."""
    trials = study.trials()
    write_trials(folder / TRIALS, trials, space)
    plot(folder / PLOT, trials, space, judge.score)
    best = best_trial(trials)
    if best is None:
        why = next((f'; the last one failed: {trial.error}' for trial in reversed(trials) if trial.error), '')
        raise UserError(f'no trial of the search came to its end ({counted(trials)}){why}')
    write_json(folder / FOUND, _found(best, judge))
    return trials, best


def _run_best(config: Config, parts: Parts, folder: Path, say: Callable[[str], None]) -> RunRecord:
    """Runs the best settings, unless that has been done; what was best before, or of other data, is set aside."""
    path = folder / BEST
    config = dataclasses.replace(config, run_dir=str(path), train=dataclasses.replace(config.train, resume='auto'))
    with FileLock(folder / _LOCK):  # another process may have ended its last trial at the same time
        if (path / CONFIG).exists() and (difference(path, config) or other_data(path / SPLIT, split_of(parts))):
            number = next(n for n in range(1, 10**6) if not (folder / f'{BEST}-before-{n}').exists())
            path.rename(folder / f'{BEST}-before-{number}')
        if not is_finished(path):
            say('the best settings, on the training part:')
            say(finetune.run(config, parts=parts, say=say, title=f'{config.name} {BEST}').headline)
    return read_record(path, ('part', 'examples', 'score_name', 'score'))


def _found(best: TrialRecord, judge: Judge) -> dict[str, Any]:
    return {'trial': best.number, 'score': best.score, 'judged_by': judge.by, 'fields': best.fields}


def _record(trials: Sequence[TrialRecord], best: TrialRecord, judge: Judge, result: RunRecord) -> dict[str, Any]:
    states = ('complete', 'pruned', 'failed', 'lost')
    return {
        'schema': SCHEMA,
        'trials': {state: sum(trial.state == state for trial in trials) for state in states},
        'best': _found(best, judge),
        'seconds': sum(trial.seconds or 0.0 for trial in trials),
        'part': result['part'],
        'examples': result['examples'],
        **result.score.record(),
        'loss': result['loss'],
        'versions': finetune.versions(),
    }


def _describe(config: Config, judge: Judge) -> str:
    varied = count_of(len(config.search.space), 'field')
    return f'{count_of(config.search.trials, "trial")} over {varied}, judged by the {judge.by}'
