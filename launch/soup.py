"""Averages the networks of finished runs into one (a model soup), or a run with its source (WiSE-FT).

python -m launch.soup --run=runs/seed0 --run=runs/seed1 --run=runs/seed2 --recipe=greedy --output=runs/soup
python -m launch.soup --run=runs/quickstart --recipe=wise --alpha=0.25 --alpha=0.5 --alpha=0.75 --output=runs/wise
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from jtransfer.errors import UserError
from launch import app

_RUN = flags.DEFINE_multi_string('run', [], 'Run directory; given once for every member.')
_RECIPE = flags.DEFINE_string('recipe', 'greedy', 'uniform, greedy, or wise (one run and its source).')
_ALPHA = flags.DEFINE_multi_float('alpha', [0.5], 'Of wise: share of the run, 0 to 1; may be given several times.')
_OUTPUT = flags.DEFINE_string('output', '', 'Folder of the result, new or empty.')
_RECALIBRATE = flags.DEFINE_bool('recalibrate', True, 'Take batch statistics anew over the training images.')


def main() -> None:
    """Makes the soup, and shows what it is worth."""
    if not _RUN.value:
        raise UserError('--run is missing; --run=runs/seed0 --run=runs/seed1 names two finished runs')
    if not _OUTPUT.value:
        raise UserError('--output is missing; --output=runs/soup names a new folder')
    if _ALPHA.present and _RECIPE.value != 'wise':
        raise UserError(f'--alpha is for --recipe=wise, not {_RECIPE.value}')
    from jtransfer.experiments.soup import soup  # JAX starts only after the flags have been checked

    made = soup.make_soup(
        _RUN.value, _OUTPUT.value, recipe=_RECIPE.value, alpha=_ALPHA.value, recalibrate=_RECALIBRATE.value
    )
    app.show(table(made.record))
    for part in ('validation', 'test'):
        if made.record[part]:
            app.say(scored(part, made.record[part]))
    app.say(f'{made.path}: model.safetensors, soup.json')


def scored(part: str, scores: Mapping[str, Any]) -> str:
    """The score of the soup on a part in a line, with its interval where it has one.

    Args:
        part: its name.
        scores: what `soup.json` says of it.
    """
    from jtransfer.tasks.metrics.figure import Figure

    score = Figure.of_record(scores)
    interval = f' ({score.confidence:.0%} interval {score.interval_text})' if score.interval else ''
    return f'{part} {score.name} {score.text}{interval} on {scores["examples"]:,} examples'


def table(record: Mapping[str, Any]) -> Any:
    """The members, the shares that were tried, and the soup, with their scores: an accuracy in percent.

    Args:
        record: what `soup.json` holds.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from jtransfer.tasks.metrics.figure import Figure

    held = [record[part] for part in ('validation', 'test')]
    score = Figure(record['score_name'], None, record['score_unit'])

    def cells(*values: float | None) -> list[str]:
        return [score.tell(value) for value in values]

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    grid.add_column('', overflow='fold')
    for heading in ('in it', f'validation {score.name}', f'test {score.name}'):
        grid.add_column(heading, justify='right')
    for member in record['members']:
        own = cells(member['validation_score'], member['test_score'])
        grid.add_row(Text(member['run']), 'yes' if member['used'] else 'no', *own)
    for tried in record.get('alphas', ()):
        grid.add_row(f'alpha {tried["alpha"]:g}', '', *cells(tried['validation_score']), '–')
    row = f'alpha {record["alpha"]:g}, chosen' if 'alpha' in record else f'{record["recipe"]} soup'
    grid.add_row(row, '', *cells(*(scores and scores['score'] for scores in held)), style='bold green')
    return grid


if __name__ == '__main__':
    app.run(main)
