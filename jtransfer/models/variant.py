"""What a network's name stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.image import ImagePreprocessor, as_image
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
    preprocessing: Preprocessor
    kwargs: Mapping[str, Any]

    @property
    def images(self) -> ImagePreprocessor:
        """The preprocessing of a network that reads images.

        Raises:
            UserError: it reads something else.
        """
        return as_image(self.preprocessing, f'what is published of {self.name}')

    @property
    def image_size(self) -> int:
        """Side of the square image the network was designed for, pixels; 0 where it reads something else."""
        return self.preprocessing.image_size if isinstance(self.preprocessing, ImagePreprocessor) else 0
