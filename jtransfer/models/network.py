"""A whole network: a backbone of named stages and a linear head, or one for each of several tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.auxiliary import Auxiliary, HeadWithAuxiliaries
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers import is_frozen

# Weight of the loss, and logits, of each auxiliary head.
Auxiliaries: TypeAlias = list[tuple[float, Float[Array, 'batch output']]]
# Of the one head, or of each task's head by the task's name.
Logits: TypeAlias = Float[Array, 'batch output'] | dict[str, Float[Array, 'batch _']]

HEAD_INITS = {'zeros': nn.initializers.zeros, 'normal': nn.initializers.truncated_normal(0.02)}


class TrainingOutput(NamedTuple):
    """What a training loss may be made of.

    Attributes:
        logits: as `Network.__call__` gives them, in training mode.
        auxiliaries: for each auxiliary head the weight of its loss, and its logits.
        features: every stage's output and 'pooled', as `Network.features` gives them; what nobody reads, XLA removes.
    """

    logits: Logits
    auxiliaries: Auxiliaries
    features: dict[str, Float[Array, 'batch ...']]


class Heads(nn.Module):
    """A linear head for each of several parts of the pooled features; the logits are their mean.

    DeiT's class and distillation token in evaluation (Touvron et al., 2021).

    Attributes:
        parts: number of parts of equal width.
        num_classes: outputs.
        kernel_init: of the kernels; biases are zero.
    """

    parts: int
    num_classes: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, pooled: Float[Array, 'batch feature']) -> Float[Array, 'batch output']:
        """Modules part0, part1, …: kernel (feature / parts, output) and bias (output,)."""
        logits = [
            nn.Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name=f'part{index}')(part)
            for index, part in enumerate(jnp.split(pooled, self.parts, axis=-1))
        ]
        return sum(logits[1:], start=logits[0]) / self.parts


class TaskHeads(nn.Module):
    """One head for each task, below this module by the task's name.

    Attributes:
        tasks: name and number of outputs of each.
        parts: how many parts the pooled features consist of; more than one makes each head a `Heads`.
        kernel_init: of the kernels; biases are zero.
    """

    tasks: tuple[tuple[str, int], ...]
    parts: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, pooled: Mapping[str, Float[Array, 'batch feature']]) -> dict[str, Float[Array, 'batch _']]:
        """From the pooled features that each task's head is to read, by its name, to its float32 logits."""
        return {
            name: _linear(outputs, self.parts, self.kernel_init, name)(pooled[name]) for name, outputs in self.tasks
        }


def _linear(outputs: int, parts: int, kernel_init: nn.initializers.Initializer, name: str) -> nn.Module:
    if parts == 1:
        return nn.Dense(outputs, dtype=jnp.float32, kernel_init=kernel_init, name=name)
    return Heads(parts, outputs, kernel_init, name=name)


class Network(nn.Module):
    """`backbone` and `head`, the two children of `params`; with several tasks `backbone` and `heads`.

    Attributes:
        backbone: the network up to and including the pooled features.
        num_classes: width of the head. 0: no head, the pooled features are the output. Must be 0 where there are tasks.
        dropout: dropout probability before the head, in [0, 1).
        head_init: the head's kernel, `zeros` or `normal` (truncated, standard deviation 0.02); its bias is zero.
        tasks: name and number of outputs of each task; `heads/NAME` is its head, and logits are a dict by name.
            Empty: one head, called `head`.

    Raises:
        UserError: tasks together with `num_classes` or with a backbone's auxiliary heads, two tasks of one name, a name
            that cannot stand in a path, or a task without outputs.
    """

    backbone: Backbone
    num_classes: int
    dropout: float = 0.0
    head_init: str = 'zeros'
    tasks: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuses tasks that cannot be."""
        if self.tasks:
            _check_tasks(self.tasks, self.num_classes, self.backbone)
        super().__post_init__()

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the backbone's stages, in order."""
        return self.backbone.stages

    @property
    def dtype(self) -> Any:
        """The computation type."""
        return self.backbone.dtype  # type: ignore[attr-defined]  # every family has the field

    @nn.nowrap
    def with_norm_axis(self, axis_name: str) -> Network:
        """The same network, its batch statistics taken over the named axis as well (`pmap`)."""
        if not hasattr(self.backbone, 'norm_axis_name'):
            return self
        return self.clone(backbone=self.backbone.clone(norm_axis_name=axis_name))

    @property
    def prefix_tokens(self) -> int:
        """How many tokens stand before those of the patches in stage outputs and position embeddings."""
        return self.backbone.prefix_tokens

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a '/'-joined parameter path, 0 at the input; the head has the largest.

        Raises:
            UserError: the path is not one of this network's.
        """
        top, _, below = path.partition('/')
        own = 'heads' if self.tasks else 'head'
        if top == own:
            return self.backbone.head_depth
        if top != 'backbone':
            raise UserError(f"'{path}' is neither under backbone/ nor under {own}/")
        return self.backbone.depth(below)

    def features(
        self,
        images: Float[Array, 'batch ...'],
        *,
        train: bool = False,
        frozen: Sequence[str] = (),
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Every stage's output and 'pooled'; what nobody reads, XLA removes.

        Args:
            images: normalised images (batch, h, w, channel), or, with `start`, the output of the stage before it.
            train: batch statistics, stochastic depth.
            frozen: '/'-joined module-path prefixes that run in evaluation mode all the same.
            start: the first stage to run. None: the first.
            stop: the last stage to run. None: the last; otherwise 'pooled' is missing.

        Raises:
            UserError: `start` or `stop` is not a stage.
        """
        return self.backbone(images, train=train, frozen=frozen, start=start, stop=stop)

    def classify(
        self, pooled: Float[Array, 'batch feature'], *, train: bool = False, frozen: Sequence[str] = ()
    ) -> Logits:
        """The head on pooled features: float32 logits (batch, num_classes), or the features where there is no head.

        With tasks, a dict from each task's name to its logits (batch, outputs).
        """
        return self._heads(pooled, {}, train=train, frozen=frozen)[0]

    @nn.compact
    def _heads(
        self,
        pooled: Float[Array, 'batch feature'],
        inner: Mapping[str, Float[Array, 'batch ...']],
        *,
        train: bool,
        frozen: Sequence[str],
    ) -> tuple[Logits, Auxiliaries]:
        """The head, and the auxiliary heads whose feature is in `inner` by the head's name."""
        init = HEAD_INITS[self.head_init]
        if self.tasks:
            return self._task_heads(pooled, init, train=train, frozen=frozen), []
        if not self.num_classes:
            return pooled, []
        # A frozen head, like any frozen module, runs in evaluation mode.
        if self.dropout > 0 and train and not is_frozen((*self.path, 'head'), frozen):
            pooled = nn.Dropout(self.dropout, name='dropout_before_head')(pooled, deterministic=False)
        auxiliaries = self.backbone.auxiliaries
        if auxiliaries:
            head = HeadWithAuxiliaries(self.num_classes, init, auxiliaries, name='head')
            return head(pooled, inner, train=train, frozen=frozen)
        return _linear(self.num_classes, self.backbone.pooled_parts, init, 'head')(pooled), []

    def _task_heads(
        self,
        pooled: Float[Array, 'batch feature'],
        init: nn.initializers.Initializer,
        *,
        train: bool,
        frozen: Sequence[str],
    ) -> dict[str, Float[Array, 'batch _']]:
        names = [name for name, _ in self.tasks]
        dropping = [name for name in names if not is_frozen((*self.path, 'heads', name), frozen)]
        inputs = dict.fromkeys(names, pooled)
        if self.dropout > 0 and train and dropping:
            # One draw for all heads: they look at one and the same picture of the image.
            dropped = nn.Dropout(self.dropout, name='dropout_before_head')(pooled, deterministic=False)
            inputs |= dict.fromkeys(dropping, dropped)
        return TaskHeads(self.tasks, self.backbone.pooled_parts, init, name='heads')(inputs)

    def __call__(
        self, images: Float[Array, 'batch h w channel'], *, train: bool = False, frozen: Sequence[str] = ()
    ) -> Logits:
        """Float32 logits (batch, num_classes) of normalised images, or pooled features without a head.

        With tasks, a dict from each task's name to its logits (batch, outputs).

        Args:
            images: normalised images.
            train: batch statistics (make `batch_stats` mutable), dropout and stochastic depth (random stream
                `dropout`).
            frozen: '/'-joined module-path prefixes that run in evaluation mode all the same, such as
                `('backbone/stem', 'backbone/stage1/block0/bn1')`. Static.
        """
        features = self.features(images, train=train, frozen=frozen)
        # Every parameter comes into being at `init`, although only training reads the auxiliary heads.
        wanted = self.backbone.auxiliaries if self.is_initializing() else ()
        inner = {auxiliary.name: features[auxiliary.feature] for auxiliary in wanted}
        return self._heads(features['pooled'], inner, train=train, frozen=frozen)[0]

    def training_logits(
        self, images: Float[Array, 'batch h w channel'], *, frozen: Sequence[str] = ()
    ) -> TrainingOutput:
        """What a training loss is made of: logits in training mode, those of the auxiliary heads, and the features.

        An auxiliary head is there for the sake of the layers below it. One that is frozen, or below which everything
        is frozen (`linear_probe`), is left out.

        Args:
            images: normalised images.
            frozen: see `__call__`.

        Returns:
            Logits, auxiliary logits and features, of one pass.
        """
        features = self.features(images, train=True, frozen=frozen)
        inner = {
            auxiliary.name: features[auxiliary.feature]
            for auxiliary in self.backbone.auxiliaries
            if self._matters(auxiliary, frozen)
        }
        logits, auxiliaries = self._heads(features['pooled'], inner, train=True, frozen=frozen)
        return TrainingOutput(logits, auxiliaries, features)

    def _matters(self, auxiliary: Auxiliary, frozen: Sequence[str]) -> bool:
        below = self.stages[: self.stages.index(auxiliary.stage) + 1]
        still = all(is_frozen(('backbone', stage), frozen) for stage in below)
        return not still and not is_frozen(('head', auxiliary.name), frozen)


def _check_tasks(tasks: tuple[tuple[str, int], ...], num_classes: int, backbone: Backbone) -> None:
    names = [name for name, _ in tasks]
    if num_classes:
        raise UserError(f'num_classes={num_classes}, but each of the tasks {", ".join(names)} states its own outputs')
    if len(set(names)) < len(names):
        raise UserError(f'two tasks of one name among {", ".join(names)}')
    for name, outputs in tasks:
        if not re.fullmatch(r'\w+', name):
            raise UserError(f"a task's name must be of letters, digits and underscores: '{name}'")
        if outputs < 1:
            raise UserError(f"task '{name}' has {outputs} outputs; at least 1 is needed")
    if backbone.auxiliaries:
        auxiliaries = ', '.join(auxiliary.name for auxiliary in backbone.auxiliaries)
        raise UserError(f'a network with the auxiliary heads {auxiliaries} cannot have tasks; take one without')
