"""A trained model on images it has not seen: an evaluation on any source, and predictions for a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from scipy.special import softmax

from jtransfer.config import Config
from jtransfer.config_check import one_of
from jtransfer.data.folder import list_images
from jtransfer.data.images import decode_image
from jtransfer.data.parts import NAMES, Part, load_parts, open_source
from jtransfer.data.source import Example, Source
from jtransfer.errors import UserError
from jtransfer.evaluate.metrics import Metrics
from jtransfer.evaluate.predictions import write_predictions_csv
from jtransfer.evaluate.report import write_report
from jtransfer.evaluate.write import write_evaluation
from jtransfer.experiments.page import wrong_pictures
from jtransfer.experiments.run_dir import CONFIG, read_config
from jtransfer.experiments.scoring import logits_of, read_examples, score
from jtransfer.pretrained.model import Model, load_model


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


def evaluate_checkpoint(
    checkpoint: str, output: str | Path, *, source: str = '', part: str = '', config: Config | None = None
) -> tuple[Metrics, str]:
    """Evaluates a checkpoint and writes `metrics.json`, the CSV tables and `report.html`.

    Args:
        checkpoint: catalogue name, `.safetensors` file or run directory.
        output: folder of the results; new or empty.
        source: as `data.source`. Empty: the data of the run that `checkpoint` is, divided as it was.
        part: `train`, `validation` or `test`. Empty: the test part where there is one, else all there is.
        config: reading, batch size and interval.

    Returns:
        The metrics, and the name of the part.

    Raises:
        UserError: anything the person asked for that cannot be done.
    """
    config = config or Config()
    output = _new_folder(output)
    if part:
        one_of('part', part, NAMES)
    model = load_model(checkpoint)
    chosen, examples_of = _choose(checkpoint, source, part, config)
    held_out = Part(
        relabel(examples_of, model.class_names, source or 'the data of the run'), np.arange(len(examples_of))
    )
    examples = read_examples(held_out, model.preprocessing, config)
    scores = score(model, examples, config)
    write_evaluation(output, scores.metrics, scores.logits, scores.labels, scores.ids)
    write_report(
        output / 'report.html',
        title=f'{checkpoint} on {source or "its own data"}',
        metrics=scores.metrics,
        most_wrong=wrong_pictures(scores, held_out, config.evaluate.most_wrong),
        facts={'architecture': model.architecture, 'part': chosen, 'left out': f'{len(examples.skipped)} unreadable'},
    )
    return scores.metrics, chosen


def predict_folder(
    checkpoint: str, folder: str | Path, output: str | Path, config: Config | None = None
) -> tuple[int, tuple[str, ...]]:
    """Classifies every image below a folder into a CSV file of class, probability, file.

    Args:
        checkpoint: catalogue name, `.safetensors` file or run directory.
        folder: of images, or one image.
        output: the CSV file.
        config: reading and batch size.

    Returns:
        How many images were classified, and the unreadable ones that were left out.

    Raises:
        UserError: no such folder, no image in it, an unreadable one (unless they are skipped), or no such checkpoint.
    """
    config = config or Config()
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise UserError(f'{folder}: there is no such folder')
    files = [folder.name] if folder.is_file() else list_images(folder)[0]
    root = folder.parent if folder.is_file() else folder
    if not files:
        raise UserError(f'{folder} holds no images')
    if Path(output).is_dir():
        raise UserError(f'--output={output} is a folder; name a .csv file')
    model = load_model(checkpoint)
    part = Part(_Files(root, tuple(files), model, config.data.max_pixels), np.arange(len(files)))
    examples = read_examples(part, model.preprocessing, config)
    logits, _ = logits_of(model, examples, config)
    write_predictions_csv(output, [root / name for name in examples.ids], softmax(logits, axis=1), model.class_names)
    return len(examples.ids), examples.skipped


class _Files:
    """Images without labels as a source, every label the first class."""

    def __init__(self, root: Path, files: tuple[str, ...], model: Model, max_pixels: int) -> None:
        self.class_names, self.ids = model.class_names, files
        self.labels = np.zeros(len(files), np.int32)
        self._root, self._max_pixels = root, max_pixels

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        name = self.ids[index]
        image = decode_image(self._root / name, str(self._root / name), self._max_pixels)
        return {'image': image, 'label': 0, 'id': name}


def _choose(checkpoint: str, source: str, part: str, config: Config) -> tuple[str, Source]:
    """The name of the part to evaluate, and its examples."""
    if source:
        sources = open_source(dataclasses.replace(config.data, source=source))
        divided = len(sources) > 1
    else:
        run = Path(checkpoint).expanduser()
        if not (run / CONFIG).exists():
            raise UserError(f'--source is missing: {checkpoint} is no run directory whose own data could be taken')
        saved = read_config(run)
        parts = load_parts(saved.data, saved.seed, training=False)
        own = {'train': parts.train, 'validation': parts.validation, 'test': parts.test}
        sources = {name: held for name, held in own.items() if held is not None}
        divided = True
    if part and part not in sources:
        raise UserError(f'{source or checkpoint} has no {part} part; it has {", ".join(sources)}')
    name = part or next(name for name in ('test', 'validation', 'train') if name in sources)
    return name if divided else 'all', sources[name]


def _new_folder(output: str | Path) -> Path:
    output = Path(output).expanduser()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f'--output={output} exists already; name a new folder')
    return output
