"""The modules of a network, found by tracing it: of what kind each is, and the shapes of what it reads and returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jtransfer import rules
from jtransfer.adapters.adaptation import called_path
from jtransfer.errors import UserError
from jtransfer.models import Network
from jtransfer.models.layers.operation import Operation, operation_of

# Large enough that no two of a network's strides meet the same single place.
_SIDE = 224


@dataclasses.dataclass(frozen=True)
class Site:
    """A module of a network.

    Attributes:
        path: '/'-joined, below `params`.
        kind: what it computes, see `operation_of`.
        inputs: shape of its first argument, batch of 1 included. None: it is no array.
        outputs: shape of what it returns. None: it is not one array.
        out_axes: how many axes at the end of its kernel are those of the output.
    """

    path: str
    kind: Operation
    inputs: tuple[int, ...] | None
    outputs: tuple[int, ...] | None
    out_axes: int


def describe(network: Network, params: Mapping[str, Any], inputs: Any = None) -> dict[str, Site]:
    """Every module of the network by path, in the order in which they are done. Computes nothing.

    Args:
        network: the network.
        params: its parameters; the number of the image's channels is read from them.
        inputs: shapes and types of the input of one example, see `Adaptation.init`. None: an image that fits the
            network.
    """
    sites: dict[str, Site] = {}

    def record(next_fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
        outputs = next_fun(*args, **kwargs)
        path = called_path(context)
        if path:
            module = context.module
            features = getattr(module, 'features', None)
            sites[path] = Site(
                path,
                operation_of(module),
                _shape(args[0] if args else None),
                _shape(outputs),
                len(features) if isinstance(features, tuple) else 1,
            )
        return outputs

    example = inputs if inputs is not None else jax.ShapeDtypeStruct(_fitting(network, params), jnp.float32)
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), example)
    with nn.intercept_methods(record):
        # A function of its own: `eval_shape` would not trace the same one twice.
        jax.eval_shape(
            lambda key, batch: network.init(key, batch),
            jax.random.key(0),
            batch,
        )
    return sites


def select(field: str, patterns: Sequence[str], paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that one of the patterns matches as a whole.

    Raises:
        UserError: a pattern matches none of them (names the nearest), or none that an earlier one does not.
    """
    try:
        assigned = rules.assign([(pattern, True) for pattern in patterns], paths, fallback=[('.*', False)])
    except UserError as error:
        raise UserError(f'{field}: {error}') from None
    return tuple(path for path, match in assigned.items() if match.value)


def _shape(value: Any) -> tuple[int, ...] | None:
    return value.shape if isinstance(value, jax.Array) else None


def _fitting(network: Network, params: Mapping[str, Any]) -> tuple[int, int, int]:
    backbone = network.backbone
    side = -(-max(_SIDE, backbone.smallest_side) // backbone.side_multiple) * backbone.side_multiple
    return side, side, rules.flatten(params)[f'backbone/{backbone.input_kernel}'].shape[-2]
