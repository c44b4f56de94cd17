"""The compiled forward pass that validation, evaluation and prediction share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool

from jtransfer.adapters import AnyNetwork
from jtransfer.evaluate.views import ONE_LABEL, Kinds, average_views
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.prepare import Held
from jtransfer.models.heads import are_ours

# To outputs [batch, outputs] by task.
Forward = Callable[[Mapping[str, Any], Held], dict[str, Any]]

# Compiled passes that a process keeps, for runs of the same network one after another; some megabytes each.
MOST = 8


def make_forward(
    network: AnyNetwork, preprocessing: Preprocessor, flips: bool = False, kinds: Kinds = ONE_LABEL
) -> Forward:
    """A compiled function from variables and what is held of a batch, by field, to the float32 outputs of every task.

    It evaluates: statistics are the running ones, and nothing is dropped out. What is made for equal networks and
    preprocessing is one and the same program.

    The batch is shared out over the local devices when their number divides it, otherwise one device computes it all.
    Inputs of another size compile anew.

    Args:
        network: what is to be computed.
        preprocessing: what it reads.
        flips: take the mean of every image and its mirror image (left and right exchanged), see `average_views`. The
            program is compiled once and runs twice.
        kinds: of the network's tasks, see `kinds_of`; they matter with `flips` alone.
    """
    devices = jax.local_devices()
    mesh = Mesh(np.array(devices), ('data',))
    # Code of someone else's may be another by the next time.
    forward = (_program if are_ours(network.heads) else _program.__wrapped__)(network, preprocessing)

    def place(variables: Mapping[str, Any], held: Held) -> tuple[Any, Any]:
        if len(next(iter(held.values()))) % len(devices):
            return jax.device_put(variables, devices[0]), jax.device_put(held, devices[0])
        everywhere = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
        return everywhere, jax.device_put(held, NamedSharding(mesh, PartitionSpec('data')))

    def place_and_run(variables: Mapping[str, Any], held: Held) -> Any:
        placed = place(variables, held)
        if not flips:
            return forward(*placed)
        return average_views(*(forward(*placed, np.bool_(mirrored)) for mirrored in (False, True)), kinds=kinds)

    return place_and_run


@functools.lru_cache(MOST)
def _program(network: AnyNetwork, preprocessing: Preprocessor) -> Callable[..., Any]:
    @jax.jit
    def forward(variables: Mapping[str, Any], held: Held, mirrored: Bool[Array, ''] | None = None) -> Any:
        if mirrored is not None:
            held = jax.tree.map(functools.partial(jnp.where, mirrored), preprocessing.mirrored(held), held)
        return network.apply(variables, preprocessing.device(held, network.dtype), train=False)

    return forward
