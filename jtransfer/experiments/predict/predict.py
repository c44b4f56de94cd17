"""A trained model on images it has not seen: an evaluation on any source, and predictions for a folder."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jtransfer.checks import one_of
from jtransfer.config import Config, Data
from jtransfer.data.decode.image_kinds import count_endings, left_out
from jtransfer.data.decode.images import UnreadableImageError, read_image
from jtransfer.data.measurable import absent_lines
from jtransfer.data.part import Part
from jtransfer.data.parts import NAMES
from jtransfer.data.source import Example, Source
from jtransfer.data.sources.confinement import check_inside
from jtransfer.data.sources.listing import Files, list_files
from jtransfer.errors import DataWarning, UserError
from jtransfer.evaluate.views import Views, make_views
from jtransfer.evaluate.write import write_evaluation
from jtransfer.experiments.data.data_lines import describe_source
from jtransfer.experiments.data.matching import Opened, for_model, open_for_model, pick
from jtransfer.experiments.data.read import Examples, read_examples
from jtransfer.experiments.data.reopen import parts_of_run
from jtransfer.experiments.predict.ensemble import (
    ensemble_outputs,
    ensemble_scores,
    is_ensemble,
    load_ensemble,
    members_of,
)
from jtransfer.experiments.predict.settings import PredictionSettings
from jtransfer.experiments.run.directory import RESULT, is_finished, is_run, read_config, read_result
from jtransfer.experiments.run.page import wrong_pictures
from jtransfer.experiments.run.score import score
from jtransfer.files.paths import expanded, output_file, output_folder
from jtransfer.inputs.base import Preprocessor
from jtransfer.pretrained.model import Model, load_model
from jtransfer.report.page import write_report
from jtransfer.report.predictions import to_results, write_task_predictions_csv
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, take
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.text.outside import count_of, printable_path


def evaluate_checkpoint(
    checkpoint: str,
    output: str | Path,
    *,
    source: str = '',
    part: str = '',
    data_dir: str = '',
    batch_size: int = 0,
    skip_unreadable: bool = False,
    skip_unlabelled: bool = False,
    flips: bool | None = None,
    crops: int = 0,
    scales: Sequence[float | str] = (),
    max_pixels: int = 0,
    pixel_range: Sequence[float | str] = (),
    confine_paths: bool = False,
    checkpoint_classes: str | Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Measured, str]:
    """Evaluates a checkpoint and writes `metrics.json`, the CSV tables and `report.html`.

    Heads, classes and numbers are matched by name. What the network knows and the data lack has no figure of its own,
    and is said; means are over what is there.

    A run directory is evaluated as the run was: with its computation type, its batch size and its views of each
    picture, and on its own data without the images that the run left out.

    Args:
        checkpoint: catalogue name, file of weights or run directory, as for `load_model`; or the folder of an ensemble.
        output: folder of the results; new or empty.
        source: as `data.source`. Empty: the data of the run that `checkpoint` is, divided as it was.
        part: `train`, `validation` or `test`. Empty: the test part where there is one, else all there is.
        data_dir: as `data.data_dir`.
        batch_size: images a forward pass. 0: the run's, or 256.
        skip_unreadable: leave unreadable images out instead of stopping at the first.
        skip_unlabelled: leave examples without a label out of a `source` instead of stopping.
        flips: as `evaluate.flips`. None: as the run, or not.
        crops: as `evaluate.crops`. 0: as the run, or 1.
        scales: as `evaluate.scales`, numbers or text. Empty: as the run, or the network's own size.
        max_pixels: as `data.max_pixels`. 0: as the run, or 100,000,000.
        pixel_range: as `data.pixel_range`, numbers or text. Empty: as the run, or what the images state.
        confine_paths: as `data.confine_paths`, for a `source`. False: as the run.
        checkpoint_classes: names of the outputs of its head, where it does not state them, as for `load_model`.
        say: told, line by line, what a person should know about the data.

    Returns:
        The metrics, and the name of the part.

    Raises:
        UserError: anything the person asked for that cannot be done.
    """
    output = output_folder(output, empty=True)
    if part:
        one_of('part', part, NAMES)
    read = (skip_unreadable, flips, crops, scales, max_pixels, pixel_range, confine_paths)
    given = PredictionSettings(batch_size, *read, checkpoint_classes)
    models, config = _open(checkpoint, given, own_data=not source)
    model = models[0]
    thresholds = _thresholds(checkpoint, model)
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    if source:
        opened = open_for_model(source, model, config, part=part, data_dir=data_dir, skip_unlabelled=skip_unlabelled)
    else:
        opened = _from_run(checkpoint, part, model, say)
    for line in opened.notes:
        say(line)
    held_out = Part(opened.source, np.arange(len(opened.source)))
    examples = _read(held_out, model.preprocessing, config, views)
    if len(models) == 1:
        scores = score(model, examples, config, thresholds=thresholds)
    else:
        scores = ensemble_scores(models, examples, config)
    write_evaluation(output, scores.metrics, scores.logits, scores.labels, scores.ids)
    write_report(
        output / 'report.html',
        title=f'{checkpoint} on {source or "its own data"}',
        metrics=scores.metrics,
        most_wrong=wrong_pictures(scores, held_out, config.evaluate.most_wrong),
        facts={
            'architecture': model.architecture + (f', {len(models)} networks' if len(models) > 1 else ''),
            'part': opened.part,
            'left out': f'{len(examples.skipped)} unreadable',
            'test-time augmentation': views.name,
            **({'of the data': '; '.join(opened.notes)} if opened.notes else {}),
        },
    )
    return scores.metrics, opened.part


def predict_folder(
    checkpoint: str,
    folder: str | Path,
    output: str | Path,
    *,
    batch_size: int = 0,
    skip_unreadable: bool = False,
    flips: bool | None = None,
    crops: int = 0,
    scales: Sequence[float | str] = (),
    max_pixels: int = 0,
    pixel_range: Sequence[float | str] = (),
    confine_paths: bool = False,
    checkpoint_classes: str | Sequence[str] = (),
) -> tuple[int, tuple[str, ...]]:
    """Says of every image below a folder what a model makes of it, in a CSV file, see `write_task_predictions_csv`.

    Of one label an image, the columns are class, probability, file.

    Args:
        checkpoint: catalogue name, file of weights or run directory, as for `load_model`; or the folder of an ensemble.
        folder: of images, or one image.
        output: the CSV file; replaced when it exists.
        batch_size: images a forward pass. 0: the run's, or 256.
        skip_unreadable: leave unreadable images out instead of stopping at the first.
        flips: as `evaluate.flips`. None: as the run, or not.
        crops: as `evaluate.crops`. 0: as the run, or 1.
        scales: as `evaluate.scales`, numbers or text. Empty: as the run, or the network's own size.
        max_pixels: as `data.max_pixels`. 0: as the run, or 100,000,000.
        pixel_range: as `data.pixel_range`, numbers or text. Empty: as the run, or what the images state.
        confine_paths: refuse images that links out of the folder lead to. False: as the run.
        checkpoint_classes: names of the outputs of its head, where it does not state them, as for `load_model`.

    Returns:
        How many images there were, and the unreadable ones that were left out.

    Raises:
        UserError: no such folder, no image in it, an unreadable one (unless they are skipped), or no such checkpoint.
    """
    folder, output = expanded(folder), output_file(output, example='predictions.csv')
    if not folder.exists():
        raise UserError(f'{folder}: there is no such folder')
    listed = Files((str(folder),)) if folder.is_file() else list_files(folder)
    files, where = listed.images, f'in {printable_path(str(folder))}'
    left = left_out(count_endings(map(os.path.basename, listed.others)), where)
    if listed.hidden:
        left.append(f'{count_of(listed.hidden, "hidden file")} {where} left out')
    if not files:
        raise UserError('; '.join([f'{folder} holds no images', *left]))
    read = (skip_unreadable, flips, crops, scales, max_pixels, pixel_range, confine_paths)
    given = PredictionSettings(batch_size, *read, checkpoint_classes)
    models, config = _open(checkpoint, given, own_data=False)
    if config.data.confine_paths:
        check_inside(files, folder if folder.is_dir() else folder.parent)
    model = models[0]
    thresholds = _thresholds(checkpoint, model)
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    part = Part(_Files(tuple(files), model, config.data), np.arange(len(files)))
    examples = _read(part, model.preprocessing, config, views)
    outputs, _ = ensemble_outputs(models, examples, config)
    for line in left:
        warnings.warn(line, DataWarning, stacklevel=2)
    results = to_results(model.tasks, outputs)
    write_task_predictions_csv(output, examples.ids, results, model.tasks, thresholds=thresholds)
    return len(examples.ids), examples.skipped


def describe(metrics: Measured, part: str) -> str:
    """An evaluation in a line."""
    return f'{metrics.describe(part)}; test-time augmentation: {metrics.test_time_augmentation}'


class _Files(Source):
    """Images without labels as a source, every label 0."""

    class_names: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    tasks: tuple[Task, ...]

    def __init__(self, files: tuple[str, ...], model: Model, data: Data) -> None:
        self.class_names, self.ids = model.class_names, tuple(printable_path(name) for name in files)
        self.tasks = model.tasks
        self.labels = {task.name: task.blank(len(files)) for task in model.tasks}
        self._files, self._max_pixels, self._pixel_range = files, data.max_pixels, data.pixel_range

    def __getitem__(self, index: int) -> Example:
        name = self.ids[index]
        image, narrow = read_image(Path(self._files[index]), name, self._max_pixels, self._pixel_range)
        return {'image': image, 'labels': take(self.labels, index), 'id': name, 'narrow': narrow}


def _open(checkpoint: str, given: PredictionSettings, own_data: bool) -> tuple[tuple[Model, ...], Config]:
    """The model, or those of an ensemble, and the settings to read and evaluate with: the run's, if it is one.

    What the run did with unreadable images holds for its own data, not for others.
    """
    run = expanded(checkpoint)
    several = is_ensemble(run)
    of = members_of(run)[0] if several else run
    config = read_config(of) if is_run(of) else Config()
    skip = given.skip_unreadable or (own_data and config.data.skip_unreadable)
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, skip_unreadable=skip, **given.of_data()),
        evaluate=dataclasses.replace(config.evaluate, **given.of_evaluate()),
    )
    if several and given.checkpoint_classes:
        raise UserError(f'{run} is an ensemble, whose networks know their classes; leave checkpoint_classes out')
    if several:
        return load_ensemble(run, config.model.dtype), config
    model = load_model(checkpoint, dtype=config.model.dtype, checkpoint_classes=given.checkpoint_classes)
    return (model,), config


def _thresholds(checkpoint: str, model: Model) -> dict[str, list[float]] | None:
    """Where an image may have several labels: from which probability on a run predicts each, if it is one."""
    run = expanded(checkpoint)
    found = read_result(run).get('thresholds') if is_run(run) and is_finished(run) else None
    outputs = {task.name: task.outputs for task in model.tasks}
    if any(len(values) != outputs.get(name) for name, values in (found or {}).items()):
        raise UserError(f'{run / RESULT} is damaged: its thresholds are not those of the outputs of the network')
    return found


def _read(part: Part, preprocessing: Preprocessor, config: Config, views: Views) -> Examples:
    """`read_examples`; what helps an unreadable image is named as it was given here."""
    try:
        return read_examples(part, preprocessing, config, views)
    except UnreadableImageError as error:
        raise error.named('') from None


def _from_run(checkpoint: str, part: str, model: Model, say: Callable[[str], None]) -> Opened:
    """The part to evaluate of the data that a run divided."""
    run = expanded(checkpoint)
    if not is_run(run):
        raise UserError(f'source is missing: {checkpoint} is no run directory and has no data of its own')
    sources: dict[str, Source] = dict(parts_of_run(run))
    if not part and list(sources) == ['train']:
        raise UserError(
            f'{checkpoint} has no images of its own that it was not trained on: name others with source=…, or '
            'say part=train'
        )
    name = pick(part, sources, checkpoint)
    for line in describe_source(name, sources, checkpoint):
        say(line)
    matched = for_model(sources[name], model, 'the data of the run')
    return Opened(name, matched, tuple(absent_lines(model.tasks, matched.labels, f'the {name} part')))
