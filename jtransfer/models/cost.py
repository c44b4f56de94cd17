"""What a network costs: parameters, operations, the shapes between its stages, and the paths that rules can name.

Nothing runs: shapes come from tracing, operations from XLA's analysis of the program before it is compiled.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import jax

from jtransfer.inputs.prepare import Spec, batched
from jtransfer.models.network import Network
from jtransfer.rules import flatten
from jtransfer.tasks.door import ONLY

Shape = tuple[int, ...]

# Modules that are numbered because they repeat; a pattern with \d+ takes all of them.
_REPEATED = re.compile(r'(?<=/)(stage|block)\d+(?=/)')


@dataclasses.dataclass(frozen=True)
class Stage:
    """One part of a network, in the order in which they run.

    Attributes:
        name: the stage's, or `head`.
        shape: of its output for one image, without the batch.
        rule: the pattern that takes its parameters, `backbone/stage1/.*`.
        tensors: how many parameters that are.
        elements: how many numbers.
    """

    name: str
    shape: Shape
    rule: str
    tensors: int
    elements: int


@dataclasses.dataclass(frozen=True)
class Paths:
    """The parameters of a module, wherever in the stages and blocks it occurs.

    Attributes:
        pattern: a regular expression for rules, which matches just these.
        tensors: how many parameters that are.
        elements: how many numbers.
    """

    pattern: str
    tensors: int
    elements: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """What `measure` finds.

    Attributes:
        spec: of the input of one example.
        backbone: parameters without the head.
        head: parameters of the head.
        statistics: running means and variances of batch normalisation.
        flops: operations of the forward pass for one example, head included; a multiplication and an addition are two.
            XLA counts element-wise operations too, and leaves out what falls on padding, so that networks of 3×3
            convolutions on small pictures stay below the usual count (ResNet-50 at 224 by 3 %, ResNet-34 by 8 %).
            NaN where XLA does not say.
        stages: the backbone's stages and the head.
        paths: all parameters, grouped.
    """

    spec: Spec
    backbone: int
    head: int
    statistics: int
    flops: float
    stages: tuple[Stage, ...]
    paths: tuple[Paths, ...]

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return self.backbone + self.head


def count(network: Network, spec: Spec) -> tuple[int, int, int]:
    """Parameters of the backbone and of the head, and running statistics, for inputs as `Preprocessor.spec` has them.

    Raises:
        UserError: the shapes do not fit the network.
    """
    variables = _variables(network, spec)
    sizes = {top: _elements(variables['params'].get(top, {})) for top in ('backbone', 'head')}
    return sizes['backbone'], sizes['head'], _elements(variables.get('batch_stats', {}))


def measure(network: Network, spec: Spec) -> Cost:
    """Costs of a network for one example.

    Args:
        network: with or without a head.
        spec: shapes and types of its input of one example, as `Preprocessor.spec` has them.

    Raises:
        UserError: the shapes do not fit the network.
    """
    variables = _variables(network, spec)
    inputs = batched(spec)
    analysis = jax.jit(network.apply).lower(variables, inputs).cost_analysis() or {}
    features = jax.eval_shape(lambda v, x: network.apply(v, x, method='features'), variables, inputs)
    parameters = {path: leaf.size for path, leaf in flatten(variables['params']).items()}
    stages = [_stage(name, f'backbone/{name}/', features[name].shape[1:], parameters) for name in network.stages]
    outputs = jax.eval_shape(network.apply, variables, inputs)
    if ONLY in outputs:
        stages.append(_stage('head', 'head/', outputs[ONLY].shape[1:], parameters))
    return Cost(
        spec=spec,
        backbone=sum(size for path, size in parameters.items() if path.startswith('backbone/')),
        head=sum(size for path, size in parameters.items() if path.startswith('head/')),
        statistics=_elements(variables.get('batch_stats', {})),
        flops=float(analysis.get('flops', math.nan)),
        stages=tuple(stages),
        paths=_grouped(parameters),
    )


def _variables(network: Network, spec: Spec) -> Mapping[str, Any]:
    return jax.eval_shape(network.init, jax.random.key(0), batched(spec))


def _elements(tree: Mapping[str, Any]) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _stage(name: str, prefix: str, shape: Shape, parameters: Mapping[str, int]) -> Stage:
    sizes = [size for path, size in parameters.items() if path.startswith(prefix)]
    return Stage(name, shape, f'{prefix}.*', len(sizes), sum(sizes))


def _grouped(parameters: Mapping[str, int]) -> tuple[Paths, ...]:
    general = {path: _REPEATED.sub(r'\1\\d+', path) for path in parameters}
    modules = {pattern.rpartition('/')[0] for pattern in general.values()}
    groups: dict[str, list[int]] = {}
    for path, size in parameters.items():
        module = general[path].rpartition('/')[0]
        # Below a module of modules, `.*` would take those too.
        mixed = any(other.startswith(f'{module}/') for other in modules)
        groups.setdefault(general[path] if mixed else f'{module}/.*', []).append(size)
    return tuple(Paths(pattern, len(sizes), sum(sizes)) for pattern, sizes in groups.items())
