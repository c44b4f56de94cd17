"""How a pass through a network is made; one value that all its modules are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Mode:
    """What every module of a network is to know of the pass; static, so that another mode is another program.

    Attributes:
        train: whether batch statistics normalise, and dropout and stochastic depth take part.
        frozen: '/'-joined prefixes of the paths of modules that run in evaluation mode all the same, such as
            `('backbone/stem', 'backbone/stage1/block0/bn1')`; see `is_frozen`.
        norm_axis: pmap or vmap axis whose members hold equal parts of the batch, for batch normalisation. None: what a
            module is given is the whole batch (as under jit, however it is sharded).
    """

    train: bool = False
    frozen: tuple[str, ...] = ()
    norm_axis: str | None = None

    def trains(self, module_path: Sequence[str]) -> bool:
        """Whether a module, by the names from the top of the network, runs in training mode."""
        return self.train and not is_frozen(module_path, self.frozen)


EVALUATION = Mode()


def is_frozen(module_path: Sequence[str], frozen: Sequence[str]) -> bool:
    """Whether a module lies at or under one of the frozen module-path prefixes.

    Args:
        module_path: names from the top of the network, `('backbone', 'stage1', 'block0', 'bn1')`.
        frozen: '/'-joined prefixes, `('backbone/stem', 'backbone/stage1')`; whole names count, so that
            `backbone/block1` does not cover `backbone/block10`.
    """
    path = '/'.join(module_path)
    return any(path == prefix or path.startswith(f'{prefix}/') for prefix in frozen)
