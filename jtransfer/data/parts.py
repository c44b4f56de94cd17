"""From the configuration to the training, validation and test parts. Every check on the data as a whole is here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from jtransfer import config, config_check
from jtransfer.data import splits
from jtransfer.data.digits import load_digits
from jtransfer.data.folder import load_folder
from jtransfer.data.glyphs import SIZES, GlyphSource
from jtransfer.data.part import Part
from jtransfer.data.source import Source, check_every_class, check_source
from jtransfer.data.tfds_source import load_tfds
from jtransfer.errors import UserError

NAMES = ('train', 'validation', 'test')
_FORMS = {'digits': 'digits', 'glyphs': 'glyphs', 'folder': 'folder:PATH', 'tfds': 'tfds:NAME'}


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one experiment; they share no example.

    Attributes:
        train: what is trained on.
        validation: what chooses the best checkpoint, if there is one.
        test: what is reported once, at the end, if there is one.
        class_names: in label order.
        notes: lines a person should know (files that were ignored).
    """

    train: Part
    validation: Part | None
    test: Part | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)


def open_source(data: config.Data) -> dict[str, Source]:
    """Opens `data.source` and returns the parts it has by itself; an undivided source has `train` alone.

    Raises:
        UserError: an unknown source, or what the source itself refuses.
    """
    kind, _, argument = data.source.partition(':')
    named = _named(data)
    if kind in ('folder', 'tfds'):
        if not argument:
            raise UserError(f'data.source={data.source!r} names no data: write {_FORMS[kind]}')
        if kind == 'folder':
            return dict(load_folder(argument, named, data.max_pixels))
        return dict(load_tfds(argument, data.data_dir, named, data.max_pixels))
    if data.source == 'memory':
        raise UserError('data.source=memory: the images were handed over in Python; do so again, or name a source')
    config_check.one_of('data.source', data.source, tuple(_FORMS.values()))
    _no_names(named, data.source)
    if data.source == 'digits':
        return {'train': load_digits()}
    return {part: GlyphSource(part) for part in SIZES}


def load_parts(
    data: config.Data,
    seed: int,
    source: Source | Mapping[str, Source] | None = None,
    training: bool = True,
) -> Parts:
    """Divides a source into parts, without decoding an image.

    Parts that the source has are taken as they are. A missing test part is held out of the training examples, then a
    missing validation part, each in proportion to the classes; the fractions are shares of all training examples.
    With `examples_per_class`, that many training examples a class are drawn; a missing validation part is then
    `validation_fraction` of those not drawn, and a missing test part all that is left over.

    Args:
        data: the configuration.
        seed: of the draws, unless `data.split_seed` is set.
        source: used instead of `data.source`: an undivided source, or one by part (`train`, `validation`, `test`).
        training: whether the training part is to be trained on, and so must hold a batch.

    Raises:
        UserError: anything about the data that would stop the experiment later, unreadable images excepted.
    """
    if source is None:
        sources: dict[str, Source] = open_source(data)
    else:
        sources = dict(source) if isinstance(source, Mapping) else {'train': source}
        _check_given(sources)
        _no_names(_named(data), 'source')
    pool = sources['train']
    split_seed = seed if data.split_seed is None else data.split_seed
    chosen = _divide(data, split_seed, pool, has_validation='validation' in sources, has_test='test' in sources)
    parts = {part: Part(pool, indices) for part, indices in chosen.items() if len(indices)}
    parts |= {part: Part(own, np.arange(len(own))) for part, own in sources.items() if part != 'train'}
    train = parts.get('train', Part(pool, np.arange(0)))
    if training:
        check_every_class(train.labels, train.tasks, 'the training part, after the hold-out')
        check_batch_size(data.batch_size, len(train))
    result = Parts(train, parts.get('validation'), parts.get('test'), pool.class_names, tuple(_notes(sources)))
    if source is None:
        _check_disjoint(result)
    return result


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
    for name in NAMES:
        part = getattr(parts, name)
        if part is not None:
            digest = hashlib.sha256('\n'.join(part.ids).encode()).hexdigest()
            record[name] = {'count': len(part), 'sha256': digest, 'ids': list(part.ids)}
    return record


def _divide(
    data: config.Data, seed: int, pool: Source, has_validation: bool, has_test: bool
) -> dict[str, Int64[np.ndarray, ' n']]:
    """Positions in the pool by part; empty for what the source has itself."""
    labels, everything = np.asarray(pool.labels), np.arange(len(pool))
    validation = test = np.arange(0)
    wants_validation = data.validation_fraction > 0 and not has_validation

    def held_out(of: np.ndarray, fraction: float, what: str) -> tuple[np.ndarray, np.ndarray]:
        kept, held = splits.hold_out(labels[of], fraction, seed, pool.class_names, what)
        return of[kept], of[held]

    if data.examples_per_class:
        train = splits.few_shot(labels, data.examples_per_class, seed, pool.class_names)
        rest = np.setdiff1d(everything, train)
        if wants_validation:
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


def _named(data: config.Data) -> dict[str, str]:
    """What the person calls the parts of the source."""
    return {'train': data.train_split, 'validation': data.validation_split, 'test': data.test_split}


def _no_names(named: Mapping[str, str], source: str) -> None:
    for part, name in named.items():
        if name:
            raise UserError(f'data.{part}_split={name!r} has no meaning for {source}, whose parts have no names')


def _check_given(sources: Mapping[str, Source]) -> None:
    if unknown := sorted(set(sources) - set(NAMES)):
        raise UserError(f"a part is called '{unknown[0]}', but must be one of {', '.join(NAMES)}")
    if 'train' not in sources:
        raise UserError("the sources have no part called 'train'")
    for part, given in sources.items():
        check_source(given, part, every_class=part == 'train')
        if given.class_names != sources['train'].class_names:
            raise UserError(f"the classes of part '{part}' are not those of the training part")


def _check_disjoint(parts: Parts) -> None:
    seen: dict[str, str] = {}
    for name in NAMES:
        for example in getattr(parts, name).ids if getattr(parts, name) is not None else ():
            if seen.setdefault(example, name) != name:
                raise UserError(
                    f'example {example} is in the {seen[example]} part and in the {name} part: the splits overlap'
                )


def _notes(sources: Mapping[str, Source]) -> Sequence[str]:
    ignored = sum(getattr(source, 'ignored', 0) for source in sources.values())
    return [f'{ignored} files in the folders are no images and were left out'] if ignored else []
