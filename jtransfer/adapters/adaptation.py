"""What every kind of adaptation is: parameters of its own, and how they take part in the network's computation."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Key

from jtransfer.errors import UserError
from jtransfer.models import Network

# Called instead of every method of every module, see `flax.linen.intercept_methods`.
Interceptor: TypeAlias = Callable[..., Any]

# The initial values of a projection to few channels, as in the code of LoRA and AdaptFormer: uniform with the bound
# 1 / sqrt(fan_in), which is torch's own for linear layers.
UNIFORM_FAN_IN = 1 / 3


@dataclasses.dataclass(frozen=True)
class Adaptation(abc.ABC):
    """An adaptation of a network: a transformation of its parameters, of what its modules return, or of both.

    It holds no arrays, is hashable, and its fields are plain values, so that it can be part of a file's metadata.
    """

    mergeable: ClassVar[bool] = False

    @abc.abstractmethod
    def init(
        self,
        key: Key[Array, ''],
        network: Network,
        params: Mapping[str, Any],
        inputs: Any = None,
    ) -> dict[str, Any]:
        """The first values of the child `adapters` of `params`, float32.

        With them the network computes what it did (but for prompts, which take part in attention from the start).

        Args:
            key: of the random values.
            network: the network without adaptation.
            params: its parameters; only shapes are read.
            inputs: shapes and types of the input of one example, as `Preprocessor.spec` has them. None: an image of
                some size is taken to find the shapes of the modules.
        """

    def parameters(self, params: Mapping[str, Any], adapters: Mapping[str, Any]) -> Mapping[str, Any]:
        """The parameters that the network computes with."""
        return params

    def interceptor(self, adapters: Mapping[str, Any]) -> Interceptor:
        """What is called around the modules' methods, for one call of the network."""
        return _pass_on

    def merged(self, params: Mapping[str, Any], adapters: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with which the plain network computes what the adapted one does.

        Raises:
            UserError: there are none for this kind.
        """
        raise UserError(
            'what transfer.strategy=adapter and prompt add to a network is computation of its own, which cannot be '
            'merged into the weights; keep it beside them (lora and ssf can be merged)'
        )


def _pass_on(next_fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
    return next_fun(*args, **kwargs)


def called_path(context: nn.module.InterceptorContext) -> str:
    """The '/'-joined path of the module that is called; '' for the network itself and for other methods."""
    return '/'.join(context.module.path) if context.method_name == '__call__' else ''


def uniform_fan_in(key: Key[Array, ''], shape: Sequence[int]) -> Float[Array, '*inputs outputs']:
    """Float32 values between -1 / sqrt(fan_in) and 1 / sqrt(fan_in); every axis but the last is an input."""
    axes = tuple(range(len(shape) - 1))
    initializer = jax.nn.initializers.variance_scaling(UNIFORM_FAN_IN, 'fan_in', 'uniform', in_axis=axes, out_axis=-1)
    return initializer(key, tuple(shape))
