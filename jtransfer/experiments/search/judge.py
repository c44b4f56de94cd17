"""What a trial of a search is worth: by the validation part, or by inner folds of the training part."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jtransfer.config import Config
from jtransfer.data.duplicates import guard as leaks
from jtransfer.data.measurable import check_part, check_parts
from jtransfer.data.part import Part
from jtransfer.data.parts import NAMES, Parts, check_training, split_record
from jtransfer.data.split.fold_file import fold_record
from jtransfer.data.split.folds import choose_splitter, make_folds
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.data.split import LABELS, split_of
from jtransfer.experiments.run.prepare import Prepared, prepare
from jtransfer.experiments.run.score import score
from jtransfer.experiments.run.start import LastModel
from jtransfer.experiments.run.train import train_model
from jtransfer.tasks.better import deciding
from jtransfer.tasks.labels import strata
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.several import score_of

Report = Callable[[int, float], None]


class Verdict(NamedTuple):
    """What settings are worth: a score, larger is better, and of equal scores a loss, smaller is better."""

    score: float
    loss: float


@dataclasses.dataclass(frozen=True, eq=False)
class InnerFold:
    """One inner fold.

    Attributes:
        parts: to train on, and the validation part, which chooses the checkpoint as it will with the best settings.
        held: what the trained network is scored on.
    """

    parts: Parts
    held: Part


@dataclasses.dataclass(frozen=True, eq=False)
class Judge:
    """Judges settings, by examples that are not tested on.

    Attributes:
        parts: training and validation part; there is no test part.
        folds: of the training part. Empty: the validation part judges.
        record: of the inner folds, as JSON values; None where there are none.
        notes: lines a person should know.
        start: the network that trials start from, which most of them share.
    """

    parts: Parts
    folds: tuple[InnerFold, ...]
    record: dict[str, Any] | None
    notes: tuple[str, ...] = ()
    start: LastModel = dataclasses.field(default_factory=LastModel)

    @property
    def by(self) -> str:
        """By what it judges, in words."""
        return f'{len(self.folds)} inner folds' if self.folds else 'validation part'

    @property
    def score(self) -> Figure:
        """What the score is; its value is not known."""
        return score_of(self.parts.tasks)

    def digest(self, parts: Parts) -> str:
        """A SHA-256 hash of which example is where, in the parts and in the inner folds."""
        split = split_record(parts)
        what = {name: values['sha256'] for name, values in split.items() if isinstance(values, dict)}
        what |= {'classes': split['class_names'], 'folds': self.record and self.record['sha256']}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def check(self, config: Config, parts: Parts) -> tuple[str, ...]:
        """Raises `UserError` for whatever would stop every trial, or the run with the best settings after them.

        Args:
            config: of a trial.
            parts: of that run; its images are not looked at.

        Returns:
            What is to be said of its plan.
        """
        prepared = self._prepared(config, parts, evaluated=True)
        for fold in self.folds:
            prepared.for_parts(config, fold.parts)
        return prepared.plan.notes

    def __call__(self, config: Config, report: Report = lambda step, score: None) -> Verdict:
        """Trains with the settings, and scores.

        Args:
            config: the settings.
            report: told the number, from 1, and the score of every validation, or the mean over the inner folds so far.

        Raises:
            UserError: the settings cannot be trained with.
            TrainingDivergedError: the loss or a gradient became NaN or infinite.
        """
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, progress=False))
        if not self.folds:
            return self._validated(config, report)
        found: list[Verdict] = []
        prepared = self._prepared(config, self.folds[0].parts)
        for number, fold in enumerate(self.folds, 1):
            found.append(_held_out(prepared.for_parts(config, fold.parts), fold.held))
            report(number, float(np.mean([verdict.score for verdict in found])))
        score, loss = np.mean(found, axis=0).tolist()
        return Verdict(_finite(score), loss)

    def _prepared(self, config: Config, parts: Parts, *, evaluated: bool = False) -> Prepared:
        model = self.start(config, parts.class_names, parts.tasks)
        return prepare(config, parts, model=model, evaluated=evaluated)

    def _validated(self, config: Config, report: Report) -> Verdict:
        validations: list[float] = []

        def observe(step: int, scores: Any) -> None:
            # By its number and not its step: where lengths are varied, equal shares of the training are compared.
            validations.append(deciding(scores))
            report(len(validations), _finite(deciding(scores)))

        fit = train_model(self._prepared(config, self.parts), observe=observe).fit
        score, loss = (float('nan') if value is None else value for value in (fit.best_score, fit.best_loss))
        return Verdict(_finite(score), loss)


def make_judge(config: Config, parts: Parts, groups: Sequence[str] | None = None) -> Judge:
    """By what the trials of a search are judged. The test part is not looked at.

    Args:
        config: of the search.
        parts: of the data.
        groups: of the examples of the training part, what no inner fold divides. None: the source's own, joined by
            duplicates unless `data.duplicates` says otherwise.

    Raises:
        UserError: neither a validation part nor inner folds, or folds that cannot be made.
    """
    inside = dataclasses.replace(parts, test=None)
    if not config.search.folds:
        if parts.validation is None:
            raise UserError(
                'a search needs something to judge trials by: set data.validation_fraction above 0, or search.folds '
                'to 2 or more'
            )
        return Judge(inside, (), None)
    train = parts.train
    notes: tuple[str, ...] = ()
    if groups is None:
        groups, notes = _groups(config, train)
    labels, seed = strata(train.labels, train.tasks), config.split_seed
    wanted = config.crossval.splitter
    splitter = choose_splitter('auto' if wanted == 'leave_one_group_out' else wanted, labels, groups)
    try:
        folds = make_folds(
            labels,
            splitter=splitter,
            folds=config.search.folds,
            repeats=1,
            seed=seed,
            groups=groups,
            class_names=train.class_names,
            field='search.folds',
        )
        made = tuple(InnerFold(_part(inside, fold.train), _of(train, fold.test)) for fold in folds)
        for fold in made:
            check_training(fold.parts.train, config.data.batch_size)
            check_parts(fold.parts)
            check_part(fold.held, 'held-out')
    except UserError as error:
        raise UserError(f'inner folds: {error}') from None
    record = fold_record(folds, train.ids, splitter=splitter, seed=seed, class_names=train.class_names)
    return Judge(inside, made, record, notes)


def labels_of(parts: Parts) -> str:
    """A SHA-256 hash of the labels, as `Judge.digest` is one of the examples."""
    split = split_of(parts)
    what = {name: split[name][LABELS] for name in NAMES if name in split}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _groups(config: Config, train: Part) -> tuple[Sequence[str] | None, tuple[str, ...]]:
    """What inner folds keep together, and what is to be said about it."""
    if config.data.duplicates not in ('auto', 'group'):
        return train.groups, ()
    guard = leaks.look(config.data, {'train': train})
    return guard.groups('train', train.groups), tuple(guard.lines())


def _part(parts: Parts, positions: np.ndarray) -> Parts:
    return dataclasses.replace(parts, train=_of(parts.train, positions))


def _of(part: Part, positions: np.ndarray) -> Part:
    return Part(part.source, part.indices[positions])


def _held_out(prepared: Prepared, held: Part) -> Verdict:
    """What the network that an inner fold trains is worth on the examples that are kept out of it."""
    trained = train_model(prepared).model
    examples = read_examples(held, trained.preprocessing, prepared.config)
    metrics = score(trained, examples, prepared.config).metrics
    return Verdict(_finite(float(metrics.score)), float(metrics.loss))


def _finite(value: float) -> float:
    if not np.isfinite(value):
        raise UserError(f'the score is {value}, which compares with nothing')
    return value
