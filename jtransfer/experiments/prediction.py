"""A trained model on images it has not seen: an evaluation on any source, and predictions for a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from jtransfer.config import Config, Data, replace
from jtransfer.config_check import one_of
from jtransfer.config_evaluate import validate_evaluate
from jtransfer.data.folder import list_images
from jtransfer.data.images import UnreadableImageError, decode_image
from jtransfer.data.opening import COLUMNS, TABLES
from jtransfer.data.part import Part
from jtransfer.data.parts import NAMES, open_source
from jtransfer.data.source import Example, Source
from jtransfer.data.targets import Labels, take, tasks_of
from jtransfer.errors import UserError
from jtransfer.evaluate.measure import AnyMetrics
from jtransfer.evaluate.metrics import Metrics
from jtransfer.evaluate.predictions import to_results, write_task_predictions_csv
from jtransfer.evaluate.report import write_report
from jtransfer.evaluate.views import Views, make_views
from jtransfer.evaluate.write import write_evaluation
from jtransfer.experiments.ensemble import (
    ensemble_outputs,
    ensemble_scores,
    is_ensemble,
    load_ensemble,
    members_of,
)
from jtransfer.experiments.page import wrong_pictures
from jtransfer.experiments.reading import Examples, read_examples
from jtransfer.experiments.reopen import parts_of_run
from jtransfer.experiments.run_dir import is_finished, is_run, read_config, read_result
from jtransfer.experiments.scoring import score
from jtransfer.preprocessing import Preprocessing
from jtransfer.pretrained import heads
from jtransfer.pretrained.model import Model, load_model
from jtransfer.tasks import Task
from jtransfer.text import printable_path


@dataclasses.dataclass(frozen=True, eq=False)
class Relabelled:
    """A source under the class numbers of a model that knows its classes by name; see `data.source.Source`."""

    source: Source
    class_names: tuple[str, ...]
    labels: Int32[np.ndarray, ' n']

    @property
    def ids(self) -> Sequence[str]:
        """Names of the examples, unchanged."""
        return self.source.ids

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """The example with the model's class number."""
        return {**self.source[index], 'label': int(self.labels[index])}


def relabel(source: Source, class_names: tuple[str, ...], what: str) -> Source:
    """The source under a model's class numbers, matched by class name.

    Raises:
        UserError: the model does not know a class of the source.
    """
    if tuple(source.class_names) == class_names:
        return source
    number = {name: index for index, name in enumerate(class_names)}
    if unknown := [name for name in source.class_names if name not in number]:
        raise UserError(
            f"{what} has the class '{unknown[0]}' ({len(unknown)} such), which the model does not know; "
            f'it knows {", ".join(class_names[:5])}{" …" if len(class_names) > 5 else ""}'
        )
    table = np.array([number[name] for name in source.class_names], np.int32)
    return Relabelled(source, class_names, table[np.asarray(source.labels)])


def for_model(source: Source, model: Model, what: str) -> Source:
    """The source with labels as a model's heads have them; with one label an image by class name, see `relabel`.

    Raises:
        UserError: the model does not know a class of the source, or has heads for something else.
    """
    theirs = tasks_of(source)
    if heads.plain(theirs) and heads.plain(model.tasks):
        return relabel(source, model.class_names, what)
    if not heads.matches(theirs, model.tasks):
        raise UserError(
            f'{what} has labels for {heads.in_words(theirs)}, and the model has heads for '
            f'{heads.in_words(model.tasks)}: names, kinds and outputs must be the same'
        )
    return source


def evaluate_checkpoint(
    checkpoint: str,
    output: str | Path,
    *,
    source: str = '',
    part: str = '',
    data_dir: str = '',
    batch_size: int = 0,
    skip_unreadable: bool = False,
    flips: bool | None = None,
    crops: int = 0,
    scales: Sequence[float | str] = (),
    checkpoint_classes: str | Sequence[str] = (),
) -> tuple[AnyMetrics, str]:
    """Evaluates a checkpoint and writes `metrics.json`, the CSV tables and `report.html`.

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
        flips: as `evaluate.flips`. None: as the run, or not.
        crops: as `evaluate.crops`. 0: as the run, or 1.
        scales: as `evaluate.scales`, numbers or text. Empty: as the run, or the network's own size.
        checkpoint_classes: names of the outputs of its head, where it does not state them, as for `load_model`.

    Returns:
        The metrics, and the name of the part.

    Raises:
        UserError: anything the person asked for that cannot be done.
    """
    output = _new_folder(output)
    if part:
        one_of('part', part, NAMES)
    given = _Given(batch_size, skip_unreadable, flips, crops, scales, checkpoint_classes)
    models, config = _open(checkpoint, given, own_data=not source)
    model = models[0]
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    if source:
        chosen, labelled = _from_source(source, part, data_dir, config)
    else:
        chosen, labelled = _from_run(checkpoint, part)
    held_out = Part(for_model(labelled, model, source or 'the data of the run'), np.arange(len(labelled)))
    examples = _read(held_out, model.preprocessing, config, views)
    if len(models) == 1:
        scores = score(model, examples, config, thresholds=_thresholds(checkpoint))
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
            'part': chosen,
            'left out': f'{len(examples.skipped)} unreadable',
            'test-time augmentation': views.name,
        },
    )
    return scores.metrics, chosen


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
        checkpoint_classes: names of the outputs of its head, where it does not state them, as for `load_model`.

    Returns:
        How many images there were, and the unreadable ones that were left out.

    Raises:
        UserError: no such folder, no image in it, an unreadable one (unless they are skipped), or no such checkpoint.
    """
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise UserError(f'{folder}: there is no such folder')
    files = [str(folder)] if folder.is_file() else list_images(folder)[0]
    if not files:
        raise UserError(f'{folder} holds no images')
    if Path(output).is_dir():
        raise UserError(f'--output={output} is a folder; name a .csv file')
    given = _Given(batch_size, skip_unreadable, flips, crops, scales, checkpoint_classes)
    models, config = _open(checkpoint, given, own_data=False)
    model = models[0]
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    part = Part(_Files(tuple(files), model, config.data.max_pixels), np.arange(len(files)))
    examples = _read(part, model.preprocessing, config, views)
    outputs, _ = ensemble_outputs(models, examples, config)
    results = to_results(model.tasks, outputs)
    write_task_predictions_csv(output, examples.ids, results, model.tasks, thresholds=_thresholds(checkpoint))
    return len(examples.ids), examples.skipped


def describe(metrics: AnyMetrics, part: str) -> str:
    """An evaluation in a line."""
    views = f'test-time augmentation: {metrics.test_time_augmentation}'
    if not isinstance(metrics, Metrics):
        return f'{metrics.headline()} ({part}); {views}'
    low, high = metrics.top1_interval
    return (
        f'accuracy {metrics.top1:.1%} ({metrics.confidence:.0%} interval {low:.1%} to {high:.1%}) '
        f'on {metrics.examples:,} images ({part}); loss {metrics.loss:.3f}; '
        f'calibration error {metrics.expected_calibration_error:.3f}; {views}'
    )


class _Files:
    """Images without labels as a source, every label 0."""

    def __init__(self, files: tuple[str, ...], model: Model, max_pixels: int) -> None:
        self.class_names, self.ids = model.class_names, tuple(printable_path(name) for name in files)
        self.tasks = model.tasks
        labels = {task.name: _no_labels(task, len(files)) for task in model.tasks}
        self.labels: Labels = labels if heads.named(model.tasks) else labels['']
        self._files, self._max_pixels = files, max_pixels

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        image = decode_image(Path(self._files[index]), self.ids[index], self._max_pixels)
        return {'image': image, 'label': take(self.labels, index), 'id': self.ids[index]}


def _no_labels(task: Task, count: int) -> np.ndarray:
    return np.zeros(count, np.int32) if task.kind == 'single_label' else np.zeros((count, task.outputs), np.float32)


class _Given(NamedTuple):
    """Settings of a call, see `evaluate_checkpoint`; what is empty is left as the run had it."""

    batch_size: int
    skip_unreadable: bool
    flips: bool | None
    crops: int
    scales: Sequence[float | str]
    checkpoint_classes: str | Sequence[str]


def _open(checkpoint: str, given: _Given, own_data: bool) -> tuple[tuple[Model, ...], Config]:
    """The model, or those of an ensemble, and the settings to read and evaluate with: the run's, if it is one.

    What the run did with unreadable images holds for its own data, not for others.
    """
    run = Path(checkpoint).expanduser()
    several = is_ensemble(run)
    of = members_of(run)[0] if several else run
    config = read_config(of) if is_run(of) else Config()
    changes: dict[str, Any] = {
        'data.skip_unreadable': given.skip_unreadable or (own_data and config.data.skip_unreadable),
        'evaluate.batch_size': given.batch_size or None,
        'evaluate.flips': given.flips,
        'evaluate.crops': given.crops or None,
        'evaluate.scales': ','.join([*map(str, given.scales), '']) if given.scales else None,
    }
    for field, value in changes.items():
        config = config if value is None else replace(config, field, value)
    validate_evaluate(config.evaluate)
    if several and given.checkpoint_classes:
        raise UserError(f'{run} is an ensemble, whose networks know their classes; leave checkpoint_classes out')
    if several:
        return load_ensemble(run, config.model.dtype), config
    model = load_model(checkpoint, dtype=config.model.dtype, checkpoint_classes=given.checkpoint_classes)
    return (model,), config


def _thresholds(checkpoint: str) -> dict[str, list[float]] | None:
    """Where an image may have several labels: from which probability on a run predicts each, if it is one."""
    run = Path(checkpoint).expanduser()
    return read_result(run).get('thresholds') if is_run(run) and is_finished(run) else None


def _read(part: Part, preprocessing: Preprocessing, config: Config, views: Views) -> Examples:
    """`read_examples`; an unreadable image is reported with the flag of the scripts that come here."""
    try:
        return read_examples(part, preprocessing, config, views)
    except UnreadableImageError as error:
        raise UnreadableImageError(str(error).replace('--config.data.', '--')) from None


def _from_source(source: str, part: str, data_dir: str, config: Config) -> tuple[str, Source]:
    """The name of the part to evaluate, and its examples, of a source that is named.

    The columns of a table mean what they meant in the run.
    """
    told = (*COLUMNS, 'task', 'label_separator') if source.partition(':')[0] in TABLES else ()
    columns = {name: getattr(config.data, name) for name in told}
    data = Data(source=source, data_dir=data_dir, max_pixels=config.data.max_pixels, **columns)
    sources = open_source(data)
    name = _pick(part, sources, source)
    return name if len(sources) > 1 else 'all', sources[name]


def _from_run(checkpoint: str, part: str) -> tuple[str, Source]:
    """The name of the part to evaluate, and its examples, of the data that a run divided."""
    run = Path(checkpoint).expanduser()
    if not is_run(run):
        raise UserError(f'--source is missing: {checkpoint} is no run directory and has no data of its own')
    sources: dict[str, Source] = dict(parts_of_run(run))
    if not part and list(sources) == ['train']:
        raise UserError(
            f'{checkpoint} has no images of its own that it was not trained on: name others with --source, or say '
            '--part=train'
        )
    name = _pick(part, sources, checkpoint)
    return name, sources[name]


def _pick(part: str, sources: Mapping[str, Source], what: str) -> str:
    if part and part not in sources:
        raise UserError(f'{what} has no {part} part; it has {", ".join(sources)}')
    return part or next(name for name in ('test', 'validation', 'train') if name in sources)


def _new_folder(output: str | Path) -> Path:
    output = Path(output).expanduser()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f'--output={output} exists already; name a new folder')
    return output
