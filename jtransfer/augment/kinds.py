"""Augmentation by the kind of input: what changes the inputs of a batch, and what that does to its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from jaxtyping import Array

from jtransfer.augment.pipeline import make_augment
from jtransfer.config.augment import Augment
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.image import IMAGE, ImagePreprocessor
from jtransfer.inputs.image_held import ASPECT
from jtransfer.inputs.prepare import in_words
from jtransfer.tasks.base import Task

# From keys, one an example (`keys.example_keys`), what is held of a batch by field, and labels by task, to both as they
# are trained on.
AugmentInputs: TypeAlias = Callable[[Array, Mapping[str, Array], Any], tuple[dict[str, Array], Any]]
# From settings, preprocessor, tasks and the name of the mapped axis to the function.
MakeAugment: TypeAlias = Callable[[Augment, Any, Sequence[Task], str | None], AugmentInputs]


def make_input_augment(
    augment: Augment, preprocessing: Preprocessor, tasks: Sequence[Task], *, axis_name: str | None = None
) -> AugmentInputs:
    """The augmentation that the configuration describes, for this kind of input.

    Args:
        augment: what to do, and how strongly.
        preprocessing: of the network.
        tasks: what the labels are of; they are moved as the inputs are (`Task.moved`).
        axis_name: see `pipeline.make_augment`.

    Raises:
        UserError: an operation that does not exist, a value out of its range, or augmentation of images for a network
            that reads something else.
    """
    make = _KINDS.get(preprocessing.kind, _none)
    return make(augment, preprocessing, tasks, axis_name)


def add_augment(kind: str, make: MakeAugment) -> None:
    """Gives a kind of input from outside this package an augmentation.

    Raises:
        UserError: the kind has one already.
    """
    if _KINDS.get(kind, make) is not make:
        raise UserError(f"inputs of kind '{kind}' have an augmentation already")
    _KINDS[kind] = make


def _image(
    augment: Augment, preprocessing: ImagePreprocessor, tasks: Sequence[Task], axis_name: str | None
) -> AugmentInputs:
    def move(labels: Mapping[str, Array], geometry: Array, shown: Array) -> dict[str, Array]:
        return {task.name: task.moved(labels[task.name], geometry, shown) for task in tasks}

    outputs = {task.name: task.outputs for task in tasks}
    change = make_augment(augment, preprocessing, outputs, axis_name=axis_name, move=move)

    def apply(keys: Array, inputs: Mapping[str, Array], labels: Any) -> tuple[dict[str, Array], Any]:
        changed = change(keys, inputs[IMAGE], labels, inputs[ASPECT])
        return {IMAGE: changed.images}, changed.labels

    return apply


def _none(augment: Augment, preprocessing: Preprocessor, tasks: Sequence[Task], axis_name: str | None) -> AugmentInputs:
    """Inputs of a kind that has no augmentation stay as they are."""
    if steps := augment.steps():
        raise UserError(
            f'augment: {steps[0][1].name} is for images, and this network reads {in_words(preprocessing.spec())}: '
            'leave augment as it is'
        )
    return lambda keys, inputs, labels: (dict(inputs), labels)


_KINDS: dict[str, MakeAugment] = {ImagePreprocessor.kind: _image}
