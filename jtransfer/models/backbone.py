"""What every backbone is: an ordered list of named stages, and the family's facts that others need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.feature import FEATURE
from jtransfer.models.auxiliary import Auxiliary
from jtransfer.models.first_kernel import fitted_to_channels
from jtransfer.models.layers.pooling import check_sides
from jtransfer.models.mode import EVALUATION, Mode
from jtransfer.models.role import Role, usual_role
from jtransfer.models.stages import selected


class Backbone(nn.Module):
    """The contract of a family; its module subclasses this and states the fields `dtype` and `drop_path`.

    A family with hidden dense layers before its head also has a field `dropout`.

    Attributes:
        input_kernel: path below the backbone of the kernel that reads the image's channels, (…, channel, feature).
        block_counts: names of the fields that say how many blocks there are, a number or a tuple of such.
    """

    input_kernel: ClassVar[str] = 'stem/conv/kernel'
    block_counts: ClassVar[tuple[str, ...]] = ('depths',)

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
    def token_blocks(self) -> tuple[str, ...]:
        """The stages that read tokens and return as many, in order: between them prompts can be put."""
        return ()

    @property
    def mlps(self) -> tuple[str, ...]:
        """Paths of the modules on tokens that bottlenecks are usually added to; () where whole blocks are."""
        return ()

    @property
    def auxiliaries(self) -> tuple[Auxiliary, ...]:
        """The auxiliary heads, which read inner features in training."""
        return ()

    @property
    def dropout_before_head(self) -> bool:
        """Whether dropout also belongs right before the head, beside where the backbone has it."""
        return True

    @property
    def smallest_side(self) -> int:
        """The shortest side of an image of which something is left at the end, pixels."""
        return 1

    @property
    def side_multiple(self) -> int:
        """The image's sides must be multiples of this, pixels."""
        return 1

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The stages in order, each with the names of its layers or blocks; () where it is one layer itself."""
        raise NotImplementedError

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(self.layers)

    @property
    def blocks_in_all(self) -> int:
        """How many layers and blocks all stages consist of."""
        return sum(max(len(names), 1) for names in self.layers.values())

    @property
    def closing(self) -> tuple[str, ...]:
        """Stages behind the last block that have its layer number (timm's way with a last normalisation)."""
        return ()

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the backbone; the largest."""
        return self.blocks_in_all

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a parameter (path below the backbone), 0 at the input; every layer or block counts one.

        What follows the last of those that `head_depth` counts has the head's number, but for the stages in `closing`.

        Raises:
            UserError: the path begins with no stage and layer.
        """
        stage, _, below = path.partition('/')
        number = 0
        for name, inner in self.layers.items():
            part = below.split('/')[0]
            if name == stage and stage in self.closing:
                return self.head_depth - 1
            if name == stage and (not inner or part in inner):
                return min(number + (inner.index(part) if inner else 0), self.head_depth)
            number += max(len(inner), 1)
        raise UserError(f"'{path}' is in none of the stages {', '.join(self.stages)} and their blocks")

    @nn.nowrap
    def role(self, path: str) -> Role:
        """What a parameter is, by its path below the backbone; a family says what `usual_role` cannot know."""
        return Role.INPUT if path == self.input_kernel else usual_role(path)

    @nn.nowrap
    def grid(self, height: int, width: int) -> tuple[int, int] | None:
        """Rows and columns of the patches that an image of this size has position embeddings for.

        None: there are none, and the parameters fit every size.
        """
        return None

    @nn.nowrap
    def side_of(self, shapes: Mapping[str, tuple[int, ...]], usual: int) -> int:
        """The side of the square images that parameters are for, pixels.

        Args:
            shapes: of the parameters, by paths below the backbone.
            usual: the side that is taken where they do not say, or are for it.
        """
        return usual

    @nn.nowrap
    def fit(
        self,
        path: str,
        stored: np.ndarray,
        shape: tuple[int, ...],
        was: Preprocessor | None,
        now: Preprocessor,
        how: str = '',
    ) -> Any | None:
        """A stored parameter for other inputs than those that it was trained for.

        Args:
            path: of the parameter, below the backbone.
            stored: its values, in any floating-point type.
            shape: the shape that is needed.
            was: what inputs looked like in training. None: it is not known, and taken for the usual (square images).
            now: what they look like.
            how: the way in which the weights' own source does it, where a family knows several. '': the usual one.

        Returns:
            In that shape; the stored values themselves where there is nothing to fit. None: they cannot be fitted.
        """
        if stored.shape == shape:
            return stored
        return fitted_to_channels(stored, shape) if self.role(path) is Role.INPUT else None

    @nn.compact
    def __call__(
        self,
        inputs: Mapping[str, Array] | Float[Array, 'batch ...'],
        mode: Mode = EVALUATION,
        *,
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Runs the stages from `start` up to and including `stop`.

        Args:
            inputs: by name, as `Preprocessor.device` gives them; an array stands for the only one. With `start`, the
                output of the stage before it.
            mode: of the pass.
            start: the first stage to run. None: the first.
            stop: the last stage to run. None: the last.

        Returns:
            The output of every stage run, (batch, h, w, channel), (batch, token, dim) or (batch, feature), and, when
            the last stage was among them, 'pooled': float32 (batch, feature).

        Raises:
            UserError: `start` or `stop` is not a stage, or the image does not fit the network.
        """
        running = selected(self.stages, start, stop)
        x = self.first_input(inputs, start)
        features = {}
        for name in running:
            x = self._run(name, x, mode)
            features[name] = x
        if running[-1] == self.stages[-1]:
            features['pooled'] = self._pooled(x)
        return features

    def first_input(self, inputs: Mapping[str, Array] | Float[Array, 'batch ...'], start: str | None) -> Any:
        """What the first stage to be run reads; see `__call__`."""
        if start is not None and start != self.stages[0]:
            return inputs[FEATURE] if isinstance(inputs, Mapping) else inputs
        x = self._entered(inputs) if isinstance(inputs, Mapping) else inputs
        if self.smallest_side > 1:
            check_sides(x, self.smallest_side)
        return x

    def _entered(self, inputs: Mapping[str, Array]) -> Any:
        """What the first stage reads of the network's inputs; a family with several says how they come together."""
        (only,) = inputs.values()
        return only

    def _run(self, name: str, x: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch ...']:
        """One stage, as a module of that name."""
        raise NotImplementedError

    def _pooled(self, x: Float[Array, 'batch ...']) -> Float[Array, 'batch feature']:
        """Float32, from the last stage's output: the mean over all places, features as they are."""
        x = x.astype(jnp.float32)
        return x.mean(range(1, x.ndim - 1)) if x.ndim > 2 else x
