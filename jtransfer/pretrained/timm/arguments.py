"""Arguments of timm's networks (`model_args` of its config.json), and the fields of ours that they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.variant import Variant
from jtransfer.pretrained.fields import COUNT, FLAG, NUMBER, SIDE, SIZE, TEXT
from jtransfer.text.outside import clipped

Arguments = dict[str, Any]

# What a loaded file shows by itself, and the size of the pictures, which is read with the preprocessing.
_SHOWN = {'dynamic_img_size', 'img_size', 'in_chans', 'num_classes', 'pretrained'}
# What does nothing outside training, which has its own here, or only before weights are loaded.
_OF_TRAINING = {
    *('drop_rate', 'drop_path_rate', 'drop_block_rate', 'attn_drop_rate', 'patch_drop_rate', 'pos_drop_rate'),
    *('proj_drop_rate', 'fix_init', 'head_init_scale', 'weight_init', 'zero_init_last'),
}
# Of training, and of what a run chooses.
_NOT_OF_WEIGHTS = {'drop_path', 'dropout', 'dtype', 'parent', 'name'}

# What is read of `model_args`.
FIELDS = {
    'img_size': SIDE,
    'patch_size': SIZE,
    'embed_dim': SIZE,
    'depth': SIZE,
    'num_heads': SIZE,
    'class_token': FLAG,
    'reg_tokens': COUNT,
    'qkv_bias': FLAG,
    'conv_mlp': FLAG,
    'norm_eps': NUMBER,
    'bn_eps': NUMBER,
    'pad_type': TEXT,
    'global_pool': TEXT,
    'fc_norm': FLAG,
    'act_layer': TEXT,
    'norm_layer': TEXT,
    'mlp_ratio': NUMBER,
    'init_values': NUMBER,
    'no_embed_class': FLAG,
    'pre_norm': FLAG,
}

# Where null is a value; elsewhere it is what timm takes when nothing is said.
_OF_NONE = {'fc_norm', 'init_values'}

_GELUS = {'erf': 'gelu', 'tanh': 'gelu_tanh', 'quick': 'quick_gelu'}
_PADDINGS = {'torch': '', 'tensorflow': 'same'}
# What timm does when a Vision Transformer is asked for another pooling than its own, and without its `fc_norm`.
_POOLS = {'token': 'token', 'avg': 'avg_norm', 'map': 'map'}
# The epsilon of timm's `layernorm`.
_EPS = 1e-6

# Arguments that are fields of ours under another name.
_SAME: dict[str, dict[str, str]] = {
    'vit': {
        'patch_size': 'patch',
        'embed_dim': 'dim',
        'depth': 'blocks',
        'num_heads': 'heads',
        'class_token': 'class_token',
        'reg_tokens': 'reg_tokens',
        'qkv_bias': 'qkv_bias',
    },
    'convnext': {'conv_mlp': 'conv_mlp', 'norm_eps': 'eps'},
    'mobilenet_v2': {'bn_eps': 'eps'},
}


def options_of(name: str, variant: Variant, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> Arguments:
    """The fields of our backbone that arguments of timm's network change.

    Args:
        name: timm's, for messages.
        variant: the network here that it is.
        options: in what it differs from the variant without any arguments.
        arguments: what it was made with.

    Raises:
        UserError: an argument that makes it a network that is not here.
    """
    same = _SAME.get(variant.family, {})
    usual = variant.backbone(**{**variant.kwargs, **options})
    said = {key: value for key, value in arguments.items() if value is not None or key in _OF_NONE}
    left = {key: value for key, value in said.items() if key not in _SHOWN | _OF_TRAINING}
    changed = {same[key]: value for key, value in left.items() if key in same}
    left = {key: value for key, value in left.items() if key not in same}
    if variant.family == 'mobilenet_v2' and left.get('pad_type') in _PADDINGS.values():
        changed['padding'] = _inverse(_PADDINGS)[left.pop('pad_type')]
    if variant.family == 'vit':
        changed |= _vit_options(name, usual, left, dim=changed.get('dim', usual.dim))  # type: ignore[attr-defined]
    elif left.get('global_pool') == 'avg':
        left.pop('global_pool')
    if left:
        argument = min(left)
        raise UserError(
            f'config.json: {name} with model_args {clipped(argument)}={clipped(repr(left[argument]))}, which is not '
            'had here; give the file itself, with architecture and options'
        )
    return {field: value for field, value in changed.items() if getattr(usual, field) != value}


def _vit_options(name: str, usual: Any, left: Arguments, dim: int) -> Arguments:
    """Takes what it understands out of `left`."""
    changed: Arguments = {}
    if 'global_pool' in left or 'fc_norm' in left:
        own = usual.pool in ('avg', 'avg_norm')
        stated = 'global_pool' in left
        pool = left.pop('global_pool', 'avg' if own else '')
        if stated or pool:
            if pool not in _POOLS:
                raise UserError(f"config.json: {name} with global_pool='{pool}', which is not had here")
            changed['pool'] = _POOLS[pool]
        if pool == 'avg':
            if left.pop('fc_norm', None if not own else usual.pool == 'avg_norm') is False:
                changed['pool'] = 'avg'
        elif not left.get('fc_norm'):
            left.pop('fc_norm', None)  # as timm has it there anyway
    if left.get('act_layer') in _GELUS.values():
        changed['gelu'] = _inverse(_GELUS)[left.pop('act_layer')]
    if left.get('norm_layer') == 'layernorm':
        changed['eps'] = _EPS
        left.pop('norm_layer')
    if 'mlp_ratio' in left:
        changed['mlp_hidden'] = int(dim * left.pop('mlp_ratio'))
    if 'init_values' in left:
        changed['layer_scale'] = float(left.pop('init_values') or 0.0)
    if 'no_embed_class' in left:
        changed['embed_class'] = not left.pop('no_embed_class')
    if 'pre_norm' in left:
        changed['pre_norm'] = left.pop('pre_norm')
        changed['patch_bias'] = not changed['pre_norm']
    return changed


def arguments_of(name: str, base: Backbone, backbone: Backbone, family: str) -> Arguments:
    """The arguments that make a network of timm ours: the inverse of `options_of`.

    Args:
        name: timm's, for messages.
        base: what it is without any.
        backbone: ours.
        family: of both.

    Raises:
        UserError: no arguments do; the message names a field that timm's network has otherwise.
    """
    differ = {
        field.name: getattr(backbone, field.name)
        for field in dataclasses.fields(base)
        if field.name not in _NOT_OF_WEIGHTS and getattr(backbone, field.name) != getattr(base, field.name)
    }
    arguments = _vit_arguments(base, backbone, differ) if family == 'vit' else {}
    if family == 'mobilenet_v2' and 'padding' in differ:
        arguments['pad_type'] = _PADDINGS[differ.pop('padding')]
    for argument, field in _SAME.get(family, {}).items():
        if field in differ:
            arguments[argument] = differ.pop(field)
    if differ:
        field = min(differ)
        raise UserError(f"timm's {name} has {field}={getattr(base, field)}, and this network {differ[field]}")
    return arguments


def _vit_arguments(base: Any, backbone: Any, differ: Arguments) -> Arguments:
    """Takes what timm can say, or does not ask, out of `differ`."""
    if backbone.reg_tokens and backbone.embed_class:
        raise UserError("timm's networks with register tokens have positions for these or for no prefix token")
    arguments: Arguments = {}
    # An input of which some pixels fill no patch is cut there too.
    differ.pop('truncate', None)
    if backbone.pool == 'class' and not backbone.distilled and base.pool == 'token':
        differ.pop('pool', None)
    if 'pool' in differ and not backbone.distilled and backbone.pool in ('token', 'avg', 'avg_norm', 'map'):
        pool = differ.pop('pool')
        arguments['global_pool'] = pool.removesuffix('_norm')
        if pool in ('avg', 'avg_norm'):
            arguments['fc_norm'] = pool == 'avg_norm'
    if 'gelu' in differ and not backbone.swiglu:
        arguments['act_layer'] = _GELUS[differ.pop('gelu')]
    if differ.get('eps') == _EPS:
        arguments['norm_layer'] = 'layernorm'
        differ.pop('eps')
    hidden = backbone.mlp_hidden or backbone.dim * backbone.mlp_ratio
    for field in ('mlp_hidden', 'mlp_ratio'):
        differ.pop(field, None)
    own = base.mlp_hidden / base.dim if base.mlp_hidden else base.mlp_ratio
    if hidden != int(backbone.dim * own) and not backbone.swiglu:
        arguments['mlp_ratio'] = hidden / backbone.dim
    elif hidden != int(backbone.dim * own):
        differ['mlp_hidden'] = hidden
    # The factors themselves are in the file; what they began with does not matter.
    if differ.pop('layer_scale', None) is not None and bool(base.layer_scale) != bool(backbone.layer_scale):
        arguments['init_values'] = backbone.layer_scale or None
    if 'embed_class' in differ:
        arguments['no_embed_class'] = not differ.pop('embed_class')
    if backbone.patch_bias != backbone.pre_norm:
        if differ.pop('pre_norm', None) is not None:
            arguments['pre_norm'] = backbone.pre_norm
        differ.pop('patch_bias', None)
    return arguments


def backbone_of(architecture: str, options: Mapping[str, Any]) -> Backbone:
    """The backbone of a variant, with options."""
    return models.create(architecture, num_classes=0, options=options).backbone


def _inverse(mapping: Mapping[str, str]) -> dict[str, str]:
    return {value: key for key, value in mapping.items()}
