"""The views of an example that test-time augmentation averages: made on the host, the mean taken on the device.

Ten views (`crops=5, flips=True`) are from Krizhevsky, Sutskever and Hinton (2012), several sizes from Simonyan and
Zisserman (2014); both average softmax probabilities, as is done here where a picture has one label.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from jtransfer.adapters import AnyNetwork
from jtransfer.config.evaluate import Evaluate
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.prepare import Spec, Views, batched
from jtransfer.tasks.base import Task, task_class
from jtransfer.tasks.door import ONLY

# Of each task with its name.
Kinds: TypeAlias = tuple[tuple[str, str], ...]
ONE_LABEL: Kinds = ((ONLY, 'single_label'),)


def make_views(
    network: AnyNetwork, variables: Mapping[str, Any], preprocessing: Preprocessor, settings: Evaluate
) -> Views:
    """The views that the settings ask for; neither reads an example nor computes anything.

    Args:
        network: which is to see them.
        variables: its parameters and statistics; their shapes count.
        preprocessing: of the network.
        settings: whose `flips`, `crops` and `scales` apply.

    Raises:
        UserError: views that its inputs do not have, that would be alike for every image or at two scales, or a size
            that the network does not take, such as any but its own for position embeddings.
    """
    views = preprocessing.views(settings, network.backbone.side_multiple)
    for setting, spec in views.other_inputs:
        _check_input(network, variables, spec, setting)
    return views


def kinds_of(tasks: Sequence[Task]) -> Kinds:
    """What `average_views` is to know of a network's tasks."""
    return tuple((task.name, task.kind) for task in tasks)


@functools.partial(jax.jit, static_argnames='kinds')
def average_views(*outputs: Mapping[str, Any], kinds: Kinds = ONE_LABEL) -> dict[str, Array]:
    """The outputs that stand for several views, [batch, outputs] float32 by task.

    With one label a picture, the log of the mean of the softmax probabilities: logits whose softmax is that mean. With
    several labels, logits whose sigmoid is the mean of the sigmoids. Of numbers, the mean. Logarithms are computed with
    throughout, so that a class of vanishing probability stays finite.

    Args:
        *outputs: of each view, in the form of the result.
        kinds: see `kinds_of`.
    """
    return {name: _average(kind, [output[name] for output in outputs]) for name, kind in kinds}


def _average(kind: str, outputs: Sequence[Float[Array, 'batch outputs']]) -> Float32[Array, 'batch outputs']:
    averaged: Array = task_class(kind).mean_on_device([output.astype(jnp.float32) for output in outputs])
    return averaged


def _check_input(network: AnyNetwork, variables: Mapping[str, Any], spec: Spec, setting: str) -> None:
    """Traces the network on inputs of these shapes, which computes nothing."""
    try:
        jax.eval_shape(functools.partial(network.apply, train=False), variables, batched(spec))
    except UserError as error:
        raise UserError(f'{setting} is not for this network: {error}') from None
