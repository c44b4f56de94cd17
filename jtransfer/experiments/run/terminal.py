"""What a person reads on the terminal: the plan as a table, and how a run ended."""

from __future__ import annotations

import io

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jtransfer.experiments.run.result import Result
from jtransfer.text.terminal import PlainConsole
from jtransfer.transfer.plan import Plan

_ANY_WIDTH = 100_000  # in a file, nothing is folded


def plan_table(plan: Plan) -> str:
    """The plan as plain text: a line a group, and the paths below it."""
    columns = ['group', 'rule', 'trains', 'tensors', 'elements', 'learning rate ×', 'decay']
    own = [name for name in ('optimizer', 'schedule') if any(row[name] for row in plan.rows())]
    phased = plan.phases > 1
    table = Table(*columns, *own, *['from phase'] * phased, box=None)
    for row in plan.rows():
        moves = row['trainable']
        table.add_row(
            row['group'],
            row['pattern'],
            'yes' if moves else 'frozen',
            f'{row["tensors"]:,}',
            f'{row["elements"]:,}',
            f'{row["learning_rate_scale"]:g}' if moves else '-',
            f'{row["weight_decay"]:g}' if moves else '-',
            *(row[name] or '-' for name in own),
            *[str(row['phase']) if moves else '-'] * phased,
        )
    console = PlainConsole(file=io.StringIO(), width=_ANY_WIDTH)
    for line in (plan.summary(), *plan.notes):
        console.print(line, soft_wrap=True)
    console.print()
    console.print(table)
    for group in plan.groups:
        console.print(f'\n{group.name}', soft_wrap=True)
        for path in group.paths:
            console.print(f'  {path}', soft_wrap=True)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return '\n'.join(line.rstrip() for line in text.splitlines()) + '\n'


def describe(result: Result) -> RenderableType:
    """The end of a run: the score with its interval, what was trained, and where everything is."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style='bold')
    facts.add_column(overflow='fold')
    facts.add_row('strategy', f'{result.config.transfer.strategy}; {result.load_summary}')
    facts.add_row('trained', result.plan.trained())
    facts.add_row('frozen', result.plan.frozen())
    for line in result.plan.notes:
        facts.add_row('set aside', Text(line))
    for name, text in result.metrics.more():
        facts.add_row(name, text)
    if result.skipped:
        facts.add_row('left out', f'{result.skipped} unreadable image{"s" if result.skipped > 1 else ""}')
    facts.add_row('time', f'{result.seconds:.1f} s, of which training {result.fit_seconds:.1f} s')
    listing = Table.grid(padding=(0, 2))
    for name, text in result.directory.listing():
        listing.add_row(f'  {name}', Text(text, style='dim'))
    where = Text.assemble('Run directory ', (str(result.directory.path), 'bold'))
    return Panel(Group(_headline(result), '', facts, '', where, listing), expand=False)


def _headline(result: Result) -> Text:
    score, rest = result.metrics.title()
    return Text.assemble((f'{result.part} {score}', 'bold green'), f'  ({rest})')
