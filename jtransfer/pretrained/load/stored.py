"""What a checkpoint holds, whoever wrote it, under our names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer.adapters import Adaptation
from jtransfer.inputs.base import Preprocessor
from jtransfer.tasks.base import Task, single_label

# Where the outputs of the head can be counted: a linear head, and one of several parts.
HEAD_BIASES = ('params/head/bias', 'params/head/part0/bias')
# Metadata of our exports: height and width of the pictures, which position embeddings alone do not tell.
SHAPE = 'jtransfer.image_shape'


@dataclasses.dataclass(frozen=True)
class Stored:
    """What a checkpoint holds.

    Attributes:
        path: the file.
        variables: the nested Flax variables, `{'params': {'backbone': …, 'head': …}, 'batch_stats': …}`; views of the
            file where that is possible.
        architecture: name of the variant (`models.describe`).
        class_names: of the head's outputs, in order; none for a checkpoint without a head, or with several.
        preprocessing: how images must look to these weights.
        training: where they come from, JSON values; empty when nobody said.
        classes_stated: whether the class names are the checkpoint's own, and not numbers given here.
        options: fields of the backbone that differ from the variant, as for `models.create`.
        source: what to call it in messages; empty: the path.
        naming: of its tensors' names, `jtransfer` for our own.
        positions: how its position embeddings are resized, see `positions.resize_positions`.
        shape: height and width, pixels, of the pictures that its position embeddings are for, where it says so.
        ignored: shapes of what the file also holds and nothing needs, by its names.
        name_of: the file's name of one of our paths, '' where there is none.
        adaptation: what its `params/adapters` are of; None for a plain network.
        tasks: what its heads are for. Empty: one label an image, of `class_names`.
        framed: whether `preprocessing` is stated by somebody, and not only what is usual.
        notes: what a person who loads it should know, in a few words each.
    """

    path: Path
    variables: dict[str, Any]
    architecture: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessor
    training: dict[str, Any]
    classes_stated: bool = True
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ''
    naming: str = 'jtransfer'
    positions: str = 'bicubic_antialias'
    shape: tuple[int, int] | None = None
    ignored: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    name_of: Callable[[str], str] = lambda path: ''
    adaptation: Adaptation | None = None
    tasks: tuple[Task, ...] = ()
    framed: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Says what an ordinary classifier is for."""
        if self.class_names and not self.tasks:
            object.__setattr__(self, 'tasks', (single_label(self.class_names),))

    @property
    def num_classes(self) -> int:
        """Outputs of the only head; 0 without one."""
        return len(self.class_names)


def head_outputs(shapes: Mapping[str, tuple[int, ...]], head: str = 'head') -> int | None:
    """How many outputs a head has, `head` or `heads/NAME`, by the shapes of arrays by path; None where it is not."""
    for bias in HEAD_BIASES:
        path = bias.replace('head', head, 1)
        if path in shapes:
            return shapes[path][0] if shapes[path] else 0
    return None


def shapes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """The shapes of arrays by path."""
    return {path: tuple(array.shape) for path, array in arrays.items()}
