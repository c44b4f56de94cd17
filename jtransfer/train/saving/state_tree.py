"""The state of a training as the tree that a checkpoint holds: canonical names, whatever the plan that trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jtransfer.rules import flatten
from jtransfer.train.state import TrainState
from jtransfer.transfer.plan import Plan, combine


def with_clipping(tree: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint, by the names of now: once, an optimiser without clipping had no place for it in its chain."""
    place, found = '.inner_states', tree.get('opt_state', {})
    named = {name if f'[1]{place}' in name else name.replace(place, f'[1]{place}', 1): found[name] for name in found}
    return {**tree, 'opt_state': named}


def difference_of(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """How a checkpoint differs from a state in its names and shapes, in words; empty when it does not."""
    # Orbax, asked for another shape than it finds, returns what it finds.
    causes = {
        'params': 'another network or number of classes',
        'model_state': 'another network',
        'opt_state': 'another plan or optimiser',
        'ema': 'another plan or optim.ema_decay',
    }
    for name, cause in causes.items():
        there, here = ({p: np.shape(x) for p, x in flatten(tree.get(name, {})).items()} for tree in (found, expected))
        for path in (*here, *there):
            if there.get(path) != here.get(path):
                return (
                    f'it was written with {cause} ({name} {path} is {there.get(path, "absent")} there, '
                    f'{here.get(path, "absent")} here)'
                )
    return ''


def to_tree(state: TrainState) -> dict[str, Any]:
    """The state as nested dictionaries of arrays: `step`, the whole `params`, `opt_state`, and what else there is."""
    tree = {
        'step': state.step,
        'params': combine(state.trainable, state.frozen),
        'opt_state': {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state.opt_state)},
    }
    if state.model_state:
        tree['model_state'] = state.model_state
    if state.ema is not None:
        tree['ema'] = state.ema
    return tree


def from_tree(tree: Mapping[str, Any], like: TrainState, plan: Plan) -> TrainState:
    """The state that `to_tree` was given.

    Args:
        tree: of a checkpoint that fits, see `difference_of`.
        like: a state of the same phase, whose structure of the optimiser and whose source values it has.
        plan: of that phase, by which the parameters are divided.
    """
    trainable, frozen = plan.split(tree['params'])
    structure = jax.tree.structure(like.opt_state)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(like.opt_state)]
    return TrainState(
        step=tree['step'],
        trainable=trainable,
        frozen=frozen,
        model_state=tree.get('model_state', {}),
        opt_state=jax.tree.unflatten(structure, [tree['opt_state'][name] for name in names]),
        ema=tree.get('ema'),
        source=like.source,
    )
