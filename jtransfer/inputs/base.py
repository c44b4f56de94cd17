"""What a network reads: the contract of every kind of input.

A kind is a frozen dataclass of plain values below `Preprocessor`. It travels with the weights as JSON, is static under
`jit`, and says how examples are prepared on the host, what is held of them, and what the device makes of that. A plain
kind, whose network reads one array of fixed shape as it is, defines `kind`, `reads` and `spec`, and nothing else.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from jtransfer.errors import UserError
from jtransfer.inputs.prepare import Example, Held, Prepare, Spec, Views, field_of, in_words
from jtransfer.text.outside import clipped

if TYPE_CHECKING:
    from jtransfer.config.augment import Augment
    from jtransfer.config.evaluate import Evaluate


@dataclasses.dataclass(frozen=True)
class Preprocessor(abc.ABC):
    """How examples must look to a network; travels with its weights.

    Attributes:
        kind: the name of the kind, under which files and augmentation know it.
        reads: the fields of an example that are read.
        on_device: names of its own fields that are applied on the device alone: what is held does not depend on them.
        version: see `Prepare.version`.
    """

    kind: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    on_device: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1

    @abc.abstractmethod
    def spec(self) -> Spec:
        """Shapes and types of the network's input of one example, by name; initialisation and costs need no more."""

    def held_spec(self, augment: Augment | None = None) -> Spec:
        """Shapes and types of what is held of one example, see `prepare`."""
        return self.prepare(augment).spec

    def example(self, value: Any) -> Example:
        """An example of what somebody hands over: its only field, or a mapping of fields, which it is already.

        Raises:
            UserError: it is nothing that this kind reads.
        """
        if isinstance(value, Mapping):
            return value
        if len(self.reads) > 1:
            raise UserError(f'this network reads {", ".join(self.reads)}: hand over mappings of these fields')
        return {self.reads[0]: np.asarray(value)}

    def prepare(self, augment: Augment | None = None) -> Prepare:
        """From an example to what is held of it.

        Args:
            augment: the settings of augmentation, for what is trained on. None: for evaluation.
        """
        return Hold(self)

    def views(self, settings: Evaluate | None = None, side_multiple: int = 1) -> Views:
        """From an example to what evaluation holds of it.

        Args:
            settings: whose `flips`, `crops` and `scales` apply. None: the plain view.
            side_multiple: what the sides of a network's input must be multiples of.

        Raises:
            UserError: views that this kind of input does not have.
        """
        if settings is not None and (settings.flips or settings.crops > 1 or settings.scales != (1.0,)):
            raise UserError(
                f'evaluate.flips, evaluate.crops and evaluate.scales are views of images, and this network reads '
                f'{in_words(self.spec())}: leave them as they are'
            )
        return Hold(self)

    def device(self, held: Held, dtype: Any = jnp.float32) -> dict[str, jax.Array]:
        """The network's input, on the device: floating-point numbers in the computation type, others as they are.

        Args:
            held: of a batch, as `prepare` and augmentation left it.
            dtype: the computation type.
        """
        return {
            name: values.astype(dtype) if jnp.issubdtype(values.dtype, jnp.floating) else values
            for name, values in held.items()
        }

    def mirrored(self, held: Held) -> Held:
        """The mirror images of what is held of a batch, for views with `flips`."""
        raise UserError(f'evaluate.flips is for images, and this network reads {in_words(self.spec())}')

    def at_size(self, size: int) -> Self:
        """The same for an input of another size, for `augment.sizes`."""
        raise UserError(f'augment.sizes={size} is a side of images, and this network reads {in_words(self.spec())}')

    def fitted(self, image_size: int | Sequence[int] = 0, input_channels: int = 0) -> Self:
        """The same for images of another size, or of other channels; 0 is as it is."""
        for name, value in (('image_size', image_size), ('input_channels', input_channels)):
            if np.any(np.asarray(value) != 0):
                raise UserError(f'{name}={value} is for images, and this network reads {in_words(self.spec())}')
        return self

    def size_in_words(self) -> str:
        """How large the network's input is, for people."""
        return in_words(self.spec())

    def summary(self) -> str:
        """What is done to an example, in words, on one line."""
        return in_words(self.spec())

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values, and the kind."""
        return {'kind': self.kind, **_plain(dataclasses.asdict(self))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            UserError: a missing or unknown field, or a value that the kind refuses.
        """
        given = {name: value for name, value in values.items() if name != 'kind'}
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(given) - set(fields)):
            raise UserError(
                f'preprocessing: unknown field {clipped(repr(unknown[0]))}; known: {", ".join(sorted(fields))}'
            )
        needed = (name for name, field in fields.items() if field.default is field.default_factory)
        if missing := [name for name in needed if name not in given]:
            raise UserError(f'preprocessing: {missing[0]} is missing')
        try:
            return cls(**{name: _frozen(value) for name, value in given.items()})
        except UserError:
            raise
        except (TypeError, ValueError, ArithmeticError) as error:
            raise UserError(f'preprocessing: {clipped(repr(given))} cannot be: {clipped(str(error))}') from None

    def restated(self, fields: Mapping[str, Any]) -> Self:
        """The same with what a person says of it instead.

        Args:
            fields: values by name.

        Raises:
            UserError: an unknown field, or a value that it cannot have.
        """
        return self.from_dict({**self.to_dict(), **fields}) if fields else self


@dataclasses.dataclass(frozen=True)
class Hold(Views):
    """Holds the fields of an example that are the network's input, as they are.

    Attributes:
        preprocessor: of the network.
    """

    preprocessor: Preprocessor

    @property
    def spec(self) -> Spec:
        """See `Prepare.spec`."""
        return self.preprocessor.spec()

    def __call__(self, example: Example) -> Held:
        """The fields, in the shapes and types of `spec`.

        Raises:
            UserError: a field is missing, or of another shape or kind than the network reads.
        """
        return {name: _fitting(field_of(example, name), leaf, name, example) for name, leaf in self.spec.items()}


def _fitting(value: Any, leaf: Any, name: str, example: Example) -> np.ndarray:
    """The value as an array of that shape and type."""
    array = np.asarray(value)
    fits = array.shape == leaf.shape and np.can_cast(array.dtype, leaf.dtype, 'same_kind')
    if not fits:
        raise UserError(
            f'{example.get("id", "an example")}: its {name} is {array.dtype} of shape {array.shape}, and the network '
            f'reads {leaf.dtype} of shape {leaf.shape}'
        )
    return array.astype(leaf.dtype)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
