"""A whole network: a backbone of named stages, and a head for each of its tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
from flax.core import FrozenDict
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.inputs.feature import FEATURE
from jtransfer.models.auxiliary import Auxiliary, HeadWithAuxiliaries
from jtransfer.models.backbone import Backbone
from jtransfer.models.heads import Head, Linear, NamedHeads
from jtransfer.models.mode import Mode, is_frozen
from jtransfer.models.role import Role, usual_role
from jtransfer.models.stages import selected
from jtransfer.tasks.door import ONLY

# Of each task's head, by the task's name.
Outputs: TypeAlias = dict[str, Float[Array, 'batch ...']]
# By name, or the only one.
Inputs: TypeAlias = Mapping[str, Array] | Float[Array, 'batch ...']
# Where pooled features enter, see `Network.start`.
HEAD = 'head'
# Weight of the loss, and outputs, of each auxiliary head.
Auxiliaries: TypeAlias = list[tuple[float, Outputs]]

HEAD_INITS = {'zeros': nn.initializers.zeros, 'normal': nn.initializers.truncated_normal(0.02)}


class TrainingOutput(NamedTuple):
    """What a training loss may be made of.

    Attributes:
        outputs: as `Network.__call__` gives them, in training mode.
        auxiliaries: for each auxiliary head the weight of its loss, and its outputs in the same form.
        features: every stage's output and 'pooled', as `Network.features` gives them; what nobody reads, XLA removes.
    """

    outputs: Outputs
    auxiliaries: Auxiliaries
    features: dict[str, Float[Array, 'batch ...']]


class Network(nn.Module):
    """`backbone` and `head`, the two children of `params`; where tasks have names, `backbone` and `heads`.

    Attributes:
        backbone: the network up to and including the pooled features.
        heads: of each task by its name, a `Head`, or the number of outputs of a linear one. The head of a task without
            a name, which is then the only one, is `head`, others are `heads/NAME`. Empty: there is no head.
        dropout: dropout probability before the heads, in [0, 1).
        head_init: the heads' kernels, `zeros` or `normal` (truncated, standard deviation 0.02); their biases are zero.
        norm_axis: see `Mode.norm_axis`.
        start: the stage at which inputs of features enter, `feature` being what the stage before it put out, or `head`
            for pooled features. None: the first stage, from the beginning.

    Raises:
        UserError: a name that cannot stand in a path, a head without outputs, or named tasks with a backbone's
            auxiliary heads.
    """

    backbone: Backbone
    heads: Mapping[str, int | Head]
    dropout: float = 0.0
    head_init: str = 'zeros'
    norm_axis: str | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        """Refuses heads that cannot be."""
        _check_heads(self.heads, self.backbone)
        if self.start is not None and self.start != HEAD:
            selected(self.backbone.stages, self.start, None)
        object.__setattr__(self, 'heads', FrozenDict(self.heads))  # hashable, as a network is
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
        return self.clone(norm_axis=axis_name)

    @nn.nowrap
    def _mode(self, train: bool, frozen: Sequence[str]) -> Mode:
        return Mode(train, tuple(frozen), self.norm_axis)

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
        own = 'head' if ONLY in self.heads or not self.heads else 'heads'
        if top == own:
            return self.backbone.head_depth
        if top != 'backbone':
            raise UserError(f"'{path}' is neither under backbone/ nor under {own}/")
        return self.backbone.depth(below)

    @nn.nowrap
    def role(self, path: str) -> Role:
        """What a parameter is, by its '/'-joined path below `params`; those of heads have the usual names."""
        top, _, below = path.partition('/')
        return self.backbone.role(below) if top == 'backbone' else usual_role(path)

    def features(
        self,
        inputs: Inputs,
        *,
        train: bool = False,
        frozen: Sequence[str] = (),
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Every stage's output and 'pooled'; what nobody reads, XLA removes.

        Args:
            inputs: see `Backbone.__call__`.
            train: batch statistics, stochastic depth.
            frozen: '/'-joined module-path prefixes that run in evaluation mode all the same.
            start: the first stage to run. None: the network's own.
            stop: the last stage to run. None: the last; otherwise 'pooled' is missing.

        Raises:
            UserError: `start` or `stop` is not a stage.
        """
        start = start or self.start
        if start == HEAD:
            return {'pooled': inputs[FEATURE] if isinstance(inputs, Mapping) else inputs}
        return self.backbone(inputs, self._mode(train, frozen), start=start, stop=stop)

    def classify(
        self, pooled: Float[Array, 'batch feature'], *, train: bool = False, frozen: Sequence[str] = ()
    ) -> Outputs:
        """What the heads make of pooled features, as `__call__` gives it."""
        return self._heads({'pooled': pooled}, {}, self._mode(train, frozen))[0]

    @nn.compact
    def _heads(
        self,
        features: Mapping[str, Float[Array, 'batch ...']],
        inner: Mapping[str, Float[Array, 'batch ...']],
        mode: Mode,
    ) -> tuple[Outputs, Auxiliaries]:
        """The outputs of the heads, and of the auxiliary heads whose feature is in `inner` by the head's name."""
        heads = {name: Linear(head) if isinstance(head, int) else head for name, head in self.heads.items()}
        init, parts = HEAD_INITS[self.head_init], self.backbone.pooled_parts
        if not heads:
            return {'pooled': features['pooled']}, []
        given = self._given(heads, features, mode)
        if ONLY not in heads:
            return NamedHeads(heads, parts, init, name='heads')(given), []
        head, auxiliaries = heads[ONLY], self.backbone.auxiliaries
        if auxiliaries and isinstance(head, Linear):
            both = HeadWithAuxiliaries(head.outputs, init, auxiliaries, name='head')
            (pooled,) = given[ONLY]
            outputs, others = both(pooled, inner, mode)
            return {ONLY: outputs}, [(weight, {ONLY: other}) for weight, other in others]
        return {ONLY: head.make(parts, init, 'head')(*given[ONLY])}, []

    def _given(
        self,
        heads: Mapping[str, Head],
        features: Mapping[str, Float[Array, 'batch ...']],
        mode: Mode,
    ) -> dict[str, tuple[Float[Array, 'batch ...'], ...]]:
        """The features that every head reads, by its name; in training with dropout, but for frozen heads."""
        paths = {name: ('heads', name) if name else ('head',) for name in heads}
        # A frozen head, like any frozen module, runs in evaluation mode.
        dropping = [name for name in heads if not is_frozen((*self.path, *paths[name]), mode.frozen)]
        dropped = {}
        if self.dropout > 0 and mode.train and dropping:
            # One draw for all heads: they look at one and the same picture of the image.
            dropped['pooled'] = nn.Dropout(self.dropout, name='dropout_before_head')(
                features['pooled'], deterministic=False
            )
        given = {}
        for name, head in heads.items():
            own = {**features, **dropped} if name in dropping else features
            given[name] = tuple(own[feature] for feature in head.reads)
        return given

    def __call__(self, inputs: Inputs, *, train: bool = False, frozen: Sequence[str] = ()) -> Outputs:
        """The outputs of every head by its task's name: float32 logits (batch, outputs).

        Without a head, the pooled features (batch, feature), by the name `pooled`.

        Args:
            inputs: see `Backbone.__call__`.
            train: batch statistics (make `batch_stats` mutable), dropout and stochastic depth (random stream
                `dropout`).
            frozen: '/'-joined module-path prefixes that run in evaluation mode all the same, such as
                `('backbone/stem', 'backbone/stage1/block0/bn1')`. Static.
        """
        features = self.features(inputs, train=train, frozen=frozen)
        # Every parameter comes into being at `init`, although only training reads the auxiliary heads.
        wanted = self.backbone.auxiliaries if self.is_initializing() else ()
        inner = {item.name: features[item.feature] for item in wanted if item.feature in features}
        return self._heads(features, inner, self._mode(train, frozen))[0]

    def training_logits(self, inputs: Inputs, *, frozen: Sequence[str] = ()) -> TrainingOutput:
        """What a training loss is made of: outputs in training mode, those of the auxiliary heads, and the features.

        An auxiliary head is there for the sake of the layers below it. One that is frozen, or below which everything
        is frozen (`linear_probe`), is left out.

        Args:
            inputs: see `Backbone.__call__`.
            frozen: see `__call__`.

        Returns:
            Outputs, those of auxiliary heads and features, of one pass.
        """
        features = self.features(inputs, train=True, frozen=frozen)
        inner = {
            auxiliary.name: features[auxiliary.feature]
            for auxiliary in self.backbone.auxiliaries
            if auxiliary.feature in features and self._matters(auxiliary, frozen)
        }
        outputs, auxiliaries = self._heads(features, inner, self._mode(True, frozen))
        return TrainingOutput(outputs, auxiliaries, features)

    def _matters(self, auxiliary: Auxiliary, frozen: Sequence[str]) -> bool:
        below = self.stages[: self.stages.index(auxiliary.stage) + 1]
        still = all(is_frozen(('backbone', stage), frozen) for stage in below)
        return not still and not is_frozen(('head', auxiliary.name), frozen)


def _check_heads(heads: Mapping[str, int | Head], backbone: Backbone) -> None:
    for name, head in heads.items():
        if not re.fullmatch(r'\w+', name) and (name or len(heads) > 1):
            raise UserError(f"a task's name must be of letters, digits and underscores: '{name}'")
        if isinstance(head, int) and head < 1:
            called = f"task '{name}'" if name else 'the head'
            raise UserError(f'{called} has {head} outputs; at least 1 is needed')
    if backbone.auxiliaries and any(heads):
        auxiliaries = ', '.join(auxiliary.name for auxiliary in backbone.auxiliaries)
        raise UserError(f'a network with the auxiliary heads {auxiliaries} cannot have tasks; take one without')
