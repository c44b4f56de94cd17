"""Which Vision Transformer a Hugging Face `config.json` describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.models.vit.variants import VARIANTS
from jtransfer.text.outside import clipped

_GELUS = {
    'gelu': 'erf',
    'gelu_python': 'erf',
    'gelu_pytorch_tanh': 'tanh',
    'gelu_new': 'tanh',
    'gelu_fast': 'tanh',
    'quick_gelu': 'quick',
}
# A file states only what differs from these, the library's own (4.57).
_SIZES = {'hidden_size': 768, 'num_hidden_layers': 12, 'num_attention_heads': 12, 'image_size': 224, 'patch_size': 16}
_VIT = {**_SIZES, 'intermediate_size': 3072, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-12, 'qkv_bias': True}
_DINOV2 = {
    **_SIZES,
    'mlp_ratio': 4,
    'patch_size': 14,
    'hidden_act': 'gelu',
    'layer_norm_eps': 1e-6,
    'qkv_bias': True,
    'use_swiglu_ffn': False,
}
_DINOV2_REGISTERS = {**_DINOV2, 'patch_size': 16, 'num_register_tokens': 4}
_CLIP = {**_SIZES, 'intermediate_size': 3072, 'patch_size': 32, 'hidden_act': 'quick_gelu', 'layer_norm_eps': 1e-5}
_SIGLIP = {**_SIZES, 'intermediate_size': 3072, 'hidden_act': 'gelu_pytorch_tanh', 'layer_norm_eps': 1e-6}


@dataclasses.dataclass(frozen=True)
class _Type:
    """A `model_type`.

    Attributes:
        prefix: how the names of the variants for it begin.
        defaults: the library's.
        options: what its weights need otherwise than the variants have it.
        classifiers: architectures that pool otherwise: their options, None where the network does not exist here.
    """

    prefix: str
    defaults: Mapping[str, Any]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    classifiers: Mapping[str, Mapping[str, Any] | None] = dataclasses.field(default_factory=dict)


_CLIP_TYPE = _Type('clip_', _CLIP, classifiers={'CLIPForImageClassification': None})
_SIGLIP_TYPE = _Type('siglip_', _SIGLIP, classifiers={'SiglipForImageClassification': {'pool': 'avg'}})
_TYPES = {
    'vit': _Type('vit_', _VIT),
    # Without a second head the distillation token stays, and takes no part in pooling.
    'deit': _Type('deit_', _VIT, {'distilled': True}, {'DeiTForImageClassification': {'pool': 'class'}}),
    'vit_mae': _Type('mae_', _VIT),
    'dinov2': _Type('dinov2_', _DINOV2, classifiers={'Dinov2ForImageClassification': {'pool': 'token_avg'}}),
    'dinov2_with_registers': _Type(
        'dinov2_',
        _DINOV2_REGISTERS,
        # timm's form, which the variants have, adds the class token's position to the token.
        {'embed_class': True},
        # Its classifier takes the registers for patches.
        {'Dinov2WithRegistersForImageClassification': None},
    ),
    'clip': _CLIP_TYPE,
    'clip_vision_model': _CLIP_TYPE,
    'siglip': _SIGLIP_TYPE,
    'siglip_vision_model': _SIGLIP_TYPE,
}
TYPES = tuple(_TYPES)


def options_from_config(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The variant that a `config.json` describes, and the options in which its network differs from the variant.

    Types: vit, deit, vit_mae, dinov2, dinov2_with_registers, clip, clip_vision_model, siglip and siglip_vision_model
    (SigLIP 2 in fixed sizes is of type siglip). What the processor does to an image is not in this file.

    Args:
        config: the parsed file.

    Returns:
        Name and options, for `models.create`.

    Raises:
        UserError: no variant is of that type and these sizes, or the file asks for what the network does not have.
    """
    kind = config.get('model_type')
    if kind not in _TYPES:
        raise UserError(f"config.json: model_type '{clipped(str(kind))}' is none of {', '.join(_TYPES)}")
    type_ = _TYPES[kind]
    stated = {key: value for key, value in config.get('vision_config', config).items() if value is not None}
    values = {**type_.defaults, **stated}
    options: dict[str, Any] = {'gelu': _gelu(values['hidden_act']), 'eps': float(values['layer_norm_eps'])}
    options |= {'qkv_bias': bool(values.get('qkv_bias', True)), **type_.options}
    for architecture in config.get('architectures') or ():
        if architecture in type_.classifiers:
            pooling = type_.classifiers[architecture]
            if pooling is None:
                raise UserError(f'config.json: {architecture} pools in a way that no network has here')
            options |= pooling
    wanted = {
        **_sizes(values),
        'class_token': not kind.startswith('siglip'),
        'distilled': bool(options.get('distilled')),
        'reg_tokens': values.get('num_register_tokens', 0),
    }
    for variant in VARIANTS:
        have = dataclasses.asdict(variant.backbone(**variant.kwargs))
        have['mlp_hidden'] = have['mlp_hidden'] or have['dim'] * have['mlp_ratio']
        if variant.name.startswith(type_.prefix) and all(have[field] == value for field, value in wanted.items()):
            return variant.name, {option: value for option, value in options.items() if have[option] != value}
    sizes = ', '.join(f'{field} {value}' for field, value in wanted.items())
    raise UserError(f"config.json: no network of model_type '{kind}' has these sizes: {sizes}")


def _sizes(values: Mapping[str, Any]) -> dict[str, Any]:
    dim = values['hidden_size']
    swiglu = bool(values.get('use_swiglu_ffn'))
    hidden = values['intermediate_size'] if 'intermediate_size' in values else int(dim * values['mlp_ratio'])
    # DINOv2 keeps the number of parameters, in multiples of eight channels.
    hidden = (int(hidden * 2 / 3) + 7) // 8 * 8 if swiglu else hidden
    return {
        'patch': values['patch_size'],
        'dim': dim,
        'blocks': values['num_hidden_layers'],
        'heads': values['num_attention_heads'],
        'mlp_hidden': hidden,
        'swiglu': swiglu,
    }


def _gelu(name: Any) -> str:
    if name not in _GELUS:
        raise UserError(f"config.json: hidden_act '{name}' is none of {', '.join(_GELUS)}")
    return _GELUS[name]
