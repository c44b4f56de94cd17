"""What timm's names of architectures and its configurations mean here.

For repositories of timm on the Hugging Face hub, whose config.json has `architecture`, `num_classes` and
`pretrained_cfg` (https://github.com/huggingface/pytorch-image-models, timm/models/_hub.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jtransfer import models
from jtransfer.checks import nearest
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.backbone import Backbone
from jtransfer.pretrained.fields import INPUT, NUMBER, NUMBERS, OBJECT, TEXT, check_fields
from jtransfer.pretrained.timm.arguments import FIELDS, Arguments, arguments_of, backbone_of, options_of

Options = dict[str, Any]

_ERF: Options = {'gelu': 'erf'}
_QUICK: Options = {'gelu': 'quick'}
_GAP: Options = {'pool': 'avg'}

# Names without the size of the pictures at the end; architectures that have the same name here are not listed.
_STEMS: dict[str, tuple[str, Options]] = {
    'vit_tiny_patch16': ('vit_ti16', {}),
    'vit_small_patch8': ('vit_s16', {'patch': 8}),
    'vit_small_patch16': ('vit_s16', {}),
    'vit_small_patch32': ('vit_s32', {}),
    'vit_base_patch8': ('vit_b8', {}),
    'vit_base_patch16': ('vit_b16', {}),
    'vit_base_patch32': ('vit_b32', {}),
    'vit_large_patch16': ('vit_l16', {}),
    'vit_large_patch32': ('vit_l32', {}),
    'vit_huge_patch14': ('vit_h14', {}),
    'vit_huge_patch14_gap': ('vit_h14', {'class_token': False, **_GAP}),
    'deit_tiny_patch16': ('deit_ti16', {}),
    'deit_small_patch16': ('deit_s16', {}),
    'deit_base_patch16': ('deit_b16', {}),
    'deit_tiny_distilled_patch16': ('deit_ti16_distilled', {}),
    'deit_small_distilled_patch16': ('deit_s16_distilled', {}),
    'deit_base_distilled_patch16': ('deit_b16_distilled', {}),
    'deit3_small_patch16': ('deit3_s16', {}),
    'deit3_medium_patch16': ('deit3_m16', {}),
    'deit3_base_patch16': ('deit3_b16', {}),
    'deit3_large_patch16': ('deit3_l16', {}),
    'deit3_huge_patch14': ('deit3_h14', {}),
    **{
        f'vit_{size}_patch14{registers}_dinov2': (f'dinov2_{size[0]}14{registers}', {})
        for size in ('small', 'base', 'large', 'giant')
        for registers in ('', '_reg4')
    },
    'vit_base_patch32_clip': ('clip_b32', _ERF),
    'vit_base_patch16_clip': ('clip_b16', _ERF),
    'vit_large_patch14_clip': ('clip_l14', _ERF),
    'vit_huge_patch14_clip': ('clip_h14', {}),
    'vit_giant_patch14_clip': ('clip_g14', {}),
    'vit_gigantic_patch14_clip': ('clip_bigg14', {}),
    'vit_base_patch32_clip_quickgelu': ('clip_b32', {}),
    'vit_base_patch16_clip_quickgelu': ('clip_b16', {}),
    'vit_large_patch14_clip_quickgelu': ('clip_l14', {}),
    'vit_huge_patch14_clip_quickgelu': ('clip_h14', _QUICK),
    'vit_gigantic_patch14_clip_quickgelu': ('clip_bigg14', _QUICK),
    # timm runs some SigLIP networks with the exact GELU, others with the approximation they were trained with.
    'vit_base_patch32_siglip': ('siglip_b32', {}),
    'vit_base_patch16_siglip': ('siglip_b16', _ERF),
    'vit_large_patch16_siglip': ('siglip_l16', _ERF),
    'vit_large_patch16_siglip_512': ('siglip_l16', {}),
    'vit_so400m_patch14_siglip': ('siglip_so400m14', _ERF),
    'vit_so400m_patch16_siglip': ('siglip_so400m16', {}),
    'vit_giantopt_patch16_siglip': ('siglip_gopt16', {}),
    'vit_base_patch32_siglip_gap': ('siglip_b32', _GAP),
    'vit_base_patch16_siglip_gap': ('siglip_b16', {**_ERF, **_GAP}),
    'vit_large_patch16_siglip_gap': ('siglip_l16', {**_ERF, **_GAP}),
    'vit_large_patch16_siglip_gap_512': ('siglip_l16', _GAP),
    'vit_so400m_patch14_siglip_gap': ('siglip_so400m14', {**_ERF, **_GAP}),
    'vit_so400m_patch16_siglip_gap': ('siglip_so400m16', _GAP),
    'vit_giantopt_patch16_siglip_gap': ('siglip_gopt16', _GAP),
    **{
        f'resnetv2_{size}_bit': (f'bit_r{size}', {})
        for size in ('50x1', '50x3', '101x1', '101x3', '152x2', '152x4')
    },
}  # fmt: skip

# What is read of `pretrained_cfg`.
_OF_PICTURES = {
    'tag': TEXT,
    'input_size': INPUT,
    'test_input_size': INPUT,
    'crop_pct': NUMBER,
    'test_crop_pct': NUMBER,
    'crop_mode': TEXT,
    'interpolation': TEXT,
    'mean': NUMBERS,
    'std': NUMBERS,
}
# timm's configurations of torchvision's second weights state the pictures of training; the accuracy is of these.
_EVALUATED_AS_TESTED = 'tv2_'


def architecture_of(timm_name: str) -> tuple[str, Options]:
    """The network here that an architecture of timm is.

    >>> architecture_of('vit_base_patch16_clip_384')
    ('clip_b16', {'gelu': 'erf'})

    Args:
        timm_name: without the tag of the weights: `resnet50`, `vit_base_patch16_224`.

    Returns:
        Name of the variant (`models.describe`), and the fields of its backbone that differ.

    Raises:
        UserError: an architecture that is not here; the message has the nearest one.
    """
    stem = re.sub(r'_\d{3}$', '', timm_name)
    for name in (timm_name, stem):
        if name in _STEMS:
            variant, options = _STEMS[name]
            return variant, dict(options)
    if timm_name in models.variant_names():
        return timm_name, {}
    hint = nearest(timm_name, (*_STEMS, *models.variant_names())) if timm_name else ''
    raise UserError(f"timm's architecture '{timm_name}' is not among the networks here.{hint}")


def preprocessing_of(config: Mapping[str, Any], shape: Sequence[int] = ()) -> ImagePreprocessor:
    """How pictures must look to a network of timm, by its config.json.

    Interpolation and crop are timm's own (bicubic, 0.875 from the centre) where the file does not say.

    Args:
        config: the file's contents, or its `pretrained_cfg` alone.
        shape: height and width that the network was made for, instead of those of the pictures. Empty: theirs.

    Raises:
        UserError: a field that is missing, or a value that cannot be had here.
    """
    check_fields(config, {'pretrained_cfg': OBJECT}, 'config.json')
    given = config.get('pretrained_cfg') or config
    check_fields(given, _OF_PICTURES, "config.json: timm's configuration")
    prefix = 'test_' if (given.get('tag') or '').startswith(_EVALUATED_AS_TESTED) else ''
    size = given.get(f'{prefix}input_size') or given.get('input_size')
    if size is None:
        raise UserError("config.json: timm's configuration has input_size=None where [channels, height, width] belongs")
    channels = size[0]
    height, width = shape or size[1:]
    mode = given.get('crop_mode') or 'center'
    if mode not in ('center', 'squash'):
        raise UserError(f"config.json: timm's configuration has crop_mode='{mode}'; known: center, squash")
    for field in ('mean', 'std'):
        if given.get(field) is None:
            raise UserError(f"config.json: timm's configuration has {field}=None where three numbers belong")
    known = ImagePreprocessor(
        height,
        tuple(map(float, given['mean'])),
        tuple(map(float, given['std'])),
        interpolation=given.get('interpolation') or 'bicubic',
        crop_fraction=float(given.get(f'{prefix}crop_pct') or given.get('crop_pct') or 0.875),
        squash=mode == 'squash',
        image_width=0 if width == height else width,
    )
    return known if known.channels == channels else known.for_channels(channels)


def configuration_of(preprocessing: ImagePreprocessor) -> dict[str, Any]:
    """The fields of `pretrained_cfg` for how pictures must look: the inverse of `preprocessing_of`."""
    return {
        'input_size': [preprocessing.channels, *preprocessing.shape],
        'interpolation': preprocessing.interpolation,
        'crop_pct': preprocessing.crop_fraction,
        'crop_mode': 'squash' if preprocessing.squash else 'center',
        'mean': list(preprocessing.mean),
        'std': list(preprocessing.std),
    }


def named_by_timm(architecture: str, backbone: Backbone) -> tuple[str, Arguments]:
    """The architecture of timm that a network here is, and the arguments that it takes for that: the fewest.

    Args:
        architecture: the variant's name.
        backbone: the network, with all its options.

    Raises:
        UserError: none is; the message says what the nearest one has otherwise.
    """
    family = models.describe(architecture).family
    known = {_whole(stem): one for stem, one in _STEMS.items()}
    if family not in ('vit', 'bit') and architecture not in _UNKNOWN_TO_TIMM:
        known[architecture] = (architecture, {})
    own = {name: one for name, one in known.items() if one[0] == architecture}
    if not own and family == 'vit':
        own = {name: one for name, one in known.items() if one[0].startswith('vit_')}
    found: list[tuple[str, Arguments]] = []
    reason = f'timm has no network of the form of {architecture}'
    for name, (variant, options) in reversed(own.items()):
        try:
            found.append((name, arguments_of(name, backbone_of(variant, options), backbone, family)))
        except UserError as error:
            reason = str(error)
    if not found:
        raise UserError(reason)
    return min(reversed(found), key=lambda one: len(one[1]))


def _whole(stem: str) -> str:
    """A name that timm has: most of those of Vision Transformers end in the size of the pictures."""
    if stem.endswith(('dinov2', 'bit', '_512')):
        return stem
    return f'{stem}_{next((size for part, size in _SIZES if part in stem), 224)}'


# The smallest size of those that are not there at 224.
_SIZES = (
    ('patch32_siglip', 256),
    ('large_patch16_siglip', 256),
    ('so400m_patch16_siglip', 256),
    ('giantopt', 256),
)
# Variants of the other families that have no namesake there.
_UNKNOWN_TO_TIMM = {'resnet_small', 'resnet_tiny', 'resnet_tiny_bottleneck', 'mobilenetv2_130'}


def described(config: Mapping[str, Any]) -> tuple[str, Options, Sequence[int]]:
    """The network of a config.json as timm writes them: its variant, the options, and the shape of its input.

    Args:
        config: the file's contents; `model_args` are the arguments that the network was made with.

    Returns:
        Name, options, and height and width in pixels, none where the arguments do not state them.

    Raises:
        UserError: a network that is not here, or arguments that make it another one.
    """
    check_fields(config, {'architecture': TEXT, 'model_args': OBJECT}, 'config.json')
    name, options = architecture_of(config['architecture'])
    arguments = config.get('model_args') or {}
    check_fields(arguments, FIELDS, 'config.json: model_args')
    options = {**options, **options_of(config['architecture'], models.describe(name), options, arguments)}
    size = arguments.get('img_size') or ()
    return name, options, size if isinstance(size, list | tuple) else (size, size)
