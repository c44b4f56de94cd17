"""Cross-validation of any strategy: a run a fold, and what the folds amount to together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from jtransfer import config as config_lib
from jtransfer.config import Config
from jtransfer.config_crossval import CrossVal
from jtransfer.data import leaks
from jtransfer.data.folds import Fold
from jtransfer.data.source import Source
from jtransfer.errors import UserError
from jtransfer.experiments import crossval_results, crossval_side, finetune
from jtransfer.experiments.after_folds import after_folds
from jtransfer.experiments.crossval_plan import (
    DUPLICATES,
    FOLDS,
    Crossing,
    find_fold,
    fold_config,
    fold_name,
    prepare,
    tasks_names,
)
from jtransfer.experiments.crossval_results import CrossResult
from jtransfer.experiments.duplicate_report import write_duplicates
from jtransfer.experiments.embedding_duplicates import embedding_pairs
from jtransfer.experiments.run_dir import (
    CONFIG,
    ROOT,
    RunDirectory,
    difference,
    is_finished,
    write_config,
    write_json,
)

# What may differ between two sittings of one experiment: it changes no fold.
_BESIDES = ('crossval.side_by_side', 'crossval.afterwards')


def run(
    config: Config,
    source: Source | Mapping[str, Source] | None = None,
    *,
    fold: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> CrossResult | None:
    """Cross-validates: each fold is a fine-tuning run of its own, from the same weights.

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
        raise UserError('--fold runs one fold alone, and crossval.side_by_side all of them at once: choose one')
    folder = Path(config.run_dir).expanduser() if config.run_dir else ROOT / f'crossval-{config.name}'
    check_folder(folder, config)
    crossing = prepare(config, folder, source, _embedder(config))
    chosen = crossing.folds if fold is None else (find_fold(crossing, fold),)
    say(_describe(crossing, config))
    for line in crossing.notes:
        say(line)
    planned = [(each, crossing.parts(each, config), fold_config(config, crossing, each, folder)) for each in chosen]
    for _, _, own in planned:
        _check_run(own)
    _begin(folder, config, crossing)
    waiting = [entry for entry in planned if not is_finished(Path(entry[2].run_dir))]
    if config.crossval.side_by_side and len(waiting) > 1:
        crossval_side.run_side_by_side([parts for _, parts, _ in waiting], [own for _, _, own in waiting], say=say)
    else:
        for _, parts, own in waiting:
            trained = finetune.run(own, parts=parts)
            say(f'{Path(own.run_dir).name}: {trained.headline}')
    missing = [each for each in crossing.folds if not is_finished(_directory(config, crossing, each, folder))]
    if missing:
        say(f'{len(missing)} of {len(crossing.folds)} folds are still to be run')
        return None
    result = crossval_results.gather(config, crossing, folder)
    after_folds(config, crossing, result, say=say)
    return result


def check_folder(folder: Path, config: Config) -> None:
    """Raises `UserError` if a folder holds anything but this very experiment, finished or not."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir() or not (folder / CONFIG).exists():
        raise UserError(f'{folder} is not empty and holds no cross-validation; name a new directory with run_dir')
    if differs := difference(folder, config, _BESIDES):
        raise UserError(f'{folder} holds another cross-validation ({differs}); name another directory with run_dir')


def _begin(folder: Path, config: Config, crossing: Crossing) -> None:
    """Writes what every fold shares; folds on several hosts may all come by here."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, config)
    if crossing.guard is not None:
        write_json(folder / DUPLICATES, leaks.to_record(crossing.guard))
        if crossing.guard.found.pairs:
            write_duplicates(
                folder / 'duplicates.html',
                crossing.guard.everything,
                crossing.guard.found,
                assignment=assignment(crossing),
                title=f'Duplicates in {config.data.source}',
            )
    if (folder / FOLDS).exists() and json.loads((folder / FOLDS).read_text()) != crossing.record:
        raise UserError(f'{folder / FOLDS} has other folds than this configuration makes; name another run_dir')
    write_json(folder / FOLDS, crossing.record)


def assignment(crossing: Crossing) -> list[str]:
    """The part, or the fold of the first repeat, of every example that duplicates were looked for among."""
    assert crossing.guard is not None
    names = ['set apart' if part == 'train' else part for part in crossing.guard.parts]
    start = crossing.guard.parts.index('train')
    for fold in crossing.folds:
        if fold.repeat == 0:
            for position in crossing.pool.indices[fold.test]:
                names[start + int(position)] = f'fold {fold.number}'
    return names


def _directory(config: Config, crossing: Crossing, fold: Fold, folder: Path) -> Path:
    return folder / fold_name(fold, 1 + max(each.repeat for each in crossing.folds))


def _check_run(config: Config) -> None:
    """Raises `UserError` where a fold's directory holds anything but its run."""
    path = Path(config.run_dir)
    if not is_finished(path):
        RunDirectory.find(config)
    elif differs := RunDirectory.differs(config):
        raise UserError(f'{path} holds a finished run of another configuration ({differs}); name another run_dir')


def _embedder(config: Config) -> Callable[[Source], list[leaks.Pair]] | None:
    """What finds pairs of alike pictures by the configured network's features, if it is asked to."""
    similarity = config.crossval.duplicate_embeddings
    if not similarity:
        return None

    def pairs(source: Source) -> list[leaks.Pair]:
        backbone = finetune.make_model(dataclasses.replace(config, crossval=CrossVal()), source.class_names)
        return embedding_pairs(source, backbone, similarity=similarity, batch_size=config.evaluate.batch_size)

    return pairs


def _describe(crossing: Crossing, config: Config) -> str:
    apart = [(crossing.validation, 'to choose checkpoints by'), (crossing.test, 'to test on afterwards')]
    if crossing.chooser is not crossing.validation:
        apart.append((crossing.chooser, 'to choose a soup by'))
    more = [f'{len(part):,} {use}' for part, use in apart if part is not None]
    repeats = 1 + max(fold.repeat for fold in crossing.folds)
    folds = f'{len(crossing.folds) // repeats} folds' + (f' × {repeats} repeats' if repeats > 1 else '')
    sizes = '; '.join([f'{len(crossing.pool):,} images in {folds} ({crossing.record["splitter"]})', *more])
    return f'{config.data.source}: {tasks_names(crossing)}; {sizes}'
