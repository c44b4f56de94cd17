"""The config.json and preprocessor_config.json beside an export under transformers' names, for `from_pretrained`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.mobilenet_v2 import variants as mobilenet_v2_variants
from jtransfer.models.resnet.network import EXPANSION
from jtransfer.tasks.base import Task

Fields = dict[str, Any]

_GELUS = {'erf': 'gelu', 'tanh': 'gelu_pytorch_tanh', 'quick': 'quick_gelu'}
# Pillow's numbers.
_RESAMPLE = {'bilinear': 2, 'bicubic': 3}
_PROBLEMS = {'multi_label': 'multi_label_classification', 'regression': 'regression'}
# What a head is for, by `problem_type`.
KINDS = {problem: kind for kind, problem in _PROBLEMS.items()}


def network_config(naming: str, backbone: Any, preprocessing: ImagePreprocessor, tasks: Sequence[Task]) -> Fields:
    """The contents of config.json: the class, its sizes, and the names of its outputs.

    Args:
        naming: of the export, `huggingface` or `huggingface_…`.
        backbone: of the network.
        preprocessing: of its images; position embeddings are for its shape.
        tasks: what the only head is for; none for a network without a head.

    Raises:
        UserError: transformers has no class that computes this network; the message says why.
    """
    outputs = tasks[0].outputs if tasks else 0
    family = type(backbone).__name__
    if family == 'ViT':
        fields = _VIT_WRITERS[naming](backbone, preprocessing, outputs)
    else:
        fields = {'num_channels': preprocessing.channels, **_WRITERS[family](backbone, outputs)}
    if tasks and 'projection_dim' not in fields:
        names = tasks[0].class_names
        fields['id2label'] = {str(index): name for index, name in enumerate(names)}
        fields['label2id'] = {name: index for index, name in enumerate(names)}
        if tasks[0].kind in _PROBLEMS:
            fields['problem_type'] = _PROBLEMS[tasks[0].kind]
    return {**fields, 'torch_dtype': 'float32'}


def processor_config(preprocessing: ImagePreprocessor) -> Fields:
    """The contents of preprocessor_config.json.

    Raises:
        UserError: a framing that no processor of transformers has.
    """
    height, width = preprocessing.shape
    resized = [math.floor(side / preprocessing.crop_fraction) for side in preprocessing.shape]
    whole = preprocessing.squash and resized == [height, width]
    if not preprocessing.squash and height != width:
        raise UserError(
            "transformers' processors resize the shorter side, and this network's pictures are scaled until they cover "
            f'{resized[0]}×{resized[1]} pixels'
        )
    fields: Fields = {
        'image_processor_type': 'ViTImageProcessor' if whole else 'CLIPImageProcessor',
        'do_resize': True,
        'size': {'height': resized[0], 'width': resized[1]} if preprocessing.squash else {'shortest_edge': resized[0]},
        'resample': _RESAMPLE[preprocessing.interpolation],
        'do_rescale': True,
        'rescale_factor': 1 / 255,
        'do_normalize': True,
        'image_mean': list(preprocessing.mean),
        'image_std': list(preprocessing.std),
        'do_convert_rgb': preprocessing.channels == 3,
    }
    if not whole:
        fields |= {'do_center_crop': True, 'crop_size': {'height': height, 'width': width}}
    return fields


def _check(what: str, backbone: Any, **fields: Any) -> None:
    """Raises `UserError` for a field that the class of transformers has otherwise."""
    for field, value in fields.items():
        have = getattr(backbone, field)
        if have != value:
            raise UserError(f"transformers' {what} has {field}={value}, and this network {have}")


def _resnet(backbone: Any, outputs: int) -> Fields:
    _check('ResNet', backbone, stem='imagenet', shortcut='conv', groups=1, inner_width=1)
    expansion = EXPANSION if backbone.block == 'bottleneck' else 1
    return {
        'model_type': 'resnet',
        'architectures': [f'ResNet{"ForImageClassification" if outputs else "Model"}'],
        'embedding_size': backbone.stem_width,
        'hidden_sizes': [expansion * width for width in backbone.widths],
        'depths': list(backbone.depths),
        'layer_type': backbone.block,
        'hidden_act': 'relu',
        'downsample_in_first_stage': False,
        'downsample_in_bottleneck': False,
    }


def _bit(backbone: Any, outputs: int) -> Fields:
    _check('BiT', backbone, standardise_eps=1e-8)
    return {
        'model_type': 'bit',
        'architectures': [f'Bit{"ForImageClassification" if outputs else "Model"}'],
        'embedding_size': backbone.stem_width,
        'hidden_sizes': [EXPANSION * width for width in backbone.widths],
        'depths': list(backbone.depths),
        'layer_type': 'preactivation',
        'hidden_act': 'relu',
        'num_groups': backbone.norm_groups,
        'width_factor': 1,
    }


def _convnext(backbone: Any, outputs: int) -> Fields:
    kind = 'ConvNextV2' if backbone.grn else 'ConvNext'
    _check(kind, backbone, eps=1e-6)
    return {
        'model_type': kind.lower(),
        'architectures': [f'{kind}{"ForImageClassification" if outputs else "Model"}'],
        'hidden_sizes': list(backbone.widths),
        'depths': list(backbone.depths),
        'num_stages': len(backbone.depths),
        'patch_size': 4,
        'hidden_act': 'gelu',
        # Of the last normalisation; all others have this one in any case.
        'layer_norm_eps': backbone.eps,
    }


def _mobilenet(backbone: Any, outputs: int) -> Fields:
    sizes = ('widths', 'depths', 'stem_width', 'top_width')
    for variant in mobilenet_v2_variants.VARIANTS:
        known = variant.backbone(**variant.kwargs)
        number = variant.name.rpartition('_')[2]
        if number.isdecimal() and all(getattr(known, size) == getattr(backbone, size) for size in sizes):
            break
    else:
        raise UserError("transformers' MobileNetV2 has other numbers of blocks, or other widths, than this network")
    _check('MobileNetV2', backbone, expansions=known.expansions, strides=known.strides)  # type: ignore[attr-defined]
    return {
        'model_type': 'mobilenet_v2',
        'architectures': [f'MobileNetV2{"ForImageClassification" if outputs else "Model"}'],
        'depth_multiplier': int(number) / 100,
        'finegrained_output': True,
        'hidden_act': 'relu6',
        'tf_padding': backbone.padding == 'tensorflow',
        'layer_norm_eps': backbone.eps,
    }


_WRITERS: Mapping[str, Callable[[Any, int], Fields]] = {
    'ResNet': _resnet,
    'BiT': _bit,
    'ConvNeXt': _convnext,
    'MobileNetV2': _mobilenet,
}


def _sizes(what: str, backbone: Any, preprocessing: ImagePreprocessor, *, square: bool = True) -> Fields:
    """What the configurations of all Vision Transformers have."""
    height, width = preprocessing.shape
    if square and height != width:
        raise UserError(
            f"transformers' {what} takes square pictures, and this network those of {height}×{width} pixels"
        )
    return {
        'image_size': height if height == width else [height, width],
        'num_channels': preprocessing.channels,
        'patch_size': backbone.patch,
        'hidden_size': backbone.dim,
        'num_hidden_layers': backbone.blocks,
        'num_attention_heads': backbone.heads,
        'hidden_act': _GELUS[backbone.gelu],
        'layer_norm_eps': backbone.eps,
    }


def _hidden(backbone: Any) -> int:
    return int(backbone.mlp_hidden or backbone.dim * backbone.mlp_ratio)


_USUAL = {'class_token': True, 'embed_class': True, 'swiglu': False}
_NO_EXTRAS: Fields = {'reg_tokens': 0, 'pre_norm': False, 'patch_bias': True, 'layer_scale': 0.0}


def _vit(backbone: Any, preprocessing: ImagePreprocessor, outputs: int) -> Fields:
    _check('ViT', backbone, **_USUAL, **_NO_EXTRAS, distilled=False)
    if backbone.pool not in ('token', 'class'):
        raise UserError(f"transformers' ViT pools its class token, and this network has pool={backbone.pool}")
    if backbone.pre_logits and outputs:
        raise UserError("transformers' classifier goes without the layer before the head (pre_logits) of this network")
    if not backbone.pre_logits and not outputs:
        raise UserError("transformers' ViTModel adds a pooler that this network has not, unless it is told otherwise")
    return {
        'model_type': 'vit',
        'architectures': ['ViTForImageClassification' if outputs else 'ViTModel'],
        **_sizes('ViT', backbone, preprocessing, square=False),
        'intermediate_size': _hidden(backbone),
        'qkv_bias': backbone.qkv_bias,
    }


def _deit(backbone: Any, preprocessing: ImagePreprocessor, outputs: int) -> Fields:
    _check('DeiT', backbone, **_USUAL, **_NO_EXTRAS, distilled=True)
    if backbone.pool not in ('token', 'class') or not outputs:
        raise UserError(f"transformers' DeiT has one or two classifiers, and this network pool={backbone.pool}")
    return {
        'model_type': 'deit',
        'architectures': [f'DeiTForImageClassification{"WithTeacher" if backbone.pool == "token" else ""}'],
        **_sizes('DeiT', backbone, preprocessing, square=False),
        'intermediate_size': _hidden(backbone),
        'qkv_bias': backbone.qkv_bias,
    }


def _dinov2(backbone: Any, preprocessing: ImagePreprocessor, outputs: int) -> Fields:
    _check('Dinov2', backbone, class_token=True, embed_class=True, pre_norm=False, patch_bias=True, distilled=False)
    _check('Dinov2', backbone, pool='token_avg' if outputs else 'token', reg_tokens=0)
    if not backbone.layer_scale:
        raise UserError("transformers' Dinov2 has factors on its branches (layer_scale), and this network none")
    ratio = backbone.mlp_ratio if backbone.swiglu else _hidden(backbone) / backbone.dim
    gated = (int(int(backbone.dim * ratio) * 2 / 3) + 7) // 8 * 8
    if backbone.swiglu and gated != _hidden(backbone):
        raise UserError(f"transformers' Dinov2 has {gated} hidden channels, and this network {_hidden(backbone)}")
    return {
        'model_type': 'dinov2',
        'architectures': ['Dinov2ForImageClassification' if outputs else 'Dinov2Model'],
        **_sizes('Dinov2', backbone, preprocessing),
        'mlp_ratio': ratio,
        'qkv_bias': backbone.qkv_bias,
        'use_swiglu_ffn': backbone.swiglu,
        'use_mask_token': False,
    }


def _clip(backbone: Any, preprocessing: ImagePreprocessor, outputs: int) -> Fields:
    _check('CLIP', backbone, **_USUAL, reg_tokens=0, pre_norm=True, patch_bias=False, layer_scale=0.0, distilled=False)
    _check('CLIP', backbone, qkv_bias=True)
    if backbone.pool not in ('token', 'class'):
        raise UserError(f"transformers' CLIP pools its class token, and this network has pool={backbone.pool}")
    return {
        'model_type': 'clip_vision_model',
        'architectures': ['CLIPVisionModelWithProjection' if outputs else 'CLIPVisionModel'],
        **_sizes('CLIP', backbone, preprocessing),
        'intermediate_size': _hidden(backbone),
        **({'projection_dim': outputs} if outputs else {}),
    }


def _siglip(backbone: Any, preprocessing: ImagePreprocessor, outputs: int) -> Fields:
    _check('Siglip', backbone, **{**_USUAL, 'class_token': False}, **_NO_EXTRAS, distilled=False, qkv_bias=True)
    _check('Siglip', backbone, pool='avg' if outputs else 'map')
    tower = {**_sizes('Siglip', backbone, preprocessing), 'intermediate_size': _hidden(backbone)}
    if not outputs:
        return {'model_type': 'siglip_vision_model', 'architectures': ['SiglipVisionModel'], **tower}
    tower |= {'model_type': 'siglip_vision_model', 'vision_use_head': False}
    return {'model_type': 'siglip', 'architectures': ['SiglipForImageClassification'], 'vision_config': tower}


_VIT_WRITERS: Mapping[str, Callable[[Any, ImagePreprocessor, int], Fields]] = {
    'huggingface': _vit,
    'huggingface_deit': _deit,
    'huggingface_dinov2': _dinov2,
    'huggingface_clip': _clip,
    'huggingface_siglip': _siglip,
}
