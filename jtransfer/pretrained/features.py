"""Intermediate features of images, or whatever a network reads, in one call."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jtransfer import rules
from jtransfer.adapters import AdaptedNetwork
from jtransfer.checks import nearest
from jtransfer.errors import UserError
from jtransfer.inputs.feature import FeaturePreprocessor
from jtransfer.inputs.prepare import Held, batched
from jtransfer.models.network import HEAD
from jtransfer.pretrained.model import Model

POOLED = 'pooled'


def enter_at(model: Model, start: str) -> Model:
    """The model as it reads features that were taken before, without what lies before the stage that reads them.

    >>> features = extract_features(model, images, 'stage3')['stage3']  # doctest: +SKIP
    >>> source = ArraySource({'feature': features}, labels, class_names)  # doctest: +SKIP
    >>> fit(enter_at(model, 'stage4'), load_data(source), strategy='linear_probe')  # doctest: +SKIP

    Args:
        model: of `load_model`.
        start: the stage that reads the features of the stage before it, or `head` for `pooled`.

    Raises:
        UserError: no such stage, the first one, or a network with adapters.
    """
    network = model.network
    if isinstance(network, AdaptedNetwork):
        raise UserError('a network with adapters reads images alone: merge_model first, or enter before adapting')
    stages = network.stages
    if start not in (*stages[1:], HEAD):
        raise UserError(
            f"{model.architecture} has no stage '{start}' to enter at.{nearest(start, (*stages[1:], HEAD))}"
        )
    before = stages if start == HEAD else stages[: stages.index(start)]
    features: Any = jax.eval_shape(
        functools.partial(network.apply, method='features'), model.variables, batched(model.preprocessing.spec())
    )
    shape = features[POOLED if start == HEAD else before[-1]].shape[1:]
    left_out = tuple(f'{kind}/backbone/{stage}/' for kind in model.variables for stage in before)
    variables = rules.unflatten(
        {path: leaf for path, leaf in rules.flatten(model.variables).items() if not path.startswith(left_out)}
    )
    return dataclasses.replace(
        model,
        network=network.clone(start=start),
        variables=variables,
        preprocessing=FeaturePreprocessor(shape, start),
    )


def extract_features(
    model: Model,
    examples: Iterable[Any],
    stages: str | Sequence[str] = (POOLED,),
    *,
    batch_size: int = 32,
) -> dict[str, Float[np.ndarray, 'example ...']]:
    """Runs examples through a network in evaluation mode and keeps what its stages put out.

    >>> features = extract_features(model, images, ('stage2', 'pooled'))  # doctest: +SKIP
    >>> features['stage2'].shape  # doctest: +SKIP
    (100, 28, 28, 512)

    Args:
        model: of `load_model`; its preprocessing prepares the examples.
        examples: images, uint8 (height, width, channel), each of any size; of other networks the only field that they
            read, or mappings of fields.
        stages: names of the backbone's stages (`model.network.stages`: every block of a ViT, every stage of a
            convolutional network), and 'pooled' for the features before the head.
        batch_size: examples a forward pass, ≥ 1.

    Returns:
        By stage, float32: (example, h, w, channel) of a convolutional network, (example, token, dim) of a ViT, prefix
        tokens first; (example, feature) for 'pooled'.

    Raises:
        UserError: a name that is no stage, no examples, something that is none, or a batch size below 1.
    """
    stages = (stages,) if isinstance(stages, str) else tuple(stages)
    known = (*model.network.stages, POOLED)
    if not stages:
        raise UserError(f'name at least one stage of {", ".join(known)}')
    if unknown := [stage for stage in stages if stage not in known]:
        raise UserError(f"{model.architecture} has no stage '{unknown[0]}'.{nearest(unknown[0], known)}")
    if batch_size < 1:
        raise UserError(f'batch_size={batch_size} must be at least 1')
    wanted = set(stages)

    @jax.jit
    def forward(variables: dict, held: Held) -> dict[str, Array]:
        inputs = model.preprocessing.device(held, model.network.dtype)
        features = cast(dict[str, Array], model.network.apply(variables, inputs, method='features'))
        return {stage: features[stage].astype(jnp.float32) for stage in wanted}

    parts: dict[str, list[np.ndarray]] = {stage: [] for stage in stages}
    left, hold = iter(examples), model.preprocessing.prepare()
    while some := list(itertools.islice(left, batch_size)):
        held = [hold(model.preprocessing.example(value)) for value in some]
        # The last batch is padded, so that one program is compiled.
        padded = [*held, *[held[-1]] * (batch_size - len(held))]
        batch = {name: np.stack([one[name] for one in padded]) for name in held[0]}
        features = jax.device_get(forward(model.variables, batch))
        for stage in stages:
            parts[stage].append(features[stage][: len(held)])
    if not parts[stages[0]]:
        raise UserError('there are no examples to take features of')
    return {stage: np.concatenate(values) for stage, values in parts.items()}
