"""The shapes of a network's variables, known before anything is made."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
from flax.errors import FlaxError

from jtransfer.errors import UserError
from jtransfer.inputs.prepare import Spec, batched, in_words
from jtransfer.text.outside import clipped

# 16 GiB of float32; ViT-G/14 has 1.8 billion.
MAX_PARAMETERS = 2**32


def variable_shapes(network: Any, spec: Spec) -> Any:
    """The variables that a network would have, as shapes and types: nothing is allocated or computed.

    Args:
        network: with `init`, adapted or not.
        spec: shapes and types of the input of one example, by name, as `Preprocessor.spec` has them.

    Returns:
        The nested variables, each a `jax.ShapeDtypeStruct`.

    Raises:
        UserError: the network's sizes contradict each other or the input, or there would be more than 2³² parameters.
    """
    try:
        shapes = _traced(network, tuple(spec.items()))
    except UserError:
        raise
    # Options come from files: what sizes that do not go together lead to depends on the layer that meets them.
    except (ArithmeticError, AssertionError, AttributeError, FlaxError, LookupError, TypeError, ValueError) as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise UserError(
            f'a network of these options cannot be built for {in_words(spec)}: {clipped(reason, 200)}'
        ) from error
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    if count > MAX_PARAMETERS:
        raise UserError(f'the network would have {count:,} parameters; at most {MAX_PARAMETERS:,} are made')
    # A tree of their own for everyone who asks.
    return jax.tree.map(lambda shape: shape, shapes)


@functools.lru_cache(maxsize=64)
def _traced(network: Any, spec: tuple[tuple[str, jax.ShapeDtypeStruct], ...]) -> Any:
    # A process that loads a network often (folds, trials of a search, soups) traces it once.
    return jax.eval_shape(network.init, jax.random.key(0), batched(dict(spec)))
