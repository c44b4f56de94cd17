"""From the configuration to the training, validation and test parts. Every check on the data as a whole is here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from jtransfer import config
from jtransfer.data.derive.altered import altered
from jtransfer.data.part import Part
from jtransfer.data.source import Source, SourceLike, check_every_class
from jtransfer.data.sources.opening import given_sources, open_source
from jtransfer.data.split import hold_out
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, count, strata, take
from jtransfer.text.outside import count_of

NAMES = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one experiment; they share no example.

    Attributes:
        train: what is trained on.
        validation: what chooses the best checkpoint, if there is one.
        test: what is reported once, at the end, if there is one.
        class_names: in label order.
        notes: lines a person should know (what was left out).
        unlabelled: training examples set apart whose labels must not be used, if `data.unlabelled_fraction` asks for
            them.
        skip_unreadable: whether images that cannot be read are left out when these parts are trained on.
    """

    train: Part
    validation: Part | None
    test: Part | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unlabelled: Part | None = None
    skip_unreadable: bool = False

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is to be learnt."""
        return self.train.tasks


def load_parts(
    data: config.Data,
    seed: int,
    source: SourceLike | Mapping[str, SourceLike] | None = None,
    training: bool = True,
) -> Parts:
    """Divides a source into parts; no image is decoded unless duplicates are to be found.

    Parts that the source has are taken as they are. A missing test part is held out of the training examples, then a
    missing validation part, each in proportion to the classes and without dividing a group; the fractions are shares of
    all training examples. With `examples_per_class`, that many training examples a class are drawn; a missing
    validation part is then `validation_fraction` of those not drawn, and a missing test part all that is left over.

    What the configuration asks for in studies (imbalance, wrong labels, a part without labels) is done to the training
    part at the end, and to nothing else.

    Args:
        data: the configuration.
        seed: of the draws, unless `data.split_seed` is set.
        source: used instead of `data.source`: an undivided source, or one by part (`train`, `validation`, `test`).
        training: whether the training part is to be trained on, and so must hold a batch.

    Raises:
        UserError: anything about the data that would stop the experiment later, unreadable images excepted.
    """
    sources = take_sources(data, source)
    pool = sources['train']
    seed = seed if data.split_seed is None else data.split_seed
    groups, notes = _groups(data, sources)
    chosen = _divide(data, seed, pool, groups, has_validation='validation' in sources, has_test='test' in sources)
    parts = {part: Part(pool, indices) for part, indices in chosen.items() if len(indices)}
    parts |= {part: Part(own, np.arange(len(own))) for part, own in sources.items() if part != 'train'}
    train, unlabelled, said = altered(parts.get('train', Part(pool, np.arange(0))), data, seed)
    if training:
        check_training(train, data.batch_size)
    if data.examples_per_class:
        held_out = np.concatenate([chosen['validation'], chosen['test']])
        notes = (*notes, *undrawn_lines(np.arange(count(pool.labels)), chosen['train'], held_out, groups))
    notes = (*source_notes(sources), *notes, *said)
    held = (parts.get('validation'), parts.get('test'))
    result = Parts(train, *held, pool.class_names, notes, unlabelled, data.skip_unreadable)
    if source is None:
        _check_disjoint(result)
    return result


def take_sources(data: config.Data, source: SourceLike | Mapping[str, SourceLike] | None) -> dict[str, Source]:
    """The sources by part: those handed over, or those that `data.source` names.

    Raises:
        UserError: what `open_source` or `given_sources` refuses.
    """
    return open_source(data) if source is None else given_sources(data, source)


def check_training(train: Part, batch_size: int) -> None:
    """Raises `UserError` for a training part without an example of every class, or smaller than a batch."""
    check_every_class(train.labels, train.tasks, 'the training part, after the hold-out')
    check_batch_size(batch_size, len(train))


def check_batch_size(batch_size: int, num_examples: int) -> None:
    """Raises `UserError` if a batch is larger than the training part (also to be asked when images were skipped)."""
    if batch_size > num_examples:
        raise UserError(
            f'data.batch_size={batch_size} is larger than the training part of {num_examples} examples; '
            f'make it at most {num_examples}'
        )


def split_record(parts: Parts) -> dict[str, Any]:
    """Which example went where, as JSON values: ids by part, in order, and a SHA-256 hash of them."""
    record: dict[str, Any] = {'class_names': list(parts.class_names)}
    for name in (*NAMES, 'unlabelled'):
        part = getattr(parts, name)
        if part is not None:
            digest = hashlib.sha256('\n'.join(part.ids).encode()).hexdigest()
            record[name] = {'count': len(part), 'sha256': digest, 'ids': list(part.ids)}
    return record


def source_notes(sources: Mapping[str, Source]) -> Sequence[str]:
    """Lines about how the sources were read: what is missing or not chosen, and what each says itself."""
    missing = sum(source.missing for source in sources.values())
    is_missing = 'is missing and was' if missing == 1 else 'are missing and were'
    lines = [f'{count_of(missing, "file")} of the table {is_missing} left out'] if missing else []
    if unchosen := sum(source.unchosen for source in sources.values()):
        lines.append(f'{count_of(unchosen, "example")} of other classes left out (data.classes)')
    own = (note for source in sources.values() for note in source.notes)
    return list(dict.fromkeys([*lines, *own]))


def undrawn_lines(
    of: Int64[np.ndarray, ' n'],
    drawn: Int64[np.ndarray, ' drawn'],
    others: Int64[np.ndarray, ' m'],
    groups: Sequence[str] | None,
) -> list[str]:
    """Lines about the examples that a few-shot draw leaves to no part, so that all are accounted for.

    Args:
        of: positions that were divided.
        drawn: positions that are trained on.
        others: positions that are in another part.
        groups: of the example at every position, what no split divides; None where there is nothing to keep together.
    """
    left = np.setdiff1d(of, np.concatenate([drawn, others]))
    touched = set() if groups is None else {groups[position] for position in drawn}
    kin = 0 if groups is None else sum(groups[position] in touched for position in left)
    lines = []
    if kin:
        lines.append(f'{count_of(kin, "image")} left out, of the same groups as those that were drawn')
    if kin < len(left):
        lines.append(f'{count_of(len(left) - kin, "training image")} not drawn and left out')
    return [f'{line} (data.examples_per_class)' for line in lines]


def _divide(
    data: config.Data,
    seed: int,
    pool: Source,
    groups: Sequence[str] | None,
    has_validation: bool,
    has_test: bool,
) -> dict[str, Int64[np.ndarray, ' n']]:
    """Positions in the pool by part; empty for what the source has itself."""
    everything = np.arange(count(pool.labels))
    validation = test = np.arange(0)
    wants_validation = data.validation_fraction > 0 and not has_validation

    def held_out(of: np.ndarray, fraction: float, what: str) -> tuple[np.ndarray, np.ndarray]:
        return hold_out_of(pool, of, fraction, seed, groups, what)

    if data.examples_per_class:
        names = stratum_names(pool.tasks)
        check_classes(names, data.examples_per_class)
        labels = strata(pool.labels, pool.tasks)
        train = hold_out.few_shot(labels, data.examples_per_class, seed, names)
        rest = np.setdiff1d(everything, train)
        if groups is not None:
            of = np.asarray(groups)
            rest = rest[~np.isin(of[rest], of[train])]
        if wants_validation:
            if not len(rest):
                raise UserError(
                    f'data.examples_per_class={data.examples_per_class} leaves no image to validate on'
                    f'{"" if groups is None else " (what is in a group with one that was drawn is left out)"}; set '
                    'data.validation_fraction=0'
                )
            rest, validation = held_out(rest, data.validation_fraction, 'validation')
        return {'train': train, 'validation': validation, 'test': rest if not has_test else test}
    train = everything
    if data.test_fraction > 0 and not has_test:
        train, test = held_out(train, data.test_fraction, 'test')
    if wants_validation:
        # A share of all examples, whether or not a test part went first.
        share = data.validation_fraction * len(everything) / len(train)
        train, validation = held_out(train, share, 'validation')
    return {'train': train, 'validation': validation, 'test': test}


def hold_out_of(
    pool: Source,
    of: Int64[np.ndarray, ' n'],
    fraction: float,
    seed: int,
    groups: Sequence[str] | None,
    what: str,
    settings: str = 'data',
) -> tuple[Int64[np.ndarray, ' kept'], Int64[np.ndarray, ' held']]:
    """Holds a share of some positions of a source out, see `hold_out.hold_out`; all are positions in the source."""
    labels: Labels = take(pool.labels, of)
    own = None if groups is None else [groups[index] for index in of]
    tasks = pool.tasks
    kept, held = hold_out.hold_out(strata(labels, tasks), fraction, seed, stratum_names(tasks), what, own, settings)
    return of[kept], of[held]


def check_classes(names: Sequence[str], per_class: int) -> None:
    """Raises `UserError` if images of each class are to be drawn, and there are no classes."""
    if not names:
        raise UserError(
            f'data.examples_per_class={per_class} draws images of each class, and there are only numbers to predict: '
            'set it to 0'
        )


def stratum_names(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Names of the classes that `strata` numbers: those of the first task that has classes; none of numbers alone."""
    return next((task.class_names for task in tasks if task.has_classes), ())


def _groups(data: config.Data, sources: Mapping[str, Source]) -> tuple[Sequence[str] | None, Sequence[str]]:
    """What a hold-out keeps together, and what is to be said about it."""
    groups = sources['train'].groups
    if data.duplicates not in ('group', 'report'):
        return groups, ()
    from jtransfer.data.duplicates import guard

    return guard.guard_parts(data, sources, groups)


def _check_disjoint(parts: Parts) -> None:
    seen: dict[str, str] = {}
    for name in NAMES:
        for example in getattr(parts, name).ids if getattr(parts, name) is not None else ():
            if seen.setdefault(example, name) != name:
                raise UserError(
                    f'example {example} is in the {seen[example]} part and in the {name} part: the splits overlap'
                )
