"""Which network a Hugging Face `config.json` describes."""

from __future__ import annotations

import dataclasses
from typing import Any

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.preprocessing import Preprocessing
from jtransfer.pretrained.names.resnet_config import options_from_config as convolutional
from jtransfer.pretrained.names.vit_config import options_from_config as transformer

_CONVOLUTIONAL = ('resnet', 'bit')


def described(config: dict[str, Any]) -> tuple[str, dict[str, Any], Preprocessing]:
    """The variant, its options, and the preprocessing that its usual weights expect.

    A `config.json` says nothing about preprocessing; the catalogue does for the repositories it knows.

    Args:
        config: the parsed file; `model_type` decides.

    Raises:
        UserError: no variant is of that type and these sizes.
    """
    kind = config['model_type']
    try:
        name, options = (convolutional if kind in _CONVOLUTIONAL else transformer)(config)
    except KeyError as error:
        raise UserError(f"config.json: model_type '{kind}' needs the field {error}") from None
    preprocessing = models.describe(name).preprocessing
    size = config.get('image_size') or config.get('vision_config', {}).get('image_size')
    if isinstance(size, int):
        preprocessing = dataclasses.replace(preprocessing, image_size=size)
    return name, options, preprocessing
