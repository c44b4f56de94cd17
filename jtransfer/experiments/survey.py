"""A look at the data before it is trained on: counts, sizes, what cannot be read, duplicates, a contact sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jtransfer import config as config_lib
from jtransfer.config import Config
from jtransfer.data import leaks
from jtransfer.data.leaks import Guard
from jtransfer.data.part import Part
from jtransfer.data.parts import NAMES, load_parts
from jtransfer.data.source import Source
from jtransfer.data.survey import PartSurvey, survey_part, to_dict
from jtransfer.experiments.contact_sheet import contact_sheet
from jtransfer.experiments.duplicate_report import write_duplicates
from jtransfer.experiments.run_dir import write_json
from jtransfer.train.progress import progress_bar

SHEET, PAGE, FACTS = 'contact_sheet.png', 'duplicates.html', 'survey.json'
_MOST_CLASSES = 40
_MOST_FILES = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What was found.

    Attributes:
        folder: where the sheet, the page and the facts are.
        source: name of the data.
        parts: facts about every part that a run of this configuration would have.
        guard: the duplicates among all of them; None where nobody looked.
        notes: lines a person should know.
        hidden_classes: classes that the contact sheet has no room for.
    """

    folder: Path
    source: str
    parts: dict[str, PartSurvey]
    guard: Guard | None
    notes: tuple[str, ...]
    hidden_classes: int


def survey(
    config: Config,
    output: str | Path,
    source: Source | Mapping[str, Source] | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Survey:
    """Looks at the data of a configuration, divided as a run would divide it, and writes what it found.

    Unreadable pictures are counted and listed, not stumbled over.

    Args:
        config: whose `data` counts.
        output: folder for `contact_sheet.png`, `survey.json` and, where there are duplicates, `duplicates.html`; files
            of these names are replaced.
        source: labelled images in memory, instead of `config.data.source`.
        say: told, line by line, what is going on.

    Raises:
        UserError: anything about the data that would stop an experiment, unreadable images excepted.
    """
    config = config_lib.validate(config)
    data = dataclasses.replace(config.data, skip_unreadable=True, duplicates='ignore')
    parts = load_parts(data, config.seed, source, training=False)
    found: dict[str, Part] = {name: getattr(parts, name) for name in NAMES if getattr(parts, name) is not None}
    facts = {}
    for name, part in found.items():
        say(f'{name}: {len(part):,} images')
        with progress_bar(f'reading {name}', len(part), show=config.train.progress) as bar:
            facts[name] = survey_part(part, workers=data.workers, progress=bar_progress(bar))
    sources: dict[str, Source] = dict(found)
    guard = None
    if config.data.duplicates != 'ignore':
        guard = leaks.look(data, sources, distance=config.crossval.duplicate_distance)
    folder = Path(output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FACTS, {'source': config.data.source, 'parts': to_dict(facts)})
    hidden = contact_sheet(folder / SHEET, parts.train, seed=config.seed)
    if guard is not None and guard.found.pairs:
        write_duplicates(
            folder / PAGE,
            guard.everything,
            guard.found,
            assignment=list(guard.parts),
            title=f'Duplicates in {config.data.source}',
        )
    notes = (*parts.notes, *(guard.lines() if guard else ()))
    return Survey(folder, config.data.source, facts, guard, notes, hidden)


def bar_progress(bar: Callable[..., None]) -> Callable[[int, int], None]:
    """What a progress bar is told, from images done and in all."""
    return lambda done, total: bar(done, f'{done:,} of {total:,}')


def describe(result: Survey) -> RenderableType:
    """The facts for a terminal."""
    blocks: list[RenderableType] = []
    for task in next(iter(result.parts.values())).counts:
        blocks += [_counts_table(result.parts, task), '']
    blocks += [_facts_table(result.parts), '']
    blocks += [Text(line) for line in result.notes]
    for name, facts in result.parts.items():
        blocks += [Text(f'{name}: {reason}', style='red') for _, reason in facts.unreadable[:_MOST_FILES]]
        if len(facts.unreadable) > _MOST_FILES:
            blocks.append(Text(f'{name}: {len(facts.unreadable) - _MOST_FILES} more unreadable images'))
    if result.hidden_classes:
        blocks.append(Text(f'the contact sheet shows all but {result.hidden_classes} classes'))
    written = [name for name in (SHEET, PAGE, FACTS) if (result.folder / name).exists()]
    return Group(*blocks, Text.assemble((str(result.folder), 'bold'), f': {", ".join(written)}'))


def _counts_table(parts: Mapping[str, PartSurvey], task: str) -> Table:
    table = Table(f'class of {task}' if task else 'class', *parts, box=None)
    for column in table.columns[1:]:
        column.justify = 'right'
    names = list(next(iter(parts.values())).counts[task])
    for name in names[:_MOST_CLASSES]:
        table.add_row(name, *(f'{facts.counts[task].get(name, 0):,}' for facts in parts.values()))
    if len(names) > _MOST_CLASSES:
        table.add_row(f'… {len(names) - _MOST_CLASSES} more', *[''] * len(parts))
    table.add_row('all', *(f'{facts.examples:,}' for facts in parts.values()), style='bold')
    return table


def _facts_table(parts: Mapping[str, PartSurvey]) -> Table:
    table = Table('', *parts, box=None)

    def row(title: str, values: Sequence[str]) -> None:
        if any(values):
            table.add_row(title, *values)

    all_facts = list(parts.values())
    row('width', [_spread(facts.widths, '{:.0f}') for facts in all_facts])
    row('height', [_spread(facts.heights, '{:.0f}') for facts in all_facts])
    row('width / height', [_spread(facts.aspects, '{:.2f}') for facts in all_facts])
    row('kinds', [', '.join(f'{kind} {number:,}' for kind, number in facts.modes.items()) for facts in all_facts])
    row('largest / smallest class', [f'{facts.imbalance:.1f}' if facts.imbalance else '' for facts in all_facts])
    row('groups', [f'{facts.groups:,}' if facts.groups else '' for facts in all_facts])
    row('weights', [f'{facts.weights[0]:g} to {facts.weights[1]:g}' if facts.weights else '' for facts in all_facts])
    row('not labelled', [_total(facts.unlabelled) for facts in all_facts])
    row('unreadable', [f'{len(facts.unreadable):,}' if facts.unreadable else '' for facts in all_facts])
    for task in all_facts[0].numbers:
        for name in all_facts[0].numbers[task]:
            row(f'{task}: {name}' if task else name, [_number(facts.numbers[task].get(name)) for facts in all_facts])
    return table


def _spread(values: tuple[float, float, float], form: str) -> str:
    low, median, high = (form.format(value) for value in values)
    return low if low == high else f'{low} to {high}, median {median}'


def _total(unlabelled: Mapping[str, int]) -> str:
    return ', '.join(f'{task + ": " if task else ""}{number:,}' for task, number in unlabelled.items() if number)


def _number(values: tuple[float, float, float, float] | None) -> str:
    if values is None or not np.isfinite(values).all():
        return ''
    low, mean, deviation, high = values
    return f'{low:.4g} to {high:.4g}, mean {mean:.4g} ± {deviation:.4g}'
