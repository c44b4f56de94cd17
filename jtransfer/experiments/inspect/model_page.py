"""One entry of the catalogue, or one architecture, in full."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.experiments.inspect.models import plain_table, print_wide
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.prepare import in_words
from jtransfer.models import cost
from jtransfer.pretrained.catalogue.entries import ARCHITECTURE_CLASSES, NORMS, Entry, entries, find
from jtransfer.text.terminal import PlainConsole

_WHOLE_DIGEST = 64
# GFLOP from which no decimals are shown.
_WHOLE_OPERATIONS = 100
# Share of letters in common from which a name was most likely meant for another.
_ALIKE = 0.75


def print_one(name: str, console: Console | None = None) -> None:
    """Prints everything about an entry of the catalogue, or about an architecture.

    Args:
        name: of the entry or of the architecture.
        console: None: the standard output.

    Raises:
        UserError: neither has the name; the message has the nearest ones.
    """
    console = console or PlainConsole()
    entry = None if name in models.variant_names() else _find(name)
    architecture = entry.architecture if entry else name
    preprocessing = entry.preprocessing if entry else models.describe(name).preprocessing
    classes = entry.num_classes if entry else ARCHITECTURE_CLASSES
    network = models.create(
        architecture,
        num_classes=classes,
        preprocessing=preprocessing,
        options=entry.options if entry else None,
    )
    measured = cost.measure(network, preprocessing.spec())
    facts = _facts_of_entry(entry) if entry else _facts_of_architecture(name)
    head = f'{measured.head:,} of them in the head of {classes:,} outputs' if measured.head else 'no head'
    facts['parameters'] = f'{measured.parameters:,}, {head}'
    facts['operations'] = f'{_operations(measured.flops)} for one {in_words(measured.spec)}'
    facts['preprocessing'] = _preprocessing(preprocessing)
    console.print(Text(name, style='bold'), overflow='fold')
    print_wide(console, _grid(facts))
    console.print()
    print_wide(console, _stage_table(measured))
    console.print()
    print_wide(console, _path_table(measured))
    console.print()
    for line in _use(name, entry):
        console.print(Text(line), soft_wrap=True)


def _find(name: str) -> Entry:
    try:
        return find(name)
    except UserError as error:
        close = difflib.get_close_matches(name, models.variant_names(), n=1, cutoff=_ALIKE)
        raise UserError(f'{error}; the nearest architecture: {close[0]}' if close else str(error)) from None


def _facts_of_entry(entry: Entry) -> dict[str, str]:
    place = f'https://huggingface.co/{entry.repo}, {entry.file}' if entry.repo else entry.file
    place += f', commit {entry.revision}' if entry.revision else ''
    digest = f'; SHA-256 {entry.sha256}{"…" if len(entry.sha256) < _WHOLE_DIGEST else ""}' if entry.sha256 else ''
    accuracy = f'{entry.accuracy:g} % of ImageNet-1k, top-1, at {entry.accuracy_size} pixels' if entry.accuracy else ''
    return {
        'trained on': entry.about,
        'architecture': f'{entry.architecture}, of the family {models.describe(entry.architecture).family}',
        'options': ', '.join(f'{option}={value}' for option, value in entry.options.items()) or 'none',
        'file': place + ('' if entry.repo or '://' in entry.file else ' in this package'),
        'size': f'about {entry.bytes / 1e6:,.1f} MB{digest}',
        'naming': entry.naming or "by the file's names",
        'licence': entry.licence,
        'accuracy': accuracy or 'not known',
        'facts from': entry.source,
    }


def _facts_of_architecture(name: str) -> dict[str, str]:
    variant = models.describe(name)
    weights = [entry.name for entry in entries().values() if entry.architecture == name]
    return {
        'family': variant.family,
        'fields': ', '.join(f'{field}={value}' for field, value in variant.kwargs.items()),
        'weights': '\n'.join(weights) or 'none are published',
    }


def _preprocessing(how: Preprocessor) -> str:
    if not isinstance(how, ImagePreprocessor):
        return how.summary()
    norm = next((name for name, values in NORMS.items() if values == (how.mean, how.std)), 'of its own')
    return f'{how.summary()} ({norm})'


def _stage_table(measured: cost.Cost) -> Table:
    table = plain_table('stage', 'output')
    for heading in ('tensors', 'parameters'):
        table.add_column(heading, justify='right', no_wrap=True)
    table.add_column('rule', no_wrap=True)
    for stage in measured.stages:
        shape = '×'.join(map(str, stage.shape))
        table.add_row(*map(Text, (stage.name, shape, str(stage.tensors), f'{stage.elements:,}', stage.rule)))
    return table


def _path_table(measured: cost.Cost) -> Table:
    table = plain_table('parameters by rule')
    for heading in ('tensors', 'parameters'):
        table.add_column(heading, justify='right', no_wrap=True)
    for paths in measured.paths:
        table.add_row(*map(Text, (paths.pattern, str(paths.tensors), f'{paths.elements:,}')))
    return table


def _use(name: str, entry: Entry | None) -> Iterator[str]:
    given = f"'{name}'" if entry else f"architecture='{name}'"
    setting = f'checkpoint={name}' if entry else f'checkpoint= --config.model.name={name}'
    yield 'import jtransfer as jt'
    yield f'model = jt.load_model({given}, num_classes=10)'
    yield (
        f'python -m launch.finetune --config=configs/finetune.py --config.model.{setting} '
        '--config.data.source=folder:photos'
    )


def _grid(facts: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style='bold', no_wrap=True)
    grid.add_column(overflow='fold')
    for fact, text in facts.items():
        grid.add_row(fact, Text(text))
    return grid


def _operations(flops: float) -> str:
    if math.isnan(flops):
        return 'not known'
    giga = flops / 1e9
    # Three digits, but never as a power of ten.
    number = f'{giga:,.0f}' if giga >= _WHOLE_OPERATIONS else f'{giga:.3g}'
    return f'{number} GFLOP (a multiplication and an addition are two)'
