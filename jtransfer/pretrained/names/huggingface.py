"""Which network a Hugging Face `config.json` describes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jtransfer.pretrained.names.convnet_config as convnet_config
import jtransfer.pretrained.names.resnet_config as resnet_config
import jtransfer.pretrained.names.vit_config as vit_config
from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.preprocessing import Preprocessing

_READERS = {
    kind: reader.options_from_config for reader in (resnet_config, convnet_config, vit_config) for kind in reader.TYPES
}


def described(config: dict[str, Any]) -> tuple[str, dict[str, Any], Preprocessing]:
    """The variant, its options, and the preprocessing of its usual weights, at the size that the configuration states.

    How its own pictures are to look is in another file, see `huggingface_processor.framing`.

    Args:
        config: the parsed config.json; `model_type` decides.

    Raises:
        UserError: no variant is of that type and these sizes.
    """
    kind = config['model_type']
    if kind not in tuple(_READERS):
        raise UserError(f"config.json: model_type '{kind}' is none of {', '.join(_READERS)}")
    try:
        name, options = _READERS[kind](config)
    except KeyError as error:
        raise UserError(f"config.json: model_type '{kind}' needs the field {error}") from None
    usual = models.describe(name).preprocessing
    size = config.get('image_size') or config.get('vision_config', {}).get('image_size')
    if isinstance(size, int):
        usual = dataclasses.replace(usual, image_size=size)
    return name, options, usual
