"""The running statistics of batch normalisation, taken anew over the training images."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jtransfer import rules
from jtransfer.adapters import AnyNetwork
from jtransfer.data.decode.memory import Decoded
from jtransfer.data.feed.batches import stacked
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import Examples
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.prepare import Held
from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.mode import is_frozen
from jtransfer.pretrained.model import Model
from jtransfer.transfer.averaging import Moments, Variables, pool_moments

_STATISTICS = 'batch_stats'

Statistics = Callable[..., dict[str, tuple[Array, Array, Array]]]


def make_statistics(network: AnyNetwork, preprocessing: Preprocessor) -> Statistics:
    """A compiled function from variables, what is held of a batch and frozen modules to what BatchNorm would measure.

    It gives mean, biased variance and number of values of every module that is not frozen, by '/'-joined path. The
    network runs in training mode, so that each batch is normalised by its own statistics on the way.
    """

    @functools.partial(jax.jit, static_argnums=2)
    def statistics(variables: Variables, held: Held, frozen: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def record(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            module = context.module
            measured = isinstance(module, BatchNorm) and context.method_name == '__call__'
            if measured and not is_frozen(module.path, frozen):
                values = args[0].astype(jnp.float32)
                mean = values.mean(range(values.ndim - 1))
                var = jnp.square(values - mean).mean(range(values.ndim - 1))
                found['/'.join(module.path)] = mean, var, values.size // values.shape[-1]
            return call(*args, **kwargs)

        with nn.intercept_methods(record):
            network.apply(
                variables,
                preprocessing.device(held, network.dtype),
                frozen=frozen,
                mutable=[_STATISTICS],
                rngs={'dropout': jax.random.key(0)},
                method='training_logits',
            )
        return found

    return statistics


def recalibrate_statistics(
    model: Model,
    batches: Iterable[Held],
    *,
    variables: Variables | None = None,
    frozen: tuple[str, ...] = (),
    statistics: Statistics | None = None,
) -> dict[str, Any]:
    """Takes the running statistics of batch normalisation anew, as averaged weights need it.

    Mean and variance are those of all values of all batches together, no moving average: the mean of the batch means,
    and the mean of the batch variances plus the variance of the batch means (precise batch normalisation; Wu and
    Johnson, Rethinking "Batch" in BatchNorm, 2021). The variance is unbiased, as in training.

    Args:
        model: the network.
        batches: what is held of examples, by field; mixed, for each batch is normalised by its own statistics below the
            next layer.
        variables: instead of the model's own.
        frozen: modules that keep their statistics and use them, as '/'-joined path prefixes.
        statistics: the compiled function of `make_statistics`, where there is one already.

    Returns:
        The variables with other `batch_stats`.

    Raises:
        UserError: no batch, or a batch with a single value a channel.
    """
    current = model.variables if variables is None else variables
    measure = statistics or make_statistics(model.network, model.preprocessing)
    placed = jax.device_put(current)
    pooled: dict[str, Moments] | None = None
    for held in batches:
        found = jax.device_get(measure(placed, held, frozen))
        moments = {
            path: Moments(mean.astype(np.float64), var.astype(np.float64), int(count))
            for path, (mean, var, count) in found.items()
        }
        pooled = moments if pooled is None else {path: pool_moments(pooled[path], moments[path]) for path in pooled}
    if pooled is None:
        raise UserError('there are no images to take statistics over')
    leaves = rules.flatten(current[_STATISTICS])
    for path, moment in pooled.items():
        leaves[f'{path}/mean'] = moment.mean.astype(np.float32)
        leaves[f'{path}/var'] = (moment.var * moment.count / (moment.count - 1)).astype(np.float32)
    return {**current, _STATISTICS: rules.unflatten(leaves)}


def mixed_batches(examples: Examples, batch_size: int, seed: int) -> Iterator[Held]:
    """Every example once, in mixed order: batches of at most `batch_size` whose sizes differ by one at most.

    A small last batch would have poor statistics, and so would batches of one class each, as folders are ordered.
    """
    held = examples.held
    order = np.random.default_rng(seed).permutation(len(held))
    for chosen in np.array_split(order, math.ceil(len(held) / batch_size)):
        if isinstance(held, Decoded):
            yield {name: rows[chosen] for name, rows in held.inputs.items()}
        else:
            yield stacked([examples.views(held[int(index)]) for index in chosen])
