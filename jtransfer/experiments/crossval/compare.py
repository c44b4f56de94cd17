"""Two cross-validations over the same folds, or two runs over the same images: which one is better, and how surely."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jtransfer.data.split.fold_file import read_fold_record
from jtransfer.errors import UserError
from jtransfer.evaluate.folds import (
    Difference,
    McNemar,
    TTest,
    corrected_resampled_t,
    mcnemar,
    paired_bootstrap,
)
from jtransfer.experiments.crossval.divide import directory_name
from jtransfer.experiments.data.given import ASIDE, differing, found_in_words, in_words
from jtransfer.experiments.run.directory import FOLDS, RESULT, is_run, read_config, read_record, write_json
from jtransfer.experiments.run.outputs import OUTPUTS, Outputs, read_outputs, same_labels
from jtransfer.experiments.run.records import RunRecord
from jtransfer.files.paths import expanded, output_file
from jtransfer.tasks.base import labelled
from jtransfer.tasks.classification import Classification
from jtransfer.tasks.door import ONLY

_OF_FOLDS = ('fold_scores', 'test_train_ratio')


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How a second run compares with a first; differences are second less first.

    Attributes:
        names: of the two.
        score_name: what is compared; larger is better.
        scores: of the two.
        examples: how many images both predicted.
        folds: pairs of folds that were compared; 0 for single runs.
        t_test: over the folds' scores; None for single runs.
        bootstrap: of the difference, over the images, for single runs of one label an image.
        confidence: level of the intervals.
        mcnemar: on which images only one of the two is right, for one label an image.
        given: of the two, what each was given, in words: learning rate, what trains, steps.
    """

    names: tuple[str, str]
    score_name: str
    scores: tuple[float, float]
    examples: int
    folds: int
    t_test: TTest | None
    bootstrap: Difference | None
    confidence: float
    mcnemar: McNemar | None
    given: tuple[dict[str, str], dict[str, str]] = dataclasses.field(default_factory=lambda: ({}, {}))

    @property
    def difference(self) -> float:
        """Second score less the first."""
        return self.scores[1] - self.scores[0]


def compare(first: str | Path, second: str | Path, *, confidence: float = 0.95) -> Comparison:
    """Compares two finished cross-validations, or two finished runs.

    Args:
        first: directory of the baseline.
        second: directory of what is compared with it.
        confidence: level of the intervals, in (0, 1).

    Raises:
        UserError: either is not finished, one is a cross-validation and the other a run, or they differ in folds,
            images or labels.
    """
    paths = expanded(first), expanded(second)
    crossed = [(path / FOLDS).exists() for path in paths]
    for path in paths:
        if not read_record(path).tested:
            raise UserError(f'{path} was not tested: it has no score to compare')
    results = [
        read_record(path, ('score', *_OF_FOLDS) if of else ('score',)) for path, of in zip(paths, crossed, strict=True)
    ]
    if crossed[0] != crossed[1]:
        one, other = paths if crossed[0] else paths[::-1]
        raise UserError(f'{one} is a cross-validation and {other} a single run: compare like with like')
    scores = [record.score for record in results]
    if scores[0].name != scores[1].name:
        raise UserError(f'{paths[0]} is measured by {scores[0].name} and {paths[1]} by {scores[1].name}')
    t_test = _folds_test(paths, results, confidence) if crossed[0] else None
    outputs = _same_examples(paths, [read_outputs(path / 'evaluation' / OUTPUTS) for path in paths])
    right = _right(outputs) if scores[0].name == Classification.score.name else None
    bootstrap = None
    if right is not None and t_test is None:
        accuracies = right[1].astype(np.float64), right[0].astype(np.float64)
        bootstrap = paired_bootstrap(*accuracies, confidence=confidence)
    return Comparison(
        names=(str(first), str(second)),
        score_name=scores[0].name,
        scores=(float(results[0]['score']), float(results[1]['score'])),
        examples=len(outputs[0]),
        folds=len(results[0]['fold_scores']) if crossed[0] else 0,
        t_test=t_test,
        bootstrap=bootstrap,
        confidence=confidence,
        mcnemar=None if right is None else mcnemar(*right),
        given=(_given(paths[0], results[0]), _given(paths[1], results[1])),
    )


def write(path: str | Path, outcome: Comparison) -> None:
    """Writes the numbers as JSON; null for an infinite t, of differences that are all the same."""
    values = {**dataclasses.asdict(outcome), 'difference': outcome.difference}
    if outcome.t_test is not None and not np.isfinite(outcome.t_test.t):
        values['t_test']['t'] = None
    write_json(output_file(path), values)


def describe(outcome: Comparison) -> RenderableType:
    """The comparison for a terminal."""
    columns = [name for name in differing(outcome.given) if name != ASIDE]
    table = Table(box=None)
    table.add_column('', overflow='fold')
    for name in (outcome.score_name, *columns):
        table.add_column(name)
    for name, score, given in zip(outcome.names, outcome.scores, outcome.given, strict=True):
        table.add_row(name, f'{score:.4f}', *(given.get(column, '') for column in columns))
    table.add_row('difference', f'{outcome.difference:+.4f}')
    lines: list[RenderableType] = [table]
    same = {name: text for name, text in outcome.given[0].items() if name not in (*columns, ASIDE)}
    if same:
        lines.append(Text('both: ' + ', '.join(f'{name} {text}' for name, text in same.items())))
    for name, given in zip(outcome.names, outcome.given, strict=True):
        if given.get(ASIDE):
            lines.append(Text(f'{name}: {given[ASIDE]}'))
    if (test := outcome.t_test) is not None:
        lines.append(
            Text(
                f'corrected resampled t-test over {outcome.folds} folds: {test.mean:+.4f} '
                f'({outcome.confidence:.0%} interval {test.low:+.4f} to {test.high:+.4f}), t = {test.t:.2f}, '
                f'{test.degrees} degrees of freedom, p = {test.p:.3g}'
            )
        )
    if (drawn := outcome.bootstrap) is not None:
        lines.append(
            Text(
                f'paired bootstrap over {outcome.examples:,} images: '
                f'{drawn.confidence:.0%} interval {drawn.low:+.4f} to {drawn.high:+.4f}'
            )
        )
    if (only := outcome.mcnemar) is not None:
        lines.append(
            Text(
                f'of {outcome.examples:,} images {only.only_a:,} are right in the first alone and '
                f'{only.only_b:,} in the second alone (McNemar, exact: p = {only.p:.3g})'
            )
        )
    return Group(*lines)


def _given(path: Path, result: RunRecord) -> dict[str, str]:
    """What a run was given, or every fold found for itself; of what is no run of ours (an ensemble) nothing."""
    if not is_run(path):
        return {}
    config = read_config(path)
    words = {'strategy': config.transfer.strategy, **in_words(config, result.values)}
    if (path / FOLDS).exists() and config.search.space:
        record = read_fold_record(path / FOLDS)
        names = [directory_name(each['repeat'], each['fold'], record['repeats']) for each in record['divisions']]
        folds = [read_config(path / name) for name in names if is_run(path / name)]
        words |= found_in_words([text.partition('=')[0].strip() for text in config.search.space], folds)
    return words


def _folds_test(paths: Sequence[Path], results: Sequence[RunRecord], confidence: float) -> TTest:
    records = [read_fold_record(path / FOLDS) for path in paths]
    if records[0]['sha256'] != records[1]['sha256']:
        raise UserError(
            f'{paths[0]} and {paths[1]} have different folds; run the second with '
            f'--config.crossval.file={paths[0] / FOLDS}'
        )
    scores = [np.array(result['fold_scores'], np.float64) for result in results]
    for path, own in zip(paths, scores, strict=True):
        if len(own) != len(records[0]['divisions']):
            raise UserError(
                f'{path / RESULT} is damaged: it has {len(own)} fold_scores of {len(records[0]["divisions"])} folds'
            )
    # Of two that trained on different shares of the folds, the one whose correction is larger.
    ratio = max(result['test_train_ratio'] for result in results)
    return corrected_resampled_t(scores[1] - scores[0], ratio, confidence)


def _same_examples(paths: Sequence[Path], outputs: Sequence[Outputs]) -> tuple[Outputs, Outputs]:
    """The outputs of both in one order; raises `UserError` unless they are of the same images with the same labels."""
    first, second = outputs
    position = {example: index for index, example in enumerate(second.ids)}
    if missing := [example for example in first.ids if example not in position]:
        raise UserError(f'{paths[1]} has no prediction for {missing[0]} ({len(missing)} such), unlike {paths[0]}')
    if len(second) > len(first):
        known = set(first.ids)
        more = next(example for example in second.ids if example not in known)
        raise UserError(f'{paths[0]} has no prediction for {more}, unlike {paths[1]}')
    second = second.of(np.array([position[example] for example in first.ids]))
    if not same_labels(first.labels, second.labels):
        raise UserError(f'{paths[0]} and {paths[1]} differ in the labels of their images')
    return first, second


def _right(outputs: Sequence[Outputs]) -> tuple[Bool[np.ndarray, ' n'], Bool[np.ndarray, ' n']] | None:
    """Whether each labelled image is right in either; None unless there is one task."""
    labels = outputs[0].labels.get(ONLY)
    if labels is None or labels.ndim > 1:
        return None
    known = labelled(labels)
    first, second = (each.outputs[ONLY][known].argmax(axis=1) == labels[known] for each in outputs)
    return first, second
