"""What every backbone is: an ordered list of named stages, and the family's facts that others need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from jtransfer.models.auxiliary import Auxiliary


class Backbone(nn.Module):
    """The contract of a family; its module subclasses this and states the fields `dtype` and `drop_path`.

    A family with batch normalisation also has a field `norm_axis_name` (see `BatchNorm.axis_name`), one with hidden
    dense layers before its head a field `dropout`.

    Attributes:
        input_kernel: path below the backbone of the kernel that reads the image's channels, (…, channel, feature).
    """

    input_kernel: ClassVar[str] = 'stem/conv/kernel'

    @property
    def prefix_tokens(self) -> int:
        """How many tokens stand before those of the patches in the stages' outputs."""
        return 0

    @property
    def prefix_positions(self) -> int:
        """How many position embeddings stand before those of the patches."""
        return self.prefix_tokens

    @property
    def pooled_parts(self) -> int:
        """How many parts of equal width the pooled features consist of, each with a head of its own.

        The heads' outputs are averaged (2: the class and the distillation token of DeiT).
        """
        return 1

    @property
    def auxiliaries(self) -> tuple[Auxiliary, ...]:
        """The auxiliary heads, which read inner features in training."""
        return ()

    @property
    def dropout_before_head(self) -> bool:
        """Whether dropout also belongs right before the head, beside where the backbone has it."""
        return True

    @property
    def side_multiple(self) -> int:
        """The image's sides must be multiples of this, pixels."""
        return 1

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        raise NotImplementedError

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the backbone; the largest."""
        raise NotImplementedError

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a parameter (path below the backbone), 0 at the input.

        Raises:
            UserError: the path begins with no stage.
        """
        raise NotImplementedError

    def __call__(
        self,
        inputs: Float[Array, 'batch ...'],
        *,
        train: bool = False,
        frozen: Sequence[str] = (),
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Runs the stages from `start` up to and including `stop`.

        Args:
            inputs: normalised images (batch, h, w, channel), or, with `start`, the output of the stage before it.
            train: batch statistics, dropout, stochastic depth.
            frozen: module-path prefixes that run in evaluation mode all the same, see `is_frozen`.
            start: the first stage to run. None: the first.
            stop: the last stage to run. None: the last.

        Returns:
            The output of every stage run and, when the last stage was among them, 'pooled': float32
            (batch, feature).

        Raises:
            UserError: `start` or `stop` is not a stage.
        """
        raise NotImplementedError
