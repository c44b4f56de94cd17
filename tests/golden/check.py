"""Compares our networks with what a reference said, through the name maps and nothing else.

`arrays` is what `tests/golden/reference.py` gave: `image`, `state/…` under the reference's names, `logits`,
`feature/STAGE`, and for batch normalisation `train/logits` and `train/state/…`.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jtransfer.models import Network
from jtransfer.pretrained.load.namemap import NameMap
from jtransfer.pretrained.names import namings

Arrays = Mapping[str, np.ndarray]


def golden(case: str) -> dict[str, np.ndarray]:
    """The fixture tests/golden/CASE.npz."""
    with np.load(pathlib.Path(__file__).parent / f'{case}.npz') as file:
        return dict(file)


def state(arrays: Arrays, prefix: str = 'state/') -> dict[str, np.ndarray]:
    """The reference's tensors by its own names."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def naming_called(name: str, family: str, network: Network) -> NameMap:
    """The family's naming of that name."""
    return next(naming for naming in namings(family, network.backbone) if naming.name == name)


def shapes(network: Network, image: np.ndarray) -> dict[str, tuple[int, ...]]:
    """Of the network's tensors by path."""
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.asarray(image))
    return {path: tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(variables, sep='/').items()}


def variables(network: Network, naming: NameMap, arrays: Arrays) -> dict[str, Any]:
    """Ours, from the reference's tensors; names and shapes are exactly those of `init`, and nothing is left over."""
    wanted = shapes(network, arrays['image'])
    converted = naming.to_ours(state(arrays), wanted)
    assert not converted.unknown
    assert {path: value.shape for path, value in converted.values.items()} == wanted
    return traverse_util.unflatten_dict({k: jnp.asarray(v) for k, v in converted.values.items()}, sep='/')


def close(ours: Any, theirs: np.ndarray, tolerance: float, what: str) -> float:
    """Asserts that the largest difference is within a share of the largest magnitude; returns that share."""
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape, f'{what}: {ours.shape}, expected {theirs.shape}'
    share = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    print(f'{what}: {share:.1e}')  # what docs/results.md reports; pytest -rP shows it
    assert share <= tolerance, f'{what}: differs by {share:.1e} of the largest magnitude'
    return share


def evaluation(network: Network, naming: NameMap, arrays: Arrays, tolerance: float = 2e-5) -> dict[str, float]:
    """Logits and every feature the reference gave agree in evaluation; returns each one's difference."""

    @jax.jit
    def forward(variables, image):
        (outputs,) = network.apply(variables, image).values()  # without a head, the pooled features
        return outputs, network.apply(variables, image, method='features')

    with jax.default_matmul_precision('highest'):
        logits, features = forward(variables(network, naming, arrays), arrays['image'])
    shares = {'logits': close(logits, arrays['logits'], tolerance, 'logits')}
    compared = state(arrays, 'feature/')
    assert compared, 'the reference has no intermediate feature'
    for stage, value in compared.items():
        shares[stage] = close(features[stage], value, tolerance, stage)
    return shares


def training(network: Network, naming: NameMap, arrays: Arrays, tolerance: float = 2e-5) -> None:
    """Logits in training mode and the statistics they leave behind agree, and the statistics did move."""
    before = variables(network, naming, arrays)
    step = jax.jit(functools.partial(network.apply, train=True, mutable=['batch_stats']))
    with jax.default_matmul_precision('highest'):
        logits, updated = step(before, arrays['image'])
    close(logits[''], arrays['train/logits'], tolerance, 'logits in training mode')
    moved = naming.to_ours(state(arrays, 'train/state/'), shapes(network, arrays['image']))
    ours = traverse_util.flatten_dict(updated, sep='/')
    assert set(ours) == set(moved.values)
    assert ours
    for path, value in moved.values.items():
        close(ours[path], value, tolerance, path)
    # A network that left its statistics alone would have to differ from the reference somewhere.
    start = traverse_util.flatten_dict({'batch_stats': before['batch_stats']}, sep='/')
    assert any(np.abs(value - start[path]).max() > 1e-3 for path, value in moved.values.items())


def round_trip(network: Network, naming: NameMap, arrays: Arrays) -> None:
    """Exported under the reference's names, the tensors are the very ones that were loaded."""
    ours = {
        k: np.asarray(v) for k, v in traverse_util.flatten_dict(variables(network, naming, arrays), sep='/').items()
    }
    exported = naming.to_theirs(ours)
    given = state(arrays)
    converted = naming.to_ours(given, shapes(network, arrays['image']))
    expected = {name: value for name, value in given.items() if name not in converted.ignored}
    assert {name for name in exported if not name.endswith('num_batches_tracked')} == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(exported[name], value, err_msg=name)
