"""The update rule of one group of parameters, and the step uphill of sharpness-aware minimisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import optax
from jaxtyping import Array, Float

from jtransfer import checks
from jtransfer.checks import new_name
from jtransfer.config.optim import OPTIMIZERS, Optim, optimizers, take_optimizer
from jtransfer.models.role import KERNELS, Role

Tree = TypeVar('Tree')
# Of a leaf's key path and the leaf.
Dimensions = Callable[[Any, Any], optax.contrib.MuonDimensionNumbers | None]

Make = Callable[[Optim, optax.Schedule, Any], optax.GradientTransformation]
_ADDED: dict[str, Make] = {}

# Root mean square of Muon's update before the learning rate: what AdamW's is in practice (Liu et al., 2025).
MUON_RMS = 0.2


def add_optimizer(name: str, make: Make) -> None:
    """Makes an optimiser of one's own known, by `optim.name` and `optimizer=NAME` in a rule.

    Call it before the name is used, in every process that trains with it or goes on from its checkpoints.

    >>> add_optimizer('signs', lambda optim, schedule, weight_decay: optax.sign_sgd(schedule))  # doctest: +SKIP

    Args:
        name: letters, digits and underscores.
        make: from `config.Optim` (its numbers may be traced: use them in computations alone), the learning rate by the
            group's own count of updates and the group's weight decay (a number that may be traced, too) to what turns
            gradients into updates, the learning rate and the sign included.

    Raises:
        UserError: a name that cannot be, or that another optimiser has.
    """
    new_name('an optimiser', name, taken=name in OPTIMIZERS or _ADDED.get(name, make) is not make)
    _ADDED[name] = make
    take_optimizer(name)


def update_rule(
    name: str, optim: Optim, schedule: optax.Schedule, weight_decay: float | Array, role: Callable[[str], Role]
) -> optax.GradientTransformationExtraArgs:
    """The gradient transformation of one group; its state has leaves for the group's parameters alone.

    It takes whole trees below `params` and the trees with holes that `optax.multi_transform` makes of them. The state's
    key paths depend on the name of the rule and the paths of the parameters, not on the rates.

    - `adamw`: decoupled decay (Loshchilov and Hutter, 2019).
    - `sgd`: the decay is added to the gradient before the momentum, as in torch; the momentum is not Nesterov's.
    - `lamb` (You et al., 2020): AdamW's direction with its decay, scaled in every tensor to the tensor's norm; a tensor
      that is all zeros is moved as AdamW would.
    - `lion` (Chen et al., 2023): the sign of the momentum, decoupled decay. It wants 3 to 10 times less learning rate
      than AdamW, and as many times more decay.
    - `muon` (Jordan et al., 2024) where `muon_dimensions` gives axes, AdamW elsewhere. Momentum `optim.momentum` with
      Nesterov's step ahead, five Newton-Schulz iterations, decoupled decay. The update is scaled to a root mean square
      of 0.2 whatever the matrix's shape (Liu et al., Muon is Scalable for LLM Training, 2025), so that learning rates
      and decay found for AdamW fit, and one schedule serves both halves of the group.

    Args:
        name: one of `config.optim.optimizers()`.
        optim: momentum and moment decays.
        schedule: learning rate by the group's own count of updates, from zero.
        weight_decay: of every parameter of the group, ≥ 0, times the learning rate.
        role: of a parameter by its '/'-joined path below `params`, as `Network.role` gives it; Muon asks.

    Raises:
        UserError: an unknown name.
    """
    checks.one_of('optimizer', name, optimizers())
    if name in _ADDED:
        return optax.with_extra_args_support(_ADDED[name](optim, schedule, weight_decay))
    b1, b2 = optim.b1, optim.b2
    if name == 'sgd':
        sgd = optax.sgd(schedule, momentum=optim.momentum or None)
        return optax.chain(optax.add_decayed_weights(weight_decay), sgd)
    if name == 'lamb':
        return optax.lamb(schedule, b1=b1, b2=b2, weight_decay=weight_decay)
    if name == 'lion':
        return optax.lion(schedule, b1=b1, b2=b2, weight_decay=weight_decay)
    adamw = optax.adamw(schedule, b1=b1, b2=b2, weight_decay=weight_decay)
    if name == 'adamw':
        return adamw

    def dimensions(key_path: Any, leaf: Any) -> optax.contrib.MuonDimensionNumbers | None:
        path = jax.tree_util.keystr(key_path, simple=True, separator='/')
        return muon_dimensions(path, role(path), leaf.shape)

    def labels(tree: Any) -> Any:
        return jax.tree_util.tree_map_with_path(lambda *leaf: 'adamw' if dimensions(*leaf) is None else 'muon', tree)

    return optax.multi_transform({'muon': _muon(optim, schedule, weight_decay, dimensions), 'adamw': adamw}, labels)


def muon_dimensions(path: str, role: Role, shape: tuple[int, ...]) -> optax.contrib.MuonDimensionNumbers | None:
    """The axes that Muon reads as the inputs and the outputs of a matrix, or None for what AdamW updates.

    Muon has the kernels of the backbone: dense ones (i, o) as they are, those of convolutions (h, w, i, o) as
    (h·w·i, o), those of attention as (dim, head·part) for query, key and value and (head·part, dim) for `out`. AdamW
    has the rest: biases, norms, tokens, position embeddings, the heads, adapters, the kernel that reads the image, and
    depthwise kernels (h, w, 1, o), which are filters beside each other and no matrix.

    Args:
        path: below `params`, '/'-joined.
        role: what it is.
        shape: of the parameter.
    """
    if not path.startswith('backbone/') or role not in KERNELS - {Role.INPUT} or len(shape) < 2:
        return None
    if role is Role.KERNEL and len(shape) > 2 and shape[-2] == 1:
        return None
    outputs = len(shape) - 1 if role in (Role.QUERY, Role.KEY, Role.VALUE) else 1
    axes = tuple(range(len(shape)))
    return optax.contrib.MuonDimensionNumbers(axes[:-outputs], axes[-outputs:])


def sam_perturbation(grads: Tree, rho: float | Array) -> Tree:
    """The step uphill, rho · g / (‖g‖ + 1e-12) with the norm of the whole tree.

    Foret et al., Sharpness-Aware Minimization, 2021: the gradient that moves the parameters is taken at their sum with
    this.

    Args:
        grads: gradients of the trainable parameters.
        rho: length of the step, ≥ 0.

    Returns:
        A tree like `grads`.
    """
    scale = rho / (optax.tree.norm(grads) + 1e-12)
    return jax.tree.map(lambda grad: (grad * scale).astype(grad.dtype), grads)


def _muon(
    optim: Optim, schedule: optax.Schedule, weight_decay: float | Array, dimensions: Dimensions
) -> optax.GradientTransformationExtraArgs:
    def to_constant_rms(key_path: Any, update: Float[Array, '*axes']) -> Float[Array, '*axes']:
        # An orthogonal matrix (m, n) has the mean square 1 / max(m, n).
        found = dimensions(key_path, update)
        assert found is not None
        sides = [math.prod(update.shape[axis] for axis in axes) for axes in (found.reduction_axis, found.output_axis)]
        return update * (MUON_RMS * math.sqrt(max(sides)))

    def of_tree(tree: Any) -> Any:
        return jax.tree_util.tree_map_with_path(dimensions, tree)

    return optax.chain(
        optax.contrib.scale_by_muon(beta=optim.momentum, nesterov=True, weight_dimension_numbers=of_tree),
        optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(to_constant_rms, updates)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(schedule),
    )
