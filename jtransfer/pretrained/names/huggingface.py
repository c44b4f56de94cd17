"""Which network a Hugging Face `config.json` describes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jtransfer.pretrained.names.convnet_config as convnet_config
import jtransfer.pretrained.names.resnet_config as resnet_config
import jtransfer.pretrained.names.vit_config as vit_config
from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.fields import COUNT, FLAG, NUMBER, OBJECT, SIDE, SIZE, SIZES, TEXT, TEXTS, check_fields
from jtransfer.text.outside import clipped

_READERS = {
    kind: reader.options_from_config for reader in (resnet_config, convnet_config, vit_config) for kind in reader.TYPES
}

# What the readers compute with, at the top or under `vision_config`.
_FIELDS = {
    'architectures': TEXTS,
    'depth_multiplier': NUMBER,
    'depths': SIZES,
    'embedding_size': SIZE,
    'finegrained_output': FLAG,
    'hidden_act': TEXT,
    'hidden_size': SIZE,
    'hidden_sizes': SIZES,
    'image_size': SIDE,
    'intermediate_size': SIZE,
    'layer_norm_eps': NUMBER,
    'layer_type': TEXT,
    'mlp_ratio': NUMBER,
    'model_type': TEXT,
    'num_attention_heads': SIZE,
    'num_groups': SIZE,
    'num_hidden_layers': SIZE,
    'num_register_tokens': COUNT,
    'patch_size': SIZE,
    'qkv_bias': FLAG,
    'tf_padding': FLAG,
    'use_swiglu_ffn': FLAG,
    'vision_config': OBJECT,
    'width_factor': SIZE,
}


def described(config: dict[str, Any]) -> tuple[str, dict[str, Any], ImagePreprocessor]:
    """The variant, its options, and the preprocessing of its usual weights, at the size that the configuration states.

    How its own pictures are to look is in another file, see `huggingface_processor.framing`.

    Args:
        config: the parsed config.json; `model_type` decides.

    Raises:
        UserError: no variant is of that type and these sizes.
    """
    check_fields(config, {'model_type': TEXT}, 'config.json')
    kind = config['model_type'] or ''
    if kind not in tuple(_READERS):
        raise UserError(f"config.json: model_type '{clipped(kind)}' is none of {', '.join(_READERS)}")
    check_fields(config, _FIELDS, 'config.json')
    vision = config.get('vision_config') or {}
    check_fields(vision, _FIELDS, 'config.json: vision_config')
    # What is null is what the library has by default.
    config = {field: value for field, value in config.items() if value is not None}
    try:
        name, options = _READERS[kind](config)
    except KeyError as error:
        raise UserError(f"config.json: model_type '{kind}' needs the field {error}") from None
    usual = models.describe(name).images
    size = config.get('image_size') or vision.get('image_size')
    if isinstance(size, int):
        usual = dataclasses.replace(usual, image_size=size)
    return name, options, usual
