"""Features of a network that were taken before: whoever reads them enters the network behind where they were taken."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.prepare import Spec

# The field of an example, and the network's input.
FEATURE = 'feature'


@dataclasses.dataclass(frozen=True)
class FeaturePreprocessor(Preprocessor):
    """Features as a stage of a network puts them out, for a network that is entered at the stage after it.

    Attributes:
        shape: of the features of one example.
        start: the stage that reads them, see `Network.start`.
    """

    kind = 'feature'
    reads = (FEATURE,)

    shape: tuple[int, ...]
    start: str

    def __post_init__(self) -> None:
        """Raises `UserError` for a shape that no features have."""
        sides = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in self.shape)
        if not self.shape or not sides or not isinstance(self.start, str) or not self.start:
            raise UserError(
                f'preprocessing: features have a shape of whole numbers above 0 and a stage that reads them, not '
                f'shape={self.shape!r}, start={self.start!r}'
            )

    def spec(self) -> Spec:
        """See `Preprocessor.spec`."""
        return {FEATURE: jax.ShapeDtypeStruct(self.shape, jnp.float32)}

    def summary(self) -> str:
        """See `Preprocessor.summary`."""
        return f'features {"×".join(map(str, self.shape))}, read by {self.start}'
