"""Auxiliary heads: classifiers of an inner feature, which training reads and evaluation does not.

Szegedy et al., Going Deeper with Convolutions, 2015, section 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.mode import Mode


@dataclasses.dataclass(frozen=True)
class Auxiliary:
    """What a backbone states about one auxiliary head.

    Attributes:
        name: of the module, which lies below `head`.
        feature: name of the feature it reads, in what the backbone returns; it begins with its stage.
        weight: of its loss, beside 1 for that of the head.
        make: from (num_classes, kernel_init, name) to the module, which is called with the feature and the
            mode and returns float32 logits.
    """

    name: str
    feature: str
    weight: float
    make: Callable[..., nn.Module]

    @property
    def stage(self) -> str:
        """The stage that holds the feature."""
        return self.feature.split('/')[0]


class HeadWithAuxiliaries(nn.Module):
    """A linear head, kernel (feature, output) and bias (output,) as elsewhere, and below it the auxiliary heads.

    Attributes:
        num_classes: outputs of each.
        kernel_init: of the last kernel of each; its bias is zero.
        auxiliaries: what they are.
    """

    num_classes: int
    kernel_init: nn.initializers.Initializer
    auxiliaries: tuple[Auxiliary, ...]

    @nn.compact
    def __call__(
        self,
        pooled: Float[Array, 'batch feature'],
        inner: Mapping[str, Float[Array, 'batch ...']],
        mode: Mode,
    ) -> tuple[Float[Array, 'batch output'], list[tuple[float, Float[Array, 'batch output']]]]:
        """The head's logits, and weight and logits of those auxiliary heads whose feature is in `inner`, by name."""
        shape = (pooled.shape[-1], self.num_classes)
        kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, shape[1:], jnp.float32)
        others = []
        for auxiliary in self.auxiliaries:
            if auxiliary.name in inner:
                head = auxiliary.make(self.num_classes, self.kernel_init, name=auxiliary.name)
                others.append((auxiliary.weight, head(inner[auxiliary.name], mode)))
        return pooled @ kernel + bias, others
