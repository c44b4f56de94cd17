"""What augmentation does, as a picture to look at: a row for an image, a column for a draw.

The draws are those of training: the first is what the image becomes in epoch 0, the second in epoch 1, and so on; with
repeated augmentation, its visits. Where images are mixed, they are mixed with the others of the picture. With sizes by
step, the picture has the network's own.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.checks import at_least
from jtransfer.config import Config, validate
from jtransfer.data.feed.batches import stacked
from jtransfer.data.feed.order import example_order
from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.data.data_lines import describe_parts
from jtransfer.experiments.run.directory import beside_run
from jtransfer.experiments.run.start import abstract_model
from jtransfer.files.paths import output_file
from jtransfer.files.writing import atomic_path
from jtransfer.inputs.image import IMAGE, as_image
from jtransfer.inputs.image_held import ASPECT, TrainingImage
from jtransfer.inputs.image_pixels import evaluation_pixels
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, take
from jtransfer.text.outside import for_figure

_INK, _SOFT = '#12120f', '#55534d'
_CELL = 1.35  # inches


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Some training images, and what augmentation makes of them.

    Attributes:
        originals: as evaluation sees them.
        names: their classes.
        images: rounded to whole numbers, an axis for the images and one for the draws.
        labels: of each of those, in words.
        steps: what is done, an operation each, with all parameters.
    """

    originals: UInt8[np.ndarray, 'row height width 3']
    names: tuple[str, ...]
    images: UInt8[np.ndarray, 'row draw height width 3']
    labels: tuple[tuple[str, ...], ...]
    steps: tuple[str, ...]


def show(
    config: Config,
    output: str = '',
    *,
    images: int = 6,
    draws: int = 8,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Draws the picture of a configuration's augmentation as a PNG.

    Args:
        config: of the run. No weights are fetched that the catalogue knows.
        output: the file; replaced if there is one. Empty: `RUN_DIR-augment.png`, see `beside_run`.
        images: rows, ≥ 1: the first images of the run.
        draws: columns beside the image itself, ≥ 1.
        say: told what is done, an operation a line.

    Returns:
        The file.

    Raises:
        UserError: anything about configuration or data that would stop the run, as far as it shows.
    """
    path = output_file(output or beside_run(config, '-augment.png'), example='augment.png')
    if path.suffix.lower() != '.png':
        raise UserError(f'output={path} must be named .png')
    found = draw(config, images, draws, say)
    for step in found.steps or ('nothing: images are as evaluation sees them',):
        say(step)
    plot(path, found, f'{config.name}: seed {config.seed}')
    return path


def draw(config: Config, images: int, draws: int, say: Callable[[str], None] = lambda line: None) -> Draws:
    """Augments the first images of a run as its first epochs do; see `show`."""
    config = validate(config)
    at_least('images', images, 1)
    at_least('draws', draws, 1)
    parts = load_parts(config.data, config.seed)
    for line in describe_parts(parts, config.data.source):
        say(line)
    train, augment = parts.train, config.augment
    count = min(images, len(train))
    model = abstract_model(config, parts.num_classes)
    preprocessing = as_image(model.preprocessing, 'a sheet of augmented images')
    hold = TrainingImage(preprocessing, augment.crops)
    rows, _ = example_order(0, count, len(train), config.seed)
    examples = [train[int(row)] for row in rows]
    held = stacked([hold(example) for example in examples])
    kept, aspects = jnp.asarray(held[IMAGE]), jnp.asarray(held[ASPECT])
    labels = take(train.labels, rows)
    function = make_augment(augment, preprocessing, {task.name: task.outputs for task in parts.tasks})
    columns, words = [], []
    for visit in range(draws):
        keys = example_keys(config.seed, jnp.full(count, visit, jnp.int32), jnp.asarray(rows, jnp.int32))
        augmented = jax.device_get(function(keys, kept, jax.tree.map(jnp.asarray, labels), aspects))
        columns.append(np.rint(augmented.images).astype(np.uint8))
        words.append(_words(augmented.labels, parts.tasks))
    return Draws(
        originals=np.stack([evaluation_pixels(example[IMAGE], preprocessing) for example in examples]),
        names=tuple(_words(labels, parts.tasks)),
        images=np.stack(columns, axis=1),
        labels=tuple(zip(*words, strict=True)),
        steps=tuple(str(operation) for _, operation in augment.steps()),
    )


def plot(path: str | os.PathLike[str], draws: Draws, title: str = '') -> None:
    """Writes draws as a PNG.

    Args:
        path: of the picture; replaced whole, or not at all.
        draws: what to show.
        title: stands above it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = draws.images.shape[:2]
    height, width = draws.originals.shape[1:3]
    lines = 1 + max(text.count('\n') for row in draws.labels for text in row)
    tall = _CELL * height / width + 0.12 + 0.12 * lines
    figure = Figure(figsize=((columns + 1) * (_CELL + 0.08) + 0.3, rows * tall + 0.75), dpi=150, facecolor='white')
    FigureCanvasAgg(figure)
    figure.set_layout_engine('constrained', w_pad=0.02, h_pad=0.02)
    grid = figure.subplots(rows, columns + 1, squeeze=False)
    for row in range(rows):
        for column in range(columns + 1):
            axes = grid[row, column]
            image = draws.images[row, column - 1] if column else draws.originals[row]
            text = draws.labels[row][column - 1] if column else draws.names[row]
            axes.imshow(image, interpolation='nearest')
            axes.set_xticks([])
            axes.set_yticks([])
            for side in axes.spines.values():
                side.set_visible(False)
            axes.set_xlabel(for_figure(text), fontsize=6.5, color=_SOFT, labelpad=2)
            if row == 0:
                head = f'draw {column}' if column else 'as evaluated'
                axes.set_title(head, fontsize=8, color=_SOFT if column else _INK, pad=3)
    figure.suptitle(for_figure(title), x=0.01, ha='left', fontsize=11, fontweight='bold', color=_INK)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png')


def _words(labels: Labels, tasks: Sequence[Task]) -> list[str]:
    """Labels in words, mixed ones with the share of each class; of several tasks a line or more each."""
    columns = [[_word(task, label) for label in labels[task.name]] for task in tasks]
    return ['\n'.join(words) for words in zip(*columns, strict=True)]


def _word(task: Task, label: Any) -> str:
    text = task.mixed_text(np.asarray(label))
    return f'{task.name}: {text}' if task.name else text
