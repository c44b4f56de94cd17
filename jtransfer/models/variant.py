"""What a network's name stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jtransfer.inputs.image import Preprocessing
from jtransfer.models.backbone import Backbone

HALF = (0.5, 0.5, 0.5)


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a name stands for.

    Attributes:
        name: the architecture's name.
        family: name of the family, for the name maps: `resnet`, `vit`, ….
        backbone: the family's module.
        preprocessing: what its usual weights expect; a checkpoint states its own.
        kwargs: arguments of the backbone.
    """

    name: str
    family: str
    backbone: type[Backbone]
    preprocessing: Preprocessing
    kwargs: Mapping[str, Any]

    @property
    def image_size(self) -> int:
        """Side of the square input the network was designed for, pixels."""
        return self.preprocessing.image_size
