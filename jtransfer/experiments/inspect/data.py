"""A look at the data before it is trained on: counts, sizes, what cannot be read, duplicates, a contact sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jtransfer import config as config_lib
from jtransfer.config import Config
from jtransfer.data.decode.narrow import narrow_note
from jtransfer.data.duplicates import guard as leaks
from jtransfer.data.duplicates.guard import Guard
from jtransfer.data.measurable import check_parts
from jtransfer.data.part import Part
from jtransfer.data.parts import NAMES, load_parts
from jtransfer.data.source import Source, SourceLike
from jtransfer.data.survey import PartSurvey, survey_part, to_dict
from jtransfer.errors import UserError
from jtransfer.experiments.inspect.contact_sheet import contact_sheet
from jtransfer.experiments.inspect.duplicates import labels_differ, write_duplicates
from jtransfer.experiments.run.directory import beside_run, write_json
from jtransfer.files.paths import output_folder
from jtransfer.files.writing import make_folder
from jtransfer.pretrained.load import heads
from jtransfer.text.numbers import digits_of, rounded
from jtransfer.text.outside import printable
from jtransfer.train.logs.progress import progress_bar

SHEET, PAGE, FACTS = 'contact_sheet.png', 'duplicates.html', 'survey.json'
_MOST_CLASSES = 40
_MOST_FILES = 10
_MANY = 2000  # images: a few seconds


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What was found.

    Attributes:
        folder: where the sheet, the page and the facts are.
        source: name of the data.
        parts: facts about every part that a run of this configuration would have, and about what it would set apart
            without labels.
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
    output: str | Path = '',
    source: SourceLike | Mapping[str, SourceLike] | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Survey:
    """Looks at the data of a configuration, divided as a run would divide it, and writes what it found.

    Unreadable pictures are counted and listed, not stumbled over.

    Args:
        config: whose `data` counts.
        output: folder for `contact_sheet.png` (of the training part), `survey.json` and, where there are duplicates,
            `duplicates.html`; files of these names are replaced. Empty: `RUN_DIR-data`, see `beside_run`.
        source: labelled images in memory, instead of `config.data.source`.
        say: told, line by line, what is going on.

    Raises:
        UserError: anything about the data that would stop an experiment, unreadable images excepted, or a folder that
            cannot be written.
    """
    config = config_lib.validate(config)
    folder = output_folder(output or beside_run(config, '-data'))
    # Only what is kept together changes the parts; what is reported is looked for below.
    duplicates = 'group' if config.data.duplicates == 'group' else 'ignore'
    data = dataclasses.replace(config.data, skip_unreadable=True, duplicates=duplicates)
    parts = load_parts(data, config.seed, source, training=False)
    every = {name: getattr(parts, name) for name in (*NAMES, 'unlabelled')}
    found: dict[str, Part] = {name: part for name, part in every.items() if part is not None}
    sizes = ', '.join(f'{name} {len(part):,}' for name, part in found.items())
    say(f'{config.data.source}: {heads.in_words(parts.tasks)}; images: {sizes}')
    make_folder(folder)
    facts = {}
    for name, part in found.items():
        with progress_bar(f'reading {name}', len(part), show=_shown(config, len(part))) as bar:
            facts[name] = survey_part(part, workers=data.workers, progress=bar_progress(bar))
    sources: dict[str, Source] = dict(found)
    guard = None
    if config.data.duplicates != 'ignore':
        total = sum(map(len, found.values()))
        with progress_bar('looking for duplicates', total, show=_shown(config, total)) as bar:
            guard = leaks.look(data, sources, progress=bar_progress(bar))
    narrow = {name: found for of in facts.values() for name, found in of.narrow.items()}
    dark = [narrow_note(narrow, sum(of.examples for of in facts.values()))] if narrow else []
    refused = []
    try:
        check_parts(parts)
    except UserError as error:
        refused = [f'no run starts on these data: {error}']
    notes = tuple(dict.fromkeys((*parts.notes, *refused, *dark, *(_about_duplicates(guard) if guard else ()))))
    record = None if guard is None else leaks.to_record(guard)
    facts_record = {'source': config.data.source, 'parts': to_dict(facts), 'duplicates': record, 'notes': list(notes)}
    write_json(folder / FACTS, facts_record)
    hidden = contact_sheet(folder / SHEET, parts.train, seed=config.seed)
    (folder / PAGE).unlink(missing_ok=True)
    if guard is not None and guard.found.pairs:
        write_duplicates(
            folder / PAGE,
            guard.everything,
            guard.found,
            assignment=list(guard.parts),
            title=f'Duplicates in {config.data.source}',
        )
    return Survey(folder, config.data.source, facts, guard, notes, hidden)


def bar_progress(bar: Callable[..., None]) -> Callable[[int, int], None]:
    """What a progress bar is told, from images done and in all."""
    return lambda done, total: bar(done, '')


def describe(result: Survey) -> RenderableType:
    """The facts for a terminal."""
    blocks: list[RenderableType] = []
    for task in next(iter(result.parts.values())).counts:
        blocks += [_counts_table(result.parts, task), '']
    blocks += [_facts_table(result.parts), '']
    blocks += [Text(line) for line in result.notes]
    blocks += [Text(line, style='yellow') for line in _pairs(result.guard)] if result.guard else []
    for name, facts in result.parts.items():
        blocks += [Text(f'{name}: {reason}', style='red') for _, reason in facts.unreadable[:_MOST_FILES]]
        if len(facts.unreadable) > _MOST_FILES:
            blocks.append(Text(f'{name}: {len(facts.unreadable) - _MOST_FILES:,} more unreadable images, in {FACTS}'))
    if result.hidden_classes:
        more = 'one class' if result.hidden_classes == 1 else f'{result.hidden_classes:,} classes'
        blocks.append(Text(f'the contact sheet shows all but {more}'))
    written = [name for name in (SHEET, PAGE, FACTS) if (result.folder / name).exists()]
    return Group(*blocks, Text.assemble((str(result.folder), 'bold'), f': {", ".join(written)}'))


def _about_duplicates(guard: Guard) -> list[str]:
    lines = guard.lines()
    if differing := sum(labels_differ(guard.everything, group) for group in guard.found.components()):
        lines.append(f'{differing:,} {"group" if differing == 1 else "groups"} of duplicates with labels that differ')
    return lines


def _pairs(guard: Guard) -> list[str]:
    """The first pairs, those in two parts before others."""
    across = guard.across()
    pairs = [*across, *(pair for pair in guard.found.pairs if pair not in across[:_MOST_FILES])][:_MOST_FILES]
    lines = []
    for pair in pairs:
        one, other = (f'{guard.everything.ids[end]} ({guard.parts[end]})' for end in (pair.first, pair.second))
        lines.append(f'{pair.kind}: {one}, {other}')
    if (more := len(guard.found.pairs) - len(pairs)) > 0:
        lines.append(f'{more:,} more {"pair" if more == 1 else "pairs"}, in {FACTS}')
    return lines


def _shown(config: Config, images: int) -> bool:
    return config.train.progress and images >= _MANY


def _table(title: str, parts: Mapping[str, PartSurvey], justify: str) -> Table:
    # A class may be called [bold]: what a person named is text, never markup.
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(Text(title), overflow='fold')
    for part in parts:
        table.add_column(Text(part), justify=justify, overflow='fold')  # type: ignore[arg-type]
    return table


def _counts_table(parts: Mapping[str, PartSurvey], task: str) -> Table:
    table = _table(f'class of {task}' if task else 'class', parts, 'right')
    names = list(next(iter(parts.values())).counts[task])

    def row(name: str) -> None:
        table.add_row(_line(name), *(f'{facts.counts[task].get(name, 0):,}' for facts in parts.values()))

    if len(names) <= _MOST_CLASSES:
        for name in names:
            row(name)
    else:
        # Of many classes, those at both ends say the most.
        largest = sorted(names, key=lambda name: -next(iter(parts.values())).counts[task][name])
        for name in largest[: _MOST_CLASSES // 2]:
            row(name)
        table.add_row(f'… {len(names) - _MOST_CLASSES:,} classes between, in {FACTS}', style='dim')
        for name in largest[-(_MOST_CLASSES // 2) :]:
            row(name)
    table.add_row('images', *(f'{facts.examples:,}' for facts in parts.values()), style='bold')
    return table


def _facts_table(parts: Mapping[str, PartSurvey]) -> Table:
    table = _table('', parts, 'left')
    all_facts = list(parts.values())

    def row(title: str, values: Sequence[str]) -> None:
        if any(values):
            table.add_row(_line(title), *(Text(value) for value in values))

    if not all_facts[0].counts:
        row('images', [f'{facts.examples:,}' for facts in all_facts])
    row('width', [_spread(facts.widths, '{:,.0f}') for facts in all_facts])
    row('height', [_spread(facts.heights, '{:,.0f}') for facts in all_facts])
    row('width / height', [_spread(facts.aspects, '{:.2f}') for facts in all_facts])
    row('kinds', [', '.join(f'{kind} {number:,}' for kind, number in facts.modes.items()) for facts in all_facts])
    for task in all_facts[0].counts:
        ratios = [facts.imbalance.get(task) for facts in all_facts]
        row(
            f'{task}: largest / smallest' if task else 'largest / smallest class',
            [f'{ratio:.1f}' if ratio else '' for ratio in ratios],
        )
    row('groups', [f'{facts.groups:,}' if facts.groups else '' for facts in all_facts])
    row('weights', [_range(facts.weights) for facts in all_facts])
    row('not labelled', [_total(facts.unlabelled) for facts in all_facts])
    row('unreadable', [f'{len(facts.unreadable):,}' if facts.unreadable else '' for facts in all_facts])
    for task, numbers in all_facts[0].numbers.items():
        for name in numbers:
            row(f'{task}: {name}' if task else name, [_number(facts.numbers[task].get(name)) for facts in all_facts])
    return table


def _line(text: str) -> Text:
    return Text(printable(' '.join(text.split())) or '(no name)' if text else '')


def _spread(values: Sequence[Any], form: str) -> str:
    low, median, high = (form.format(value) for value in values)
    if not values[2]:  # no picture could be read
        return ''
    return low if low == high else f'{low} to {high}, median {median}'


def _range(weights: tuple[float, float] | None) -> str:
    if weights is None:
        return ''
    low, high = weights
    return f'{low:g}' if low == high else f'{low:g} to {high:g}'


def _total(unlabelled: Mapping[str, int]) -> str:
    return ', '.join(f'{task + ": " if task else ""}{number:,}' for task, number in unlabelled.items() if number)


def _number(values: tuple[float, float, float, float] | None) -> str:
    if values is None or not np.isfinite(values).all():
        return ''
    low, mean, deviation, high = values
    digits = digits_of(np.array([low, high]), 4)
    low_text, high_text, mean_text = (rounded(value, digits) for value in (low, high, mean))
    return f'{low_text} to {high_text}, mean {mean_text} ± {deviation:.4g}'
