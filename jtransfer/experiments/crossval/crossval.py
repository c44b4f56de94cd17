"""Cross-validation of any strategy: a run a fold, and what the folds amount to together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jtransfer import config as config_lib
from jtransfer import stopping
from jtransfer.config import Config
from jtransfer.config.fields import field_names
from jtransfer.data.duplicates import guard
from jtransfer.data.source import Source, SourceLike
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import afterwards, results
from jtransfer.experiments.crossval import side_by_side as crossval_side
from jtransfer.experiments.crossval.divide import DUPLICATES, CrossValidation, check_folds, divide
from jtransfer.experiments.crossval.plans import (
    FoldPlan,
    check_directory,
    find_plan,
    plan_folds,
    prepare_folds,
    without_figure_in,
)
from jtransfer.experiments.crossval.results import CrossResult
from jtransfer.experiments.data.split import other_data, split_of
from jtransfer.experiments.inspect.duplicates import write_duplicates
from jtransfer.experiments.inspect.embedding_duplicates import embedding_pairs
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import (
    CONFIG,
    FOLDS,
    RESULT,
    ROOT,
    SPLIT,
    difference,
    holds_nothing,
    write_config,
    write_json,
)
from jtransfer.experiments.run.lock import check_free, held
from jtransfer.experiments.run.prepare import Prepared
from jtransfer.experiments.run.start import make_model
from jtransfer.experiments.search import search
from jtransfer.experiments.search.sampler import check_sampler
from jtransfer.experiments.search.space import parse_space
from jtransfer.experiments.search.study import need_optuna
from jtransfer.files.paths import output_folder
from jtransfer.pretrained.load import heads

# What may differ between two invocations of one experiment: it changes no fold.
_BESIDES = ('crossval.side_by_side', 'crossval.afterwards')


def run(
    config: Config,
    source: SourceLike | Mapping[str, SourceLike] | None = None,
    *,
    fold: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> CrossResult | None:
    """Cross-validates: each fold is a fine-tuning run of its own, from the same weights.

    With `config.search.space`, each fold first searches for its settings inside its own training part (nested).

    What is finished is kept, what was cut short goes on, and a fold whose directory is gone is run again alone. When
    every fold is finished, their predictions are put together.

    Args:
        config: what to do in every fold, and `config.crossval`.
        source: labelled images in memory, instead of `config.data.source`.
        fold: run this one alone, counted from 0 through the repeats (on one of several hosts, say). None: all.
        say: told, line by line, what is going on.

    Returns:
        What the folds amount to; None as long as some are missing (with `fold`).

    Raises:
        UserError: anything the person asked for that cannot be done; nothing has been written then.
        TrainingDivergedError: the loss or a gradient of a fold became NaN or infinite; the other folds are kept.
    """
    config = config_lib.validate(config)
    if fold is not None and config.crossval.side_by_side:
        both = f'fold={fold} is one fold alone, and crossval.side_by_side trains all of them at once'
        raise UserError(f'{both}: choose one')
    searched = _searched(config)
    folder = output_folder(config.run_dir or ROOT / f'crossval-{config.name}', 'run_dir')
    check_folder(folder, config)
    check_free(folder, shared=fold is not None)
    with stopping.resumable(folder):
        return _cross(config, folder, source, fold, searched, say)


def _cross(
    config: Config,
    folder: Path,
    source: SourceLike | Mapping[str, SourceLike] | None,
    fold: int | None,
    searched: Sequence[str],
    say: Callable[[str], None],
) -> CrossResult | None:
    crossing = divide(config, folder, source, _embedder(config))
    check_folds(folder, crossing)
    every = plan_folds(config, crossing, folder)
    chosen = every if fold is None else (find_plan(every, fold),)
    for plan in chosen:
        check_directory(plan, searched)
    say(_describe(crossing, config))
    for line in (*crossing.notes, *without_figure_in(every)):
        say(line)
    for plan in every:
        if plan.finished:  # of these very images, before time is spent on the rest
            results.read_fold(plan.path, plan.fold, crossing)
            if changed := other_data(plan.path / SPLIT, split_of(plan.parts)):
                raise UserError(f'{plan.path} was run with {changed}: delete it to run it again')
    waiting = [plan for plan in chosen if not plan.finished]
    prepared: tuple[Prepared, ...] = ()
    if waiting:
        side_by_side = config.crossval.side_by_side and len(waiting) > 1
        prepared = prepare_folds(waiting, side_by_side=side_by_side)
        for line in prepared[0].plan.notes:
            say(line)
        afterwards.check(config, crossing, prepared[0].model)
        (folder / RESULT).unlink(missing_ok=True)
    with contextlib.ExitStack() as holding:

        def begin() -> None:
            holding.enter_context(held(folder, shared=fold is not None))
            _begin(folder, config, crossing)

        _run(waiting, prepared, every, config, begin, say)
        if missing := sum(not plan.finished for plan in every):
            say(f'{missing} of {len(every)} folds are still to be run')
            return None
        result = results.gather(config, crossing, folder)
        afterwards.after_folds(config, crossing, result, say=say)
        return result


def _run(
    waiting: Sequence[FoldPlan],
    prepared: Sequence[Prepared],
    every: Sequence[FoldPlan],
    config: Config,
    begin: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Runs what has not been run yet.

    Args:
        waiting: the folds.
        prepared: their runs.
        every: these, and those that have been run or that others run.
        config: of the whole experiment.
        begin: writes what they share, before the first of them.
        say: told about each that is finished.
    """
    if config.crossval.side_by_side and len(waiting) > 1:
        crossval_side.run_side_by_side(prepared, ready=begin, say=say)
        return
    begin()
    run: Prepared | None
    for plan, run in zip(waiting, prepared, strict=True):
        own = plan.config
        if own.search.space:
            where = plan.path.with_name(f'search-{plan.path.name}')
            own = search.search_in(own, plan.parts, where, say, groups=plan.groups)
            run = None  # of these settings it is another
        title = f'{config.name} {plan.path.name} ({every.index(plan) + 1} of {len(every)})'
        # Duplicates are on one side of every fold, unless the person wants none of that.
        trained = finetune.run(own, parts=plan.parts, prepared=run, title=title, look_for_copies=False)
        say(f'{plan.path.name}: {trained.headline}')


def _searched(config: Config) -> tuple[str, ...]:
    """The fields that a search inside each fold sets, if there is one.

    Raises:
        UserError: a space that cannot be, or what does not go with a search in every fold.
    """
    if not config.search.space:
        return ()
    for asked, what in (
        (config.crossval.side_by_side, 'crossval.side_by_side=true, for folds would have settings of their own'),
        (config.crossval.afterwards == 'refit', 'crossval.afterwards=refit, which needs one setting for all'),
    ):
        if asked:
            raise UserError(f'a search in every fold (search.space) does not go with {what}')
    need_optuna()
    space = parse_space(config)
    check_sampler(config.search.sampler, space)
    fields = {dimension.field for dimension in space} | {'train.steps', 'train.epochs'}
    return (*sorted(fields), *(f'search.{name}' for name in field_names(config.search)))


def check_folder(folder: Path, config: Config) -> None:
    """Raises `UserError` if a folder holds anything but this very experiment, finished or not."""
    if not folder.exists() or (folder.is_dir() and holds_nothing(folder)):
        return
    if not folder.is_dir() or not (folder / CONFIG).exists():
        raise UserError(f'{folder} is not empty and holds no cross-validation; name a new directory with run_dir')
    if not (folder / FOLDS).exists() and (folder / SPLIT).exists():
        raise UserError(f'{folder} holds a single run, no cross-validation; name another directory with run_dir')
    if differs := difference(folder, config, _BESIDES):
        raise UserError(f'{folder} holds another cross-validation ({differs}); name another directory with run_dir')


def _begin(folder: Path, config: Config, crossing: CrossValidation) -> None:
    """Writes what every fold shares and is not there yet; folds on several hosts may all come by here."""
    write_config(folder, config)
    if crossing.guard is not None and not (folder / DUPLICATES).exists():
        if crossing.guard.found.pairs:
            write_duplicates(
                folder / 'duplicates.html',
                crossing.guard.everything,
                crossing.guard.found,
                assignment=assignment(crossing),
                title=f'Duplicates in {config.data.source}',
            )
        write_json(folder / DUPLICATES, guard.to_record(crossing.guard))
    if not (folder / FOLDS).exists():
        write_json(folder / FOLDS, crossing.record)


def assignment(crossing: CrossValidation) -> list[str]:
    """The part, or the fold of the first repeat, of every example that duplicates were looked for among."""
    assert crossing.guard is not None
    names = ['set apart' if part == 'train' else part for part in crossing.guard.parts]
    start = crossing.guard.parts.index('train')
    for fold in crossing.folds:
        if fold.repeat == 0:
            for position in crossing.pool.indices[fold.test]:
                names[start + int(position)] = f'fold {fold.number}'
    return names


def _embedder(config: Config) -> Callable[[Source], list[guard.Pair]] | None:
    """What finds pairs of alike pictures by the configured network's features, if it is asked to."""
    similarity = config.crossval.duplicate_embeddings
    if not similarity:
        return None

    if config.transfer.strategy == 'scratch':
        raise UserError('crossval.duplicate_embeddings needs pretrained weights: transfer.strategy=scratch has none')

    def pairs(source: Source) -> list[guard.Pair]:
        backbone = make_model(config, source.class_names, source.tasks)
        return embedding_pairs(source, backbone, similarity=similarity, batch_size=config.evaluate.batch_size)

    return pairs


def _describe(crossing: CrossValidation, config: Config) -> str:
    apart = [(crossing.validation, 'to choose checkpoints by'), (crossing.test, 'to test on afterwards')]
    if crossing.chooser is not crossing.validation:
        apart.append((crossing.chooser, 'to choose a soup by'))
    more = [f'{len(part):,} {use}' for part, use in apart if part is not None]
    repeats = crossing.repeats
    folds = f'{len(crossing.folds) // repeats} folds' + (f' × {repeats} repeats' if repeats > 1 else '')
    sizes = '; '.join([f'{len(crossing.pool):,} images in {folds} ({crossing.record["splitter"]})', *more])
    return f'{config.data.source}: {heads.in_words(crossing.pool.tasks)}; {sizes}'
