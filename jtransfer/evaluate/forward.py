"""The compiled forward pass that validation, evaluation and prediction share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, UInt8

from jtransfer.adapters import AnyNetwork
from jtransfer.evaluate.views import ONE_LABEL, Kinds, average_views
from jtransfer.inputs.image import Preprocessing, normalise
from jtransfer.models.heads import are_ours

# To outputs [batch, outputs] by task.
Forward = Callable[[Mapping[str, Any], UInt8[np.ndarray, 'batch h w 3']], dict[str, Any]]

# Compiled passes that a process keeps, for runs of the same network one after another; some megabytes each.
MOST = 8


def make_forward(
    network: AnyNetwork, preprocessing: Preprocessing, flips: bool = False, kinds: Kinds = ONE_LABEL
) -> Forward:
    """A compiled function from variables and framed pixels (0 … 255) to the float32 outputs of every task.

    It evaluates: statistics are the running ones, and nothing is dropped out. What is made for equal networks and
    preprocessing is one and the same program.

    The batch is shared out over the local devices when their number divides it, otherwise one device computes it all.
    Pixels of another size compile anew.

    Args:
        network: what is to be computed.
        preprocessing: whose mean and std apply.
        flips: take the mean of every image and its mirror image (left and right exchanged), see `average_views`. The
            program is compiled once and runs twice.
        kinds: of the network's tasks, see `kinds_of`; they matter with `flips` alone.
    """
    devices = jax.local_devices()
    mesh = Mesh(np.array(devices), ('data',))
    # Code of someone else's may be another by the next time.
    forward = (_program if are_ours(network.heads) else _program.__wrapped__)(network, preprocessing)

    def place(variables: Mapping[str, Any], images: np.ndarray) -> tuple[Any, Any]:
        if len(images) % len(devices):
            return jax.device_put(variables, devices[0]), jax.device_put(images, devices[0])
        everywhere = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
        return everywhere, jax.device_put(images, NamedSharding(mesh, PartitionSpec('data')))

    def place_and_run(variables: Mapping[str, Any], images: UInt8[np.ndarray, 'batch h w 3']) -> Any:
        placed = place(variables, images)
        if not flips:
            return forward(*placed)
        return average_views(*(forward(*placed, np.bool_(mirrored)) for mirrored in (False, True)), kinds=kinds)

    return place_and_run


@functools.lru_cache(MOST)
def _program(network: AnyNetwork, preprocessing: Preprocessing) -> Callable[..., Any]:
    @jax.jit
    def forward(
        variables: Mapping[str, Any], images: UInt8[Array, 'batch h w 3'], mirrored: Bool[Array, ''] | None = None
    ) -> Any:
        if mirrored is not None:
            images = jnp.where(mirrored, images[:, :, ::-1], images)
        return network.apply(variables, normalise(images, preprocessing, network.dtype), train=False)

    return forward
