"""From an example to what is held of it, in memory, on the device or in a file, until a batch needs it."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import jax
import numpy as np

from jtransfer.errors import UserError

# The fields of one example, with its `id`, and its `labels` by task.
Example: TypeAlias = Mapping[str, Any]
# Shapes and types by field, of one example or of a batch.
Spec: TypeAlias = Mapping[str, jax.ShapeDtypeStruct]
# Arrays by field, of one example or of a batch.
Held: TypeAlias = dict[str, Any]

NO_VIEWS = 'none'
# Of an example, beside the fields that networks read.
NOT_READ = frozenset({'id', 'label', 'labels', 'narrow'})


class Prepare(abc.ABC):
    """From an example to what is held of it: arrays by field, of the same shapes for every example.

    A frozen dataclass of plain values: it is sent to decoding processes, and what it is, written out as text, names the
    file in which its results are kept from run to run.

    Attributes:
        version: of what the call computes; a higher one makes nobody read what an earlier one has left in files.
    """

    version: ClassVar[int] = 1

    @property
    @abc.abstractmethod
    def spec(self) -> Spec:
        """Shapes and types of what the call returns."""

    @property
    def settings(self) -> Any:
        """Plain values, sequences and dataclasses of such that decide what the call returns, for its file's name."""
        return self

    @abc.abstractmethod
    def __call__(self, example: Example) -> Held:
        """What is held of an example.

        Raises:
            UserError: the example lacks a field, or has another kind of value in it.
        """


class Views(Prepare):
    """What evaluation holds of an example: one view of it, or several, whose outputs are averaged.

    Attributes:
        flips: whether the mirror image of every view is seen too; the device makes it, see `Preprocessor.mirrored`.
    """

    flips: bool = False

    @property
    def name(self) -> str:
        """What sets these views apart from the plain one, for records."""
        return NO_VIEWS

    def split(self, held: Held) -> Iterator[Held]:
        """The views in what is held of a batch of examples, one by one."""
        yield held

    def check(self, examples: Iterable[Held]) -> None:
        """Raises `UserError` for views that are alike in all of the examples; looks at them only where it must."""

    @property
    def other_inputs(self) -> Sequence[tuple[str, Spec]]:
        """Inputs of other shapes than the network's own that views make, each with the setting that asks for it."""
        return ()


def field_of(example: Example, name: str, reader: str = 'the network') -> Any:
    """The value of a field of an example.

    Args:
        example: of a source.
        name: of the field.
        reader: who reads it, in words.

    Raises:
        UserError: there is no such field.
    """
    if name in example:
        return example[name]
    there = ', '.join(sorted(set(example) - NOT_READ)) or 'nothing'
    raise UserError(f'{example.get("id", "an example")}: {reader} reads {name}, and the source has {there}')


def nbytes(spec: Spec) -> int:
    """Bytes of arrays of these shapes and types."""
    return sum(int(np.prod(leaf.shape, dtype=np.int64)) * leaf.dtype.itemsize for leaf in spec.values())


def batched(spec: Spec, size: int = 1) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch of this size, from those of one example."""
    return {name: jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype) for name, leaf in spec.items()}


def in_words(spec: Spec) -> str:
    """What a network reads, for people: `image 224×224×3`."""
    return ', '.join(f'{name} {"×".join(map(str, leaf.shape))}' for name, leaf in spec.items())
