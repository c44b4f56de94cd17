"""A sweep: one configuration over every combination of some of its fields."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jtransfer import config as config_lib
from jtransfer import stopping
from jtransfer.checks import split_values
from jtransfer.config import Config
from jtransfer.config.fields import get_field
from jtransfer.config.transfer import ADAPTATIONS
from jtransfer.data.parts import Parts, load_parts
from jtransfer.errors import TrainingDivergedError, UserError, WritingError
from jtransfer.experiments.data import given
from jtransfer.experiments.data.checking import check_data
from jtransfer.experiments.data.split import other_data, split_of
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import (
    CONFIG,
    NOT_IDENTITY,
    ROOT,
    SPLIT,
    RunDirectory,
    is_finished,
    read_record,
)
from jtransfer.experiments.run.lock import check_free, held
from jtransfer.experiments.run.prepare import prepare
from jtransfer.experiments.run.records import NEEDED_OF_RUNS
from jtransfer.experiments.run.start import LastModel
from jtransfer.experiments.sweep.summary import Record
from jtransfer.experiments.sweep.tune import check_fields, check_parts, choose, in_words, validation_of
from jtransfer.files.paths import output_folder
from jtransfer.transfer.set_aside import for_weights, random_weights_notes

# Bytes; what file systems allow, less room for the names of temporary files.
_LONGEST_NAME = 200


def parse_fields(texts: Sequence[str], flag: str) -> dict[str, list[str]]:
    """Fields and their values, from `FIELD=VALUE,VALUE,…`.

    >>> parse_fields(['seed=0,1', 'augment.crop_scale=(0.5,1),(1,1)'], '--over')
    {'seed': ['0', '1'], 'augment.crop_scale': ['(0.5,1)', '(1,1)']}

    Args:
        texts: as written.
        flag: where, for the messages.

    Raises:
        UserError: a text without a field or a value, or the same one twice.
    """
    over: dict[str, list[str]] = {}
    for text in texts:
        field, equals, values = text.partition('=')
        if not equals or not field or not values:
            raise UserError(f'{flag}={text} is not of the form {flag}=FIELD=VALUE,VALUE')
        if field in over:
            raise UserError(f'{flag} names {field} twice; write all its values after one equals sign')
        over[field] = list(split_values(values))
        if duplicates := [value for value in over[field] if over[field].count(value) > 1]:
            raise UserError(f'{flag}={text} has the value {duplicates[0]} twice')
        if '' in over[field]:
            raise UserError(f'{flag}={text} has an empty value')
        if field in NOT_IDENTITY:
            raise UserError(f'{flag}={field} would not make another run: the sweep sets {field} itself')
    return over


def combinations(
    config: Config, over: Mapping[str, Sequence[str]], tune: Mapping[str, Sequence[str]] | None = None
) -> list[tuple[dict[str, Any], Config]]:
    """Every combination of the swept and the tuned values, with its configuration, all of them valid.

    Raises:
        UserError: a field that does not exist, a value that does not fit, one value written in two ways (1, 1.0), or a
            combination that is not possible.
    """
    tuned, over = tune or {}, {**over, **(tune or {})}
    for field, values in over.items():
        meant = [get_field(config_lib.replace(config, field, value), field) for value in values]
        if again := [value for index, value in enumerate(values) if meant[index] in meant[:index]]:
            raise UserError(f'{"tune" if field in tuned else "over"}={field}=… has the value {again[0]} twice')
    result = []
    for values in itertools.product(*over.values()):
        variant = config
        for field, value in zip(over, values, strict=True):
            variant = config_lib.replace(variant, field, value)
        fields = {field: get_field(variant, field) for field in over}
        result.append((fields, config_lib.validate(variant)))
    return result


def run(
    config: Config,
    over: Mapping[str, Sequence[str]],
    folder: str | Path = '',
    *,
    tune: Mapping[str, Sequence[str]] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Path, list[Record]]:
    """Runs every combination, one after another; what is finished already is kept, what was cut short continues.

    What would stop a run before its first step is told before any of them; one that fails later is recorded, and the
    others go on. What is there already is of the data as they are now, or else refused: runs on other images or labels
    have no mean.

    Args:
        config: the configuration.
        over: values by dotted field name.
        tune: values to choose from, likewise: for every setting of `over` but the seed, those that are best on the
            validation part in the mean over the seeds, see `sweep_tune.choose`.
        folder: where the runs go. Empty: `config.run_dir`, or `runs/sweep-NAME`.
        say: told, line by line, what is going on.

    Returns:
        The folder, and a record a run; of those whose values were not chosen, without the results on the test part.

    Raises:
        UserError: fields or values that cannot be, a directory that holds something else, or values to choose from
            without a validation part to choose by.
    """
    tune = tune or {}
    check_fields(over, tune)
    variants = combinations(config, over, tune)
    folder = output_folder(folder or config.run_dir or ROOT / f'sweep-{config.name}')
    if (folder / CONFIG).exists():
        raise UserError(f'{folder} holds a run, no sweep; name another folder')
    check_free(folder)
    planned = []
    for fields, variant in variants:
        train = dataclasses.replace(variant.train, resume='auto')
        path = folder / _directory_name(fields)
        variant = dataclasses.replace(variant, run_dir=str(path), train=train)
        if not is_finished(path):
            RunDirectory.find(variant)  # refuses what is in the way before the first run starts
        elif differs := RunDirectory.differs(variant):
            raise UserError(f'{path} holds a finished run of another configuration ({differs}); name another folder')
        elif 'set_aside' not in read_record(path, NEEDED_OF_RUNS).values and for_weights(variant.transfer)[1]:
            raise UserError(
                f'{path} was run when settings for pretrained weights were not set aside from scratch yet: '
                'delete it to run it again'
            )
        planned.append((fields, variant, path))
    parts = check_all([(path, variant) for _, variant, path in planned])
    if tune:
        check_parts(parts)
    heard: set[str] = set()

    def tell(line: str) -> None:
        # What one run says of its data and weights, the next mostly says again.
        if line not in heard:
            heard.add(line)
            say(line)

    for _, own, _ in planned:
        for line in random_weights_notes(for_weights(own.transfer)[1]):
            tell(line)
    records = []
    with held(folder):
        for number, (fields, variant, path) in enumerate(planned, 1):
            title = ', '.join(f'{field.rpartition(".")[2]}={value}' for field, value in fields.items())
            with stopping.resumable(folder):
                record = _one(fields, variant, path, tell)
            records.append(record)
            # What is not chosen yet is not to be judged by the test part, not by the person who reads along either.
            found = record.get('validation', {}) if tune else record['metrics']
            say(f'[{number}/{len(planned)}] {title}: {record["error"] or in_words(found, record["unit"])}')
    return folder, choose(records, list(over), list(tune), say) if tune else records


def check_all(variants: Sequence[tuple[Path, Config]]) -> dict[Path, Parts]:
    """Checks, before the first of several runs, that none of them would be stopped, unreadable images excepted.

    Of those that are finished, or begun, only that they are of the data as they are now. Every data set is divided, and
    every network loaded, once for all the runs that share it.

    Args:
        variants: run directories with their configurations.

    Returns:
        The parts of every run's data.

    Raises:
        UserError: what a run would be stopped by, with its name, or one of other images or labels than there are now.
    """

    def of_data(config: Config) -> str:
        return repr((config.data, config.seed if config.data.split_seed is None else None))

    def of_model(config: Config) -> str:
        kind = config.transfer.strategy
        return repr((config.model, config.adapters if kind in ADAPTATIONS else None, kind == 'scratch', config.data))

    start = LastModel(drawn=False)
    data: dict[str, Parts] = {}
    splits: dict[str, dict[str, Any]] = {}
    found: dict[Path, Parts] = {}
    for path, config in sorted(variants, key=lambda variant: of_model(variant[1])):
        try:
            key = of_data(config)
            if key not in data:
                data[key] = load_parts(config.data, config.seed)
                splits[key] = split_of(data[key])
            parts = found[path] = data[key]
            if changed := other_data(path / SPLIT, splits[key]):
                raise UserError(f'it was run with {changed}; delete {path} to run it again, or name another folder')
            if is_finished(path):
                continue
            check_data(parts)
            prepare(config, parts, model=start(config, parts.class_names, parts.tasks))
        except UserError as error:
            raise UserError(f'{path.name}: {error}') from None
    return found


def _one(fields: dict[str, Any], config: Config, path: Path, say: Callable[[str], None]) -> Record:
    record = Record(fields=fields, metrics={}, seconds=0.0, run_dir=str(path), error=None)
    if not is_finished(path):
        try:
            finetune.run(config, title=f'{config.name} {path.name}', say=say)
        except WritingError:
            raise  # nor would the next run find any room
        except (UserError, TrainingDivergedError, jax.errors.JaxRuntimeError, MemoryError) as error:
            # The last two: a setting too large for the device need not be so for the others.
            record['error'] = (str(error).splitlines() or [type(error).__name__])[0]
            return record
    result = read_record(path, NEEDED_OF_RUNS)
    record['metrics'] = {
        f'{result["part"]} {result.score.name}': float(result['score']),
        f'{result["part"]} loss': result['loss'],
    }
    record['unit'] = result.score.unit
    record['validation'] = validation_of(result) or {}
    record['given'] = given.in_words(config, result.values)
    record['seconds'] = result['seconds']
    return record


def _directory_name(fields: Mapping[str, Any]) -> str:
    text = ','.join(f'{field}={value}' for field, value in fields.items())
    name = re.sub(r'[^\w.,=+()\[\]-]+', '_', text)
    if name == text and len(name.encode()) <= _LONGEST_NAME:
        return name
    # What was replaced or cut off would otherwise let two settings share a directory.
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return name.encode()[: _LONGEST_NAME - 9].decode(errors='ignore') + f'-{digest}'
