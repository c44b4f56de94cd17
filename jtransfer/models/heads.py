"""Heads: what makes outputs of a backbone's features, one for each task of a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


@runtime_checkable
class Head(Protocol):
    """What a network is told of the head of a task; hashable.

    Attributes:
        reads: names of the features that it reads, as `Network.features` gives them.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the features that it reads."""
        ...

    def make(self, parts: int, kernel_init: nn.initializers.Initializer, name: str) -> nn.Module:
        """The module, which is called with each of these features and returns float32 outputs, a tree.

        Args:
            parts: how many parts of equal width the pooled features consist of.
            kernel_init: of the last kernels; biases are zero.
            name: of the module.
        """
        ...


def are_ours(heads: Mapping[str, int | Head]) -> bool:
    """Whether all heads are the library's, so that equal ones do the same whenever they are asked."""
    return all(isinstance(head, int) or type(head).__module__.startswith('jtransfer.') for head in heads.values())


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear head on the pooled features: kernel (feature, output) and bias (output,).

    Attributes:
        outputs: how many, at least 1.
    """

    outputs: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The pooled features."""
        return ('pooled',)

    def make(self, parts: int, kernel_init: nn.initializers.Initializer, name: str) -> nn.Module:
        """A dense layer, or one for each part of the pooled features."""
        if parts == 1:
            return nn.Dense(self.outputs, dtype=jnp.float32, kernel_init=kernel_init, name=name)
        return MeanOfParts(parts, self.outputs, kernel_init, name=name)


class MeanOfParts(nn.Module):
    """A linear head for each of several parts of the pooled features; the outputs are their mean.

    DeiT's class and distillation token in evaluation (Touvron et al., 2021).

    Attributes:
        parts: number of parts of equal width.
        outputs: of each.
        kernel_init: of the kernels; biases are zero.
    """

    parts: int
    outputs: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, pooled: Float[Array, 'batch feature']) -> Float[Array, 'batch output']:
        """Modules part0, part1, …: kernel (feature / parts, output) and bias (output,)."""
        outputs = [
            nn.Dense(self.outputs, dtype=jnp.float32, kernel_init=self.kernel_init, name=f'part{index}')(part)
            for index, part in enumerate(jnp.split(pooled, self.parts, axis=-1))
        ]
        return sum(outputs[1:], start=outputs[0]) / self.parts


class NamedHeads(nn.Module):
    """The heads of several tasks, each below this module by the task's name.

    Attributes:
        heads: by name.
        parts: see `Head.make`.
        kernel_init: see `Head.make`.
    """

    heads: Mapping[str, Head]
    parts: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, features: Mapping[str, tuple[Array, ...]]) -> dict[str, Float[Array, 'batch ...']]:
        """From the features that each head is to read, by its name, to its outputs."""
        made = {name: head.make(self.parts, self.kernel_init, name) for name, head in self.heads.items()}
        return {name: head(*features[name]) for name, head in made.items()}
