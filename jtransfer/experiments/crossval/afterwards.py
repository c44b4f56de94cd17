"""What the folds are used for once they are there: an ensemble, a soup of their weights, or a network on everything."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer import adapters
from jtransfer.config import Config, replace
from jtransfer.config.crossval import CrossVal
from jtransfer.data.measurable import check_part, check_parts
from jtransfer.data.part import Part
from jtransfer.errors import UserError
from jtransfer.evaluate.views import Views, make_views
from jtransfer.evaluate.write import write_evaluation
from jtransfer.experiments.crossval.divide import CrossValidation
from jtransfer.experiments.crossval.results import CrossResult
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.data.split import other_data, split_of
from jtransfer.experiments.predict.ensemble import ensemble_scores, load_ensemble, write_ensemble
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import RESULT, SPLIT, RunDirectory, is_finished, write_config, write_json
from jtransfer.experiments.run.outputs import OUTPUTS, Outputs, write_outputs
from jtransfer.experiments.run.page import wrong_pictures
from jtransfer.experiments.run.prepare import Prepared, prepare
from jtransfer.experiments.run.safely import page_of_finished, scoring_saved
from jtransfer.experiments.run.score import Scores, score
from jtransfer.experiments.run.train import train_model
from jtransfer.experiments.soup.average import WeightAverager, statistics_move
from jtransfer.files.record_types import SCHEMA
from jtransfer.files.writing import make_folder
from jtransfer.pretrained.catalogue.locate import MODEL_FILE
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.model import Model, load_model
from jtransfer.report.page import write_report
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.transfer.averaging import greedy_soup


def after_folds(
    config: Config, crossing: CrossValidation, result: CrossResult, *, say: Callable[[str], None] = lambda line: None
) -> Path | None:
    """Does what `crossval.afterwards` says; what is there already stays.

    What comes out is tested once, on the part that no fold has seen, where there is one.

    Args:
        config: of the whole experiment.
        crossing: its folds, and what was kept out of them.
        result: what the folds amounted to.
        say: told, line by line, what is going on.

    Returns:
        The folder, which is a checkpoint for `launch.predict` and `launch.evaluate`; None for `none`.

    Raises:
        UserError: what is there already was made with other images or labels than there are now.
    """
    kind = config.crossval.afterwards
    if kind == 'none':
        return None
    folder = result.folder / kind
    if not is_finished(folder):
        runs = [result.folder / Path(summary.report).parent for summary in result.summaries]
        {'ensemble': _ensemble, 'soup': _soup, 'refit': _refit}[kind](config, crossing, result, runs, folder, say)
    elif changed := other_data(folder / SPLIT, split_of(crossing.whole(config))):
        raise UserError(f'{folder} was made with {changed}: delete it to make it again')
    say(f'{folder} is the {kind} of the folds, a checkpoint for launch.predict')
    return folder


def check(config: Config, crossing: CrossValidation, model: Model) -> None:
    """Raises `UserError` for what could not be done with the folds once they are there.

    Args:
        config: of the whole experiment.
        crossing: its folds.
        model: where the folds start.
    """
    kind = config.crossval.afterwards
    if kind == 'none':
        return
    for part, name in ((crossing.test, 'test'), (crossing.chooser if kind == 'soup' else None, 'soup')):
        if part is not None:
            check_part(part, name)
    if kind == 'soup':
        _check_averaged(model)
    if kind == 'refit':
        _prepared(config, crossing, model)


def _prepared(config: Config, crossing: CrossValidation, model: Model | None = None) -> Prepared:
    """The run on everything, of which no temperature is fitted.

    Raises:
        UserError: what would stop it.
    """
    parts = crossing.whole(config)
    check_parts(parts)
    return prepare(replace(config, 'evaluate.temperature', False), parts, model=model)


def _check_averaged(model: Model) -> None:
    """Raises `UserError` for adapters that stay beside the network: only merged ones are averaged."""
    if model.adaptation and not adapters.can_merge(model.adaptation):
        raise UserError(
            'crossval.afterwards=soup averages whole networks, and the adapters of these stay beside them: use '
            'crossval.afterwards=ensemble'
        )


def _ensemble(
    config: Config,
    crossing: CrossValidation,
    result: CrossResult,
    runs: Sequence[Path],
    folder: Path,
    say: Callable[[str], None],
) -> None:
    write_ensemble(folder, runs)
    _describe_data(folder, config, crossing)
    scores = None
    if crossing.test is not None:
        models = load_ensemble(folder, config.model.dtype)
        first = models[0]
        views = make_views(first.network, first.variables, first.preprocessing, config.evaluate)
        examples = read_examples(crossing.test, first.preprocessing, config, views)
        scores = ensemble_scores(models, examples, config)
    _finish(folder, config, crossing, scores, {'members': [run.name for run in runs]}, say)


def _soup(
    config: Config,
    crossing: CrossValidation,
    result: CrossResult,
    runs: Sequence[Path],
    folder: Path,
    say: Callable[[str], None],
) -> None:
    assert crossing.chooser is not None
    models = {run.name: load_model(run, dtype=config.model.dtype) for run in runs}
    model = next(iter(models.values()))
    _check_averaged(model)
    trees = {name: heads.rescale(other.variables, other.tasks, model.tasks) for name, other in models.items()}
    chooser = read_examples(crossing.chooser, model.preprocessing, config)
    moving = statistics_move(trees.values())
    training = read_examples(crossing.pool, model.preprocessing, config) if moving else None
    averager = WeightAverager(model, config, trees, chooser, training)
    made = greedy_soup(trees, averager.judged, averager.finish)
    model = dataclasses.replace(model, variables=dict(made.variables))
    make_folder(folder)
    _describe_data(folder, config, crossing)
    save_model(
        folder / MODEL_FILE,
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        options=model.options,
        positions=model.positions,
        tasks=model.tasks,
        training={
            'source': config.data.source,
            'checkpoint': config.model.checkpoint,
            'recipe': 'greedy',
            'members': list(made.members),
            'versions': finetune.versions(),
        },
    )
    record = {
        'members': list(made.members),
        'chosen_on': len(crossing.chooser),
        'chooser_score': made.score,
        'chooser_scores': made.own,
        'recalibrated_on': averager.corrects(made.members),
    }
    _finish(folder, config, crossing, _test(model, config, crossing), record, say)


def _refit(
    config: Config,
    crossing: CrossValidation,
    result: CrossResult,
    runs: Sequence[Path],
    folder: Path,
    say: Callable[[str], None],
) -> None:
    step = max(1, round(float(np.mean([summary.chosen_step for summary in result.summaries]))))
    steps = result.steps
    own = dataclasses.replace(
        config,
        run_dir=str(folder),
        train=dataclasses.replace(config.train, steps=steps, epochs=0.0, stop_step=step, resume='auto'),
        crossval=CrossVal(),
    )
    directory = RunDirectory.find(own)
    prepared = dataclasses.replace(_prepared(own, crossing), config=own)
    began = time.perf_counter()
    with contextlib.ExitStack() as holding:

        def ready() -> None:
            holding.enter_context(directory.held())
            finetune.begin(directory, prepared)

        title = f'{config.name} {folder.name}'
        trained = train_model(prepared, run_dir=folder, ready=ready, title=title)
        finetune.save(folder, prepared, trained)
    with scoring_saved(folder, own):
        scores = _test(trained.model, config, crossing, prepared.views)
    if scores is not None:
        finetune.save(folder, prepared, trained, part='test', metrics=scores.metrics)
    record = {'step': step, 'steps': steps, 'train_examples': trained.examples, 'seconds': time.perf_counter() - began}
    _finish(folder, config, crossing, scores, record, say)


def _describe_data(folder: Path, config: Config, crossing: CrossValidation) -> None:
    """Writes what a run would: how images are read, and which are in which part."""
    write_config(folder, dataclasses.replace(config, crossval=CrossVal()))
    write_json(folder / SPLIT, split_of(crossing.whole(config)))


def _test(model: Model, config: Config, crossing: CrossValidation, views: Views | None = None) -> Scores | None:
    """The scores on the part that no fold has seen; None where there is none."""
    if crossing.test is None:
        return None
    views = views or make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    return score(model, read_examples(crossing.test, model.preprocessing, config, views), config)


def _finish(
    folder: Path,
    config: Config,
    crossing: CrossValidation,
    scores: Scores | None,
    record: dict[str, Any],
    say: Callable[[str], None],
) -> None:
    """Writes what was found on the test part: the tables, `result.json`, then the page."""
    found: dict[str, Any] = {}
    if scores is not None:
        metrics: Measured = scores.metrics
        write_evaluation(folder / 'evaluation', metrics, scores.logits, scores.labels, scores.ids)
        write_outputs(folder / 'evaluation' / OUTPUTS, Outputs(scores.ids, scores.logits, scores.labels))
        found = {'part': 'test', **metrics.record()}
    write_json(folder / RESULT, {'schema': SCHEMA, **found, **record, 'versions': finetune.versions()})
    if scores is not None and crossing.test is not None:
        say(f'{folder.name}, tested on {len(scores.ids):,} images that no fold has seen: {scores.metrics.headline()}')
        with page_of_finished(folder):
            _write_page(folder, config, crossing.test, scores)


def _write_page(folder: Path, config: Config, test: Part, scores: Scores) -> None:
    metrics: Measured = scores.metrics
    write_report(
        folder / 'report.html',
        title=f'{config.name}: {folder.name} of the folds',
        metrics=metrics,
        most_wrong=wrong_pictures(scores, test, config.evaluate.most_wrong),
        facts={'data': config.data.source, 'evaluated on': f'{metrics.examples:,} images that no fold has seen'},
    )
