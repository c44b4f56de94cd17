"""What is cross-validated: the examples, what must stay together, the folds, and the configuration of each run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from jtransfer.config import Config
from jtransfer.config_crossval import CrossVal
from jtransfer.data import leaks
from jtransfer.data.altered import altered
from jtransfer.data.fold_file import fold_record, read_folds
from jtransfer.data.folds import Fold, choose_splitter, make_folds
from jtransfer.data.leaks import Guard
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts, check_training, hold_out_of, ignored_files, take_sources
from jtransfer.data.source import Source
from jtransfer.data.splits import few_shot
from jtransfer.data.targets import count, strata, take, tasks_of
from jtransfer.errors import UserError
from jtransfer.train.loop import total_steps

FOLDS, DUPLICATES = 'folds.json', 'duplicates.json'


@dataclasses.dataclass(frozen=True, eq=False)
class Crossing:
    """The folds over a source, and what is kept out of them.

    Attributes:
        pool: the examples that the folds divide, as a part of the source.
        folds: positions in the pool.
        groups: of the pool's examples, what no split divides; None where there is nothing to keep together.
        validation: chooses the best checkpoint in every fold, if the source has such a part.
        chooser: chooses the members of a soup, if there is one.
        test: what comes after the folds is tested on, if there is one.
        record: of the folds, as JSON values.
        guard: the duplicates that were found; None where nobody looked.
        notes: lines a person should know.
    """

    pool: Part
    folds: tuple[Fold, ...]
    groups: tuple[str, ...] | None
    validation: Part | None
    chooser: Part | None
    test: Part | None
    record: dict[str, Any]
    guard: Guard | None
    notes: tuple[str, ...]

    def parts(self, fold: Fold, config: Config) -> Parts:
        """The parts of one fold's run.

        The validation part that chooses the fold's checkpoint comes out of its training examples, unless the source has
        one of its own. Everything that is fitted (class weights, the scale of numbers, early stopping) is fitted on
        what this returns as `train` and `validation`.

        Raises:
            UserError: a class without a training example, or a batch larger than the training part.
        """
        data, seed = config.data, seed_of(config)
        train, validation = np.asarray(fold.train), None
        if data.examples_per_class:
            labels = strata(take(self.pool.labels, train), self.pool.tasks)
            drawn = few_shot(labels, data.examples_per_class, seed, self.pool.class_names)
            rest, train = np.setdiff1d(train, train[drawn]), train[drawn]
            if self.validation is None and data.validation_fraction:
                if self.groups is not None:
                    names = np.asarray(self.groups)
                    rest = rest[~np.isin(names[rest], names[train])]
                validation = hold_out_of(self.pool, rest, data.validation_fraction, seed, self.groups, 'validation')[1]
        elif self.validation is None and data.validation_fraction:
            train, validation = hold_out_of(self.pool, train, data.validation_fraction, seed, self.groups, 'validation')
        trained, unlabelled, notes = altered(self._of(train), data, seed)
        check_training(trained, data.batch_size)
        held = self.validation if validation is None else self._of(validation)
        return Parts(trained, held, self._of(np.asarray(fold.test)), self.pool.class_names, notes, unlabelled)

    def whole(self, config: Config) -> Parts:
        """The parts of a run on every example of the pool, without anything to choose a checkpoint by."""
        trained, unlabelled, notes = altered(self.pool, config.data, seed_of(config))
        check_training(trained, config.data.batch_size)
        return Parts(trained, None, self.test, self.pool.class_names, notes, unlabelled)

    def _of(self, positions: Int64[np.ndarray, ' n']) -> Part:
        return Part(self.pool.source, self.pool.indices[positions])


def seed_of(config: Config) -> int:
    """The seed of draws inside a fold's training part."""
    return config.seed if config.data.split_seed is None else config.data.split_seed


def prepare(
    config: Config, folder: Path, source: Source | Mapping[str, Source] | None = None, embed: Any = None
) -> Crossing:
    """Opens the data, looks for duplicates and makes the folds, or takes those that the folder has already.

    Args:
        config: of the whole experiment.
        folder: of the experiment; nothing is written.
        source: labelled images in memory, instead of `config.data.source`.
        embed: from a source to further pairs of duplicates, of `embedding_pairs`; None: hashes alone.

    Raises:
        UserError: anything about the data that would stop a fold later, unreadable images excepted.
    """
    cv, data = config.crossval, config.data
    sources = take_sources(data, source)
    pool = sources['train']
    own: Sequence[str] | None = getattr(pool, 'groups', None)
    notes = list(ignored_files(sources))
    guard = None
    if data.duplicates != 'ignore':
        if (folder / DUPLICATES).exists():
            guard = leaks.read_record(folder / DUPLICATES, sources)
        else:
            guard = leaks.look(data, sources, distance=cv.duplicate_distance, further=embed)
        notes += guard.lines()
    keeps = guard is not None and data.duplicates != 'report'
    groups = guard.groups('train', own) if guard is not None and keeps else None if own is None else tuple(own)

    seed = cv.seed if cv.seed is not None else seed_of(config)
    kept, chooser, test = _set_apart(config, sources, groups, seed)
    inside = None if groups is None else tuple(groups[index] for index in kept)
    part = Part(pool, kept)
    labels = strata(part.labels, part.tasks)
    splitter = choose_splitter(cv.splitter, labels, inside)
    file = Path(cv.file).expanduser() if cv.file else folder / FOLDS
    if cv.file or file.exists():
        folds = read_folds(file, part.ids)
        record = json.loads(file.read_text())
    else:
        folds = make_folds(
            labels,
            splitter=splitter,
            folds=cv.folds,
            repeats=cv.repeats,
            seed=seed,
            groups=inside,
            class_names=part.class_names,
        )
        record = fold_record(folds, part.ids, splitter=splitter, seed=seed, class_names=part.class_names)
    validation = sources_part(sources, 'validation')
    return Crossing(part, folds, inside, validation, chooser, test, record, guard, tuple(notes))


def sources_part(sources: Mapping[str, Source], name: str) -> Part | None:
    """The whole of a source's own part, if it has it."""
    return Part(sources[name], np.arange(count(sources[name].labels))) if name in sources else None


def _set_apart(
    config: Config, sources: Mapping[str, Source], groups: Sequence[str] | None, seed: int
) -> tuple[Int64[np.ndarray, ' kept'], Part | None, Part | None]:
    """What the folds divide, what chooses a soup, and what comes afterwards is tested on."""
    cv, pool = config.crossval, sources['train']
    kept = np.arange(count(pool.labels))
    chooser, test = sources_part(sources, 'validation'), sources_part(sources, 'test')
    whole = len(kept)
    if test is None and cv.test_fraction:
        kept, held = hold_out_of(pool, kept, cv.test_fraction, seed, groups, 'test')
        test = Part(pool, held)
    if chooser is None and cv.afterwards == 'soup':
        kept, held = hold_out_of(pool, kept, cv.soup_fraction * whole / len(kept), seed, groups, 'validation')
        chooser = Part(pool, held)
    return kept, chooser, test


def fold_name(fold: Fold, repeats: int) -> str:
    """Name of a fold's run directory."""
    return f'fold-{fold.number}' if repeats == 1 else f'repeat-{fold.repeat}-fold-{fold.number}'


def fold_config(config: Config, crossing: Crossing, fold: Fold, folder: Path) -> Config:
    """The configuration of one fold's run; all folds take the same number of steps.

    They are those that `train.epochs` makes of the mean size of the training parts, so that folds may be run side by
    side and their curves compared.
    """
    sizes = [len(crossing.parts(each, config).train) for each in crossing.folds]
    steps = total_steps(config, round(float(np.mean(sizes))))
    repeats = 1 + max(each.repeat for each in crossing.folds)
    return dataclasses.replace(
        config,
        run_dir=str(folder / fold_name(fold, repeats)),
        train=dataclasses.replace(config.train, steps=steps, epochs=0.0, resume='auto'),
        crossval=CrossVal(),
    )


def find_fold(crossing: Crossing, number: int) -> Fold:
    """The fold of a number, counted through the repeats.

    Raises:
        UserError: there are fewer.
    """
    if not 0 <= number < len(crossing.folds):
        raise UserError(f'--fold={number} is none of the {len(crossing.folds)} folds, counted from 0')
    return crossing.folds[number]


def tasks_names(crossing: Crossing) -> str:
    """What is to be learnt, in words."""
    tasks = tasks_of(crossing.pool)
    kinds = {'single_label': 'classes', 'multi_label': 'labels', 'regression': 'numbers'}
    return ', '.join(f'{task.name + ": " if task.name else ""}{task.outputs} {kinds[task.kind]}' for task in tasks)
