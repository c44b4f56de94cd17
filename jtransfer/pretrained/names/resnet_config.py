"""Which ResNet or BiT a Hugging Face `config.json` describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.models.bit import variants as bit_variants
from jtransfer.models.resnet import variants as resnet_variants
from jtransfer.models.resnet.network import EXPANSION
from jtransfer.models.variant import Variant
from jtransfer.text.outside import clipped

_SIZES = {'embedding_size': 64, 'hidden_sizes': [256, 512, 1024, 2048], 'depths': [3, 4, 6, 3]}


@dataclasses.dataclass(frozen=True)
class _Type:
    """A `model_type`.

    Attributes:
        variants: the networks of that type.
        defaults: of what a file may leave out, the library's own (4.57).
        only: what a file may ask for alone.
    """

    variants: tuple[Variant, ...]
    defaults: Mapping[str, Any]
    only: Mapping[str, Any]


_TYPES = {
    'resnet': _Type(
        resnet_variants.VARIANTS,
        {**_SIZES, 'layer_type': 'bottleneck'},
        {'hidden_act': 'relu', 'downsample_in_first_stage': False, 'downsample_in_bottleneck': False},
    ),
    'bit': _Type(
        bit_variants.VARIANTS,
        {**_SIZES, 'width_factor': 1, 'num_groups': 32},
        {
            'layer_type': 'preactivation',
            'hidden_act': 'relu',
            'global_padding': None,
            'embedding_dynamic_padding': False,
            'output_stride': 32,
        },
    ),
}
TYPES = tuple(_TYPES)


def options_from_config(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The variant that a `config.json` of type resnet or bit describes, and the options in which its network differs.

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
    values = {**type_.defaults, **type_.only, **config}
    for field, value in type_.only.items():
        if values[field] != value:
            raise UserError(f'config.json: {field} is {clipped(repr(values[field]))}, but a {kind} here has {value!r}')
    wanted = _resnet_fields(values) if kind == 'resnet' else _bit_fields(values)
    for variant in type_.variants:
        have = dataclasses.asdict(variant.backbone(**variant.kwargs))
        if all(have[field] == value for field, value in wanted.items()):
            return variant.name, {}
    sizes = ', '.join(f'{field} {values[field]}' for field in type_.defaults)
    raise UserError(f"config.json: no network of model_type '{kind}' has these sizes: {sizes}")


def _resnet_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    expansion = EXPANSION if values['layer_type'] == 'bottleneck' else 1
    return {
        'block': values['layer_type'],
        'depths': tuple(values['depths']),
        'widths': tuple(size / expansion for size in values['hidden_sizes']),
        'stem_width': values['embedding_size'],
        'inner_width': 1,
        'groups': 1,
        'stem': 'imagenet',
        'shortcut': 'conv',
    }


def _bit_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        'depths': tuple(values['depths']),
        'widths': tuple(size * values['width_factor'] / EXPANSION for size in values['hidden_sizes']),
        'stem_width': values['embedding_size'],
        'norm_groups': values['num_groups'],
    }
