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
from jtransfer.config import Config
from jtransfer.config_check import get_field, split_values
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.experiments import finetune
from jtransfer.experiments.run_dir import NOT_IDENTITY, ROOT, RunDirectory, is_finished, read_result
from jtransfer.experiments.summary import Record

# Bytes; what file systems allow, less room for the names of temporary files.
_LONGEST_NAME = 200


def parse_over(texts: Sequence[str]) -> dict[str, list[str]]:
    """The swept fields and their values, from `FIELD=VALUE,VALUE,…`.

    >>> parse_over(['seed=0,1', 'augment.crop_scale=(0.5,1),(1,1)'])
    {'seed': ['0', '1'], 'augment.crop_scale': ['(0.5,1)', '(1,1)']}

    Raises:
        UserError: no field, no value, or the same one twice.
    """
    if not texts:
        raise UserError('--over is missing; --over=seed=0,1,2 runs three seeds')
    over: dict[str, list[str]] = {}
    for text in texts:
        field, equals, values = text.partition('=')
        if not equals or not field or not values:
            raise UserError(f'--over={text} is not of the form --over=FIELD=VALUE,VALUE')
        if field in over:
            raise UserError(f'--over names {field} twice; write all its values after one equals sign')
        over[field] = list(split_values(values))
        if duplicates := [value for value in over[field] if over[field].count(value) > 1]:
            raise UserError(f'--over={text} has the value {duplicates[0]} twice')
        if '' in over[field]:
            raise UserError(f'--over={text} has an empty value')
        if field in NOT_IDENTITY:
            raise UserError(f'--over={field} would not make another run: the sweep sets {field} itself')
    return over


def combinations(config: Config, over: Mapping[str, Sequence[str]]) -> list[tuple[dict[str, Any], Config]]:
    """Every combination of the swept values, with its configuration, all of them valid.

    Raises:
        UserError: a field that does not exist, a value that does not fit, one value written in two ways (1, 1.0), or a
            combination that is not possible.
    """
    for field, values in over.items():
        meant = [get_field(config_lib.replace(config, field, value), field) for value in values]
        if again := [value for index, value in enumerate(values) if meant[index] in meant[:index]]:
            raise UserError(f'--over={field}=… has the value {again[0]} twice')
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
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Path, list[Record]]:
    """Runs every combination, one after another; what is finished already is kept, what was cut short continues.

    A run that fails is recorded, and the others go on.

    Args:
        config: the configuration.
        over: values by dotted field name.
        folder: where the runs go. Empty: `runs/sweep-NAME`.
        say: told, line by line, what is going on.

    Returns:
        The folder, and a record a run.
    """
    variants = combinations(config, over)
    folder = Path(folder).expanduser() if folder else ROOT / f'sweep-{config.name}'
    planned = []
    for fields, variant in variants:
        train = dataclasses.replace(variant.train, resume='auto')
        path = folder / _directory_name(fields)
        variant = dataclasses.replace(variant, run_dir=str(path), train=train)
        if not is_finished(path):
            RunDirectory.find(variant)  # refuses what is in the way before the first run starts
        elif differs := RunDirectory.differs(variant):
            raise UserError(f'{path} holds a finished run of another configuration ({differs}); name another --out')
        planned.append((fields, variant, path))
    records = []
    for number, (fields, variant, path) in enumerate(planned, 1):
        title = ', '.join(f'{field.rpartition(".")[2]}={value}' for field, value in fields.items())
        record = _one(fields, variant, path)
        records.append(record)
        outcome = record['error'] or ', '.join(
            f'{k} {v:.1%}' for k, v in record['metrics'].items() if not k.endswith(' loss')
        )
        say(f'[{number}/{len(planned)}] {title}: {outcome}')
    return folder, records


def _one(fields: dict[str, Any], config: Config, path: Path) -> Record:
    record = Record(fields=fields, metrics={}, seconds=0.0, run_dir=str(path), error=None)
    if not is_finished(path):
        try:
            finetune.run(config, title=f'{config.name} {path.name}')
        except (UserError, TrainingDivergedError, jax.errors.JaxRuntimeError, MemoryError) as error:
            # The last two: a setting too large for the device need not be so for the others.
            record['error'] = (str(error).splitlines() or [type(error).__name__])[0]
            return record
    result = read_result(path)
    # Of runs before there were other tasks, the score is the accuracy.
    score_name = result.get('score_name', 'accuracy')
    score = float(result['score'] if 'score' in result else result['accuracy'])
    record['metrics'] = {f'{result["part"]} {score_name}': score, f'{result["part"]} loss': result['loss']}
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
