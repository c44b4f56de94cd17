"""What may pull training towards its source: the contract, and what a training step keeps of the source for it.

The pulls that the configuration names are in `towards_source.py`; one's own goes to `StepParts.more_pulls`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jtransfer.adapters import AdaptedNetwork, AnyNetwork
from jtransfer.models.network import Inputs
from jtransfer.transfer.plan import Plan, combine

Kept: TypeAlias = Literal['params', 'model_state']
Features: TypeAlias = Mapping[str, Float[Array, 'batch ...']]


@runtime_checkable
class Pull(Protocol):
    """One of the pulls in a training step, at the loss, at the gradients, at the updates, or at several of them.

    A subclass defines what it does; what it does not define pulls at nothing, and is not in the compiled program. The
    methods are pure functions, traced into the step.

    Attributes:
        keep: what the step keeps of the source for it: `params`, the backbone's trained parameters as they were, and
            `model_state`, its statistics.
    """

    keep: ClassVar[tuple[Kept, ...]] = ('params',)

    def loss(self, features: Features, source_features: Callable[[], Features]) -> Float[Array, ''] | None:
        """A term of the loss of a batch, or None.

        Args:
            features: of the batch, by stage and `pooled`, from the network as it trains.
            source_features: runs the source on the same inputs, see the function of that name.
        """
        return None

    def gradient(self, grads: Any, trainable: Any, source: Mapping[str, Any]) -> Any:
        """The gradient of the whole batch with what is added to it, before it is logged, clipped and used.

        Args:
            grads: the gradient, a nested dictionary like `trainable`.
            trainable: the parameters at which it was taken.
            source: the `params` that are kept of the source, nested like `trainable`; empty where there are none.
        """
        return grads

    def update(
        self,
        updates: Any,
        trainable: Any,
        source: Mapping[str, Any],
        schedules: Mapping[str, optax.Schedule],
        step: Array,
    ) -> Any:
        """The updates with what is added to them, whatever the optimiser is.

        Args:
            updates: what is about to be added to `trainable`, nested like it.
            trainable: the parameters.
            source: as for `gradient`.
            schedules: the learning rate of every trained parameter by its path, as a function of the step.
            step: of the run.
        """
        return updates


def keep_source(variables: Mapping[str, Any], plan: Plan, pulls: Sequence[Pull]) -> dict[str, Any] | None:
    """What a training step needs of the source; None where no pull needs anything.

    Args:
        variables: where training starts.
        plan: which parameters move.
        pulls: all of the step.

    Returns:
        `params`: the backbone's trained parameters as they were, `model_state`: its statistics; each is empty where no
        pull keeps it.
    """
    kept = {name for pull in pulls for name in pull.keep}
    if not kept:
        return None
    trainable, _ = plan.split(variables['params'])
    backbone = {'backbone': trainable['backbone']} if 'params' in kept and 'backbone' in trainable else {}
    state = {name: tree for name, tree in variables.items() if name != 'params'} if 'model_state' in kept else {}
    return jax.tree.map(jnp.array, {'params': backbone, 'model_state': state})


def source_features(network: AnyNetwork, source: Mapping[str, Any], frozen: Any, inputs: Inputs) -> Features:
    """The features of the source, in evaluation mode and without adapters. Whoever asks keeps both `Kept`.

    Args:
        network: as it trains.
        source: what is kept, see `keep_source`.
        frozen: the parameters that do not move, and are the source's still.
        inputs: of the network, by name or the only one.
    """
    unadapted = network.network if isinstance(network, AdaptedNetwork) else network
    variables = {'params': combine(source['params'], frozen), **source['model_state']}
    features: Any = unadapted.apply(variables, inputs, method='features')
    return features
