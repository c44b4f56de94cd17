"""What is cross-validated: the examples, what must stay together, and the folds."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from jtransfer.config import Config
from jtransfer.data.derive.altered import altered
from jtransfer.data.duplicates import guard as leaks
from jtransfer.data.duplicates.guard import Guard
from jtransfer.data.part import Part
from jtransfer.data.parts import (
    Parts,
    check_classes,
    check_training,
    hold_out_of,
    source_notes,
    stratum_names,
    take_sources,
    undrawn_lines,
)
from jtransfer.data.source import Source, SourceLike
from jtransfer.data.split.fold_file import fold_record, is_digest_of, labels_digest, read_fold_record, read_folds
from jtransfer.data.split.folds import Fold, choose_splitter, make_folds
from jtransfer.data.split.group_numbers import group_numbers
from jtransfer.data.split.hold_out import few_shot
from jtransfer.errors import UserError
from jtransfer.experiments.run.directory import FOLDS, read_config
from jtransfer.files.paths import expanded
from jtransfer.tasks.labels import count, strata, take

DUPLICATES = 'duplicates.json'


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation:
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

    @property
    def repeats(self) -> int:
        """How many times the examples are divided."""
        return 1 + max(fold.repeat for fold in self.folds)

    def name(self, fold: Fold) -> str:
        """Name of a fold's run directory."""
        return directory_name(fold.repeat, fold.number, self.repeats)

    def parts(self, fold: Fold, config: Config) -> Parts:
        """The parts of one fold's run.

        The validation part that chooses the fold's checkpoint comes out of its training examples, unless the source has
        one of its own. Everything that is fitted (class weights, the scale of numbers, early stopping) is fitted on
        what this returns as `train` and `validation`.

        Raises:
            UserError: a class without a training example, or a batch larger than the training part.
        """
        data, seed = config.data, config.split_seed
        train, validation = np.asarray(fold.train), None
        if data.examples_per_class:
            drawn = self._few(train, config)
            rest, train = np.setdiff1d(train, drawn), drawn
            if self.validation is None and data.validation_fraction:
                if self.groups is not None:
                    names = np.asarray(self.groups)
                    rest = rest[~np.isin(names[rest], names[train])]
                validation = hold_out_of(self.pool, rest, data.validation_fraction, seed, self.groups, 'validation')[1]
        elif self.validation is None and data.validation_fraction:
            train, validation = hold_out_of(self.pool, train, data.validation_fraction, seed, self.groups, 'validation')
        said = self._undrawn(np.asarray(fold.train), train, validation) if data.examples_per_class else []
        trained, unlabelled, notes = altered(self._of(train), data, seed)
        check_training(trained, data.batch_size)
        held = self.validation if validation is None else self._of(validation)
        test = self._of(np.asarray(fold.test))
        return Parts(trained, held, test, self.pool.class_names, (*said, *notes), unlabelled)

    def groups_of(self, part: Part) -> tuple[str, ...]:
        """What no division divides, of the examples of a part of the pool: each its own group where there is none."""
        if self.groups is None:
            return part.ids
        positions = {int(index): position for position, index in enumerate(self.pool.indices)}
        return tuple(self.groups[positions[int(index)]] for index in part.indices)

    def whole(self, config: Config) -> Parts:
        """The parts of a run on every example of the pool, without anything to choose a checkpoint by.

        Of them `data.examples_per_class` are drawn, as in every fold.
        """
        everything = np.arange(len(self.pool))
        chosen = self._few(everything, config) if config.data.examples_per_class else everything
        said = self._undrawn(everything, chosen, None) if config.data.examples_per_class else []
        trained, unlabelled, notes = altered(self._of(chosen), config.data, config.split_seed)
        check_training(trained, config.data.batch_size)
        return Parts(trained, None, self.test, self.pool.class_names, (*said, *notes), unlabelled)

    def _few(self, positions: Int64[np.ndarray, ' n'], config: Config) -> Int64[np.ndarray, ' drawn']:
        """Those of some positions in the pool that a few-shot draw takes."""
        names, number = stratum_names(self.pool.tasks), config.data.examples_per_class
        check_classes(names, number)
        labels = strata(take(self.pool.labels, positions), self.pool.tasks)
        return positions[few_shot(labels, number, config.split_seed, names)]

    def _undrawn(
        self, of: Int64[np.ndarray, ' n'], drawn: Int64[np.ndarray, ' drawn'], validation: np.ndarray | None
    ) -> list[str]:
        return undrawn_lines(of, drawn, np.arange(0) if validation is None else validation, self.groups)

    def _of(self, positions: Int64[np.ndarray, ' n']) -> Part:
        return Part(self.pool.source, self.pool.indices[positions])


def directory_name(repeat: int, number: int, repeats: int) -> str:
    """Name of the directory of a fold's run, given how many repeats there are."""
    return f'fold-{number}' if repeats == 1 else f'repeat-{repeat}-fold-{number}'


def divide(
    config: Config, folder: Path, source: SourceLike | Mapping[str, SourceLike] | None = None, embed: Any = None
) -> CrossValidation:
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
    _check_ids(sources)
    own = pool.groups
    if cv.splitter == 'leave_one_group_out' and own is None:
        raise UserError('crossval.splitter=leave_one_group_out needs groups, and there are none: set data.group_column')
    if embed is not None and data.duplicates == 'ignore':
        raise UserError('crossval.duplicate_embeddings looks for duplicates, and data.duplicates=ignore does not look')
    notes = list(source_notes(sources))
    guard = None
    if data.duplicates != 'ignore':
        if (folder / DUPLICATES).exists():
            guard = leaks.read_record(folder / DUPLICATES, sources)
        else:
            guard = leaks.look(data, sources, further=embed)
        notes += guard.lines()
    keeps = guard is not None and data.duplicates != 'report'
    groups = guard.groups('train', own) if guard is not None and keeps else None if own is None else tuple(own)

    seed = cv.seed if cv.seed is not None else config.split_seed
    kept, chooser, test = _set_apart(config, sources, groups, seed)
    inside = None if groups is None else tuple(groups[index] for index in kept)
    part = Part(pool, kept)
    labels = strata(part.labels, part.tasks)
    splitter = choose_splitter(cv.splitter, labels, inside)
    file = expanded(cv.file) if cv.file else folder / FOLDS
    if file == folder / FOLDS and file.exists() and 'validation' not in sources:
        _check_soup(folder, cv.afterwards)
    if cv.file or file.exists():
        folds, record = _read(file, part, inside)
        if not cv.file and not is_digest_of(record.get('labels', ''), part.labels, part.ids):
            raise UserError(f'the labels of {data.source} have changed since {file} was written: name a new run_dir')
    else:
        folds = make_folds(
            labels,
            splitter=splitter,
            folds=cv.folds,
            repeats=cv.repeats,
            seed=seed,
            groups=inside,
            class_names=stratum_names(part.tasks) or ('all',),
        )
        record = fold_record(
            folds,
            part.ids,
            splitter=splitter,
            seed=seed,
            class_names=part.class_names,
            labels=labels_digest(part.labels, part.ids),
        )
    validation = sources_part(sources, 'validation')
    return CrossValidation(part, folds, inside, validation, chooser, test, record, guard, tuple(notes))


def check_folds(folder: Path, crossing: CrossValidation) -> None:
    """Raises `UserError` where a folder has other folds than these."""
    if (folder / FOLDS).exists() and read_fold_record(folder / FOLDS) != crossing.record:
        raise UserError(f'{folder / FOLDS} has other folds than this configuration makes; name another run_dir')


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
        kept, held = hold_out_of(pool, kept, cv.test_fraction, seed, groups, 'test', 'crossval')
        test = Part(pool, held)
    if chooser is None and cv.afterwards == 'soup':
        share = cv.soup_fraction * whole / len(kept)
        kept, held = hold_out_of(pool, kept, share, seed, groups, 'soup', 'crossval')
        chooser = Part(pool, held)
    return kept, chooser, test


def _check_ids(sources: Mapping[str, Source]) -> None:
    """Raises `UserError` for two examples of one name: predictions could not be told apart."""
    for name, source in sources.items():
        if len(set(source.ids)) < len(source.ids):
            twice = next(example for example, times in Counter(source.ids).items() if times > 1)
            raise UserError(f"two examples of the {name} part have the id '{twice}': each needs one of its own")


def _check_soup(folder: Path, afterwards: str) -> None:
    """Raises `UserError` where a soup is asked for only now, or only was: its examples are in no fold."""
    before = read_config(folder).crossval.afterwards
    if before != afterwards and 'soup' in (before, afterwards):
        raise UserError(
            f'crossval.afterwards=soup sets examples apart before the folds are made, and {folder} was begun with '
            f'crossval.afterwards={before}: name another run_dir'
        )


def _read(file: Path, pool: Part, groups: Sequence[str] | None) -> tuple[tuple[Fold, ...], dict[str, Any]]:
    """The folds of a file and their record.

    Raises:
        UserError: what `read_folds` refuses, other classes, or a fold that divides what is to be kept together.
    """
    folds = read_folds(file, pool.ids)
    record = read_fold_record(file)
    if tuple(record['class_names']) != pool.class_names:
        raise UserError(
            f'{file} is of the classes {", ".join(record["class_names"])}, and the data have '
            f'{", ".join(pool.class_names)}'
        )
    numbers = group_numbers(groups)
    if numbers is None:
        return folds, record
    for fold in folds:
        if len(both := np.intersect1d(numbers[fold.train], numbers[fold.test])):
            ids = pool.ids
            one, other = (ids[side[np.argmax(numbers[side] == both[0])]] for side in (fold.train, fold.test))
            raise UserError(
                f'{file} divides what belongs together, such as {one} and {other}: make the folds again, or set '
                'data.duplicates=report where these are duplicates that may be divided'
            )
    return folds, record
