"""What the folds amount to together: scores with intervals, out-of-fold predictions, and the page about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jtransfer.config import Config
from jtransfer.data.split.folds import Fold
from jtransfer.errors import UserError
from jtransfer.evaluate.folds import FoldInterval, fold_interval
from jtransfer.evaluate.write import write_csv, write_evaluation
from jtransfer.experiments.crossval.divide import CrossValidation
from jtransfer.experiments.data.given import KEYS
from jtransfer.experiments.run.directory import RESULT, read_config, read_record, write_json
from jtransfer.experiments.run.outputs import OUTPUTS, Outputs, read_outputs, same_labels, write_outputs
from jtransfer.experiments.run.page import wrong_pictures
from jtransfer.experiments.run.records import NEEDED_OF_FOLDS, RunRecord
from jtransfer.experiments.run.safely import page_of_finished
from jtransfer.experiments.run.score import Scores
from jtransfer.files.record_types import SCHEMA
from jtransfer.report.crossval_page import FoldSummary, size_ratio, write_crossval_page
from jtransfer.tasks.average import mean_outputs
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import take
from jtransfer.tasks.metrics.figure import SHARE, Figure
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.tasks.metrics.several import measure_tasks
from jtransfer.train.logs.log import read_log

LOG = 'metrics.jsonl'


@dataclasses.dataclass(frozen=True, eq=False)
class CrossResult:
    """What a cross-validation amounts to.

    Attributes:
        config: as it was run.
        folder: where everything is.
        summaries: a line a fold.
        score: what the scores are: of the first fold.
        interval: mean of the folds' scores, with an interval that allows for shared training images.
        pooled: the metrics of the out-of-fold predictions, every example once (the mean over repeats).
        skipped: how many unreadable images are in no fold's predictions.
        steps: length of every fold's training.
    """

    config: Config
    folder: Path
    summaries: tuple[FoldSummary, ...]
    score: Figure
    interval: FoldInterval
    pooled: Measured
    skipped: int
    steps: int

    @property
    def scores(self) -> tuple[float, ...]:
        """The score of every fold."""
        return tuple(summary.score for summary in self.summaries)


def gather(config: Config, crossing: CrossValidation, folder: Path) -> CrossResult:
    """Reads what the finished folds left and writes what they amount to: tables, `result.json`, then `report.html`.

    Args:
        config: of the whole experiment.
        crossing: its folds.
        folder: of the experiment.
    """
    directories = [folder / crossing.name(fold) for fold in crossing.folds]
    results = [read_record(directory, NEEDED_OF_FOLDS) for directory in directories]
    summaries = tuple(map(_summary, crossing.folds, results, directories))
    per_fold = [read_fold(path, fold, crossing) for path, fold in zip(directories, crossing.folds, strict=True)]
    ratio = size_ratio(summaries)
    interval = fold_interval(np.array([s.score for s in summaries]), ratio, config.evaluate.confidence)
    tasks = crossing.pool.tasks
    outputs = average_repeats(per_fold, crossing.pool.ids, tasks)
    pooled = measure_tasks(
        tasks,
        outputs.outputs,
        outputs.labels,
        confidence=config.evaluate.confidence,
        bins=config.evaluate.calibration_bins,
    )
    result = CrossResult(
        config=config,
        folder=folder,
        summaries=summaries,
        score=results[0].score,
        interval=interval,
        pooled=pooled,
        skipped=len(crossing.pool) - len(outputs),
        steps=read_config(directories[0]).train.steps,
    )
    write_evaluation(folder / 'evaluation', pooled, outputs.outputs, outputs.labels, outputs.ids)
    write_outputs(folder / 'evaluation' / OUTPUTS, outputs)
    _write_folds(folder, summaries)
    first = results[0].values
    given = {name: first[name] for name in KEYS if name in first}
    write_json(folder / RESULT, {**_record(result, crossing, ratio), **given})
    with page_of_finished(folder):
        _write_page(result, crossing, outputs, directories, first.get('set_aside', ()))
    return result


def read_fold(directory: Path, fold: Fold, crossing: CrossValidation) -> Outputs:
    """The predictions of a finished fold.

    Raises:
        UserError: they are of other images than the fold tests, or these have other labels now, or a record of the
            fold is damaged.
    """
    read_record(directory, NEEDED_OF_FOLDS)
    read_log(directory / LOG)
    outputs = read_outputs(directory / 'evaluation' / OUTPUTS)
    ids = crossing.pool.ids
    position = {ids[index]: int(index) for index in fold.test}
    if not set(outputs.ids) <= set(position):
        raise UserError(f'{directory} was tested on other images than those of its fold: delete it to run it again')
    now = take(crossing.pool.labels, np.array([position[example] for example in outputs.ids], np.int64))
    if not same_labels(outputs.labels, now):
        raise UserError(f'{directory} was run when its images had other labels than now: delete it to run it again')
    return outputs


def average_repeats(per_fold: Sequence[Outputs], ids: Sequence[str], tasks: Sequence[Task]) -> Outputs:
    """One prediction an example, in the order of `ids`: the mean over the repeats of its out-of-fold predictions.

    The mean is one of probabilities where there are classes; the outputs are then their logarithm, or logit. Examples
    without a prediction (unreadable images) are left out.
    """
    rows: dict[str, list[tuple[Outputs, int]]] = {}
    for outputs in per_fold:
        for row, example in enumerate(outputs.ids):
            rows.setdefault(example, []).append((outputs, row))
    kept = tuple(example for example in ids if example in rows)
    firsts = [rows[example][0] for example in kept]
    labels = {task.name: np.array([own.labels[task.name][row] for own, row in firsts]) for task in tasks}

    def mean(task: Task) -> np.ndarray:
        found = [np.stack([own.outputs[task.name][row] for own, row in rows[example]]) for example in kept]
        averaged = np.stack([mean_outputs(task, values) for values in found])
        return averaged.astype(task.output_dtype)

    return Outputs(kept, {task.name: mean(task) for task in tasks}, labels)


def describe(result: CrossResult) -> RenderableType:
    """The end of a cross-validation: a line a fold, their mean with its interval, and where everything is."""
    table = Table('fold', 'train', 'test', 'best step', result.score.name, 'loss', box=None)
    repeated = any(summary.repeat for summary in result.summaries)
    for summary in result.summaries:
        name = f'{summary.repeat}/{summary.number}' if repeated else str(summary.number)
        table.add_row(
            name,
            f'{summary.train_examples:,}',
            f'{summary.test_examples:,}',
            f'{summary.chosen_step:,}',
            f'{summary.score:.4f}',
            f'{summary.loss:.4f}',
        )
    headline = Text.assemble((headline_of(result), 'bold green'))
    pooled = Text(f'out of fold: {result.pooled.headline()}')
    left = [Text(f'{result.skipped} unreadable images were left out')] if result.skipped else []
    where = Text.assemble('Everything is in ', (str(result.folder), 'bold'), '; report.html shows it')
    return Panel(Group(headline, '', table, '', pooled, *left, '', where), expand=False)


def headline_of(result: CrossResult) -> str:
    """The mean of the folds' scores in one line."""
    interval = result.interval
    low, high = interval.low, interval.high
    if result.score.unit == SHARE:  # A share cannot be outside, whatever the t-distribution says.
        low, high = max(low, 0.0), min(high, 1.0)
    return (
        f'{result.score.name} {interval.mean:.4f} ± {interval.sd:.4f} (standard deviation) over '
        f'{len(result.summaries)} folds; {interval.confidence:.0%} interval of the mean {low:.4f} to {high:.4f}'
    )


def _summary(fold: Fold, result: RunRecord, directory: Path) -> FoldSummary:
    return FoldSummary(
        repeat=fold.repeat,
        number=fold.number,
        train_examples=result['train_examples'],
        test_examples=result['examples'],
        chosen_step=result['chosen_step'],
        score=float(result['score']),
        loss=result['loss'],
        seconds=result['seconds'],
        report=f'{directory.name}/report.html',
    )


def _write_folds(folder: Path, summaries: Sequence[FoldSummary]) -> None:
    names = [field.name for field in dataclasses.fields(FoldSummary)]
    write_csv(folder / 'folds.csv', names, [[getattr(summary, name) for name in names] for summary in summaries])


def _write_page(
    result: CrossResult, crossing: CrossValidation, outputs: Outputs, directories: Sequence[Path], notes: Sequence[str]
) -> None:
    scores = Scores(result.pooled, outputs.outputs, outputs.labels, outputs.ids, crossing.pool.tasks)
    config = result.config
    write_crossval_page(
        result.folder / 'report.html',
        title=f'{config.name}: {len(result.summaries)} folds',
        folds=result.summaries,
        pooled=result.pooled,
        curves=[read_log(directory / LOG) for directory in directories],
        most_wrong=wrong_pictures(scores, crossing.pool, config.evaluate.most_wrong),
        facts={
            'strategy': config.transfer.strategy,
            'checkpoint': config.model.checkpoint or f'none ({config.model.name})',
            'data': config.data.source,
            'folds': f'{crossing.record["splitter"]}, seed {crossing.record["seed"]}',
        },
        config_text=(result.folder / 'config.py').read_text(encoding='utf-8', errors='replace'),
        notes=(*crossing.notes, *notes),
    )


def _record(result: CrossResult, crossing: CrossValidation, ratio: float) -> dict[str, Any]:
    interval = result.interval
    ends = (interval.low, interval.high)
    score = dataclasses.replace(result.score, value=interval.mean, interval=ends, confidence=interval.confidence)
    return {
        'schema': SCHEMA,
        'part': 'out of fold',
        'examples': result.pooled.examples,
        **score.record(),
        'standard_deviation': interval.sd,
        'fold_scores': list(result.scores),
        'chosen_steps': [summary.chosen_step for summary in result.summaries],
        'test_train_ratio': ratio,
        'pooled_score': result.pooled.score,
        'loss': result.pooled.loss,
        'metrics': {name: own.to_dict() for name, own in result.pooled.of_tasks().items()},
        'folds_sha256': crossing.record['sha256'],
        'skipped_images': result.skipped,
        'seconds': sum(summary.seconds for summary in result.summaries),
    }
