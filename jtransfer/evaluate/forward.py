"""The compiled forward pass that validation, evaluation and prediction share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, UInt8

from jtransfer.adapters import AnyNetwork
from jtransfer.preprocessing import Preprocessing, normalise

Forward = Callable[[Mapping[str, Any], UInt8[np.ndarray, 'batch h w 3']], Float[Array, 'batch classes']]


def make_forward(network: AnyNetwork, preprocessing: Preprocessing) -> Forward:
    """A compiled function from variables and framed pixels (0 … 255) to float32 logits, in evaluation mode.

    The batch is shared out over the local devices when their number divides it, otherwise one device computes it all.
    """
    devices = jax.local_devices()
    mesh = Mesh(np.array(devices), ('data',))

    @jax.jit
    def forward(variables: Mapping[str, Any], images: UInt8[Array, 'batch h w 3']) -> Float[Array, 'batch classes']:
        logits = network.apply(variables, normalise(images, preprocessing, network.dtype), train=False)
        return cast(Array, logits)

    def place_and_run(
        variables: Mapping[str, Any], images: UInt8[np.ndarray, 'batch h w 3']
    ) -> Float[Array, 'batch classes']:
        if len(images) % len(devices):
            return forward(jax.device_put(variables, devices[0]), jax.device_put(images, devices[0]))
        everywhere = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
        return forward(everywhere, jax.device_put(images, NamedSharding(mesh, PartitionSpec('data'))))

    return place_and_run
