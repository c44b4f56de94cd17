"""Which ConvNeXt or MobileNetV2 a Hugging Face `config.json` describes."""

from __future__ import annotations

import math
from typing import Any

from jtransfer.errors import UserError
from jtransfer.models.convnext import variants as convnext_variants
from jtransfer.models.mobilenet_v2 import variants as mobilenet_v2_variants
from jtransfer.text.outside import clipped

TYPES = ('convnext', 'convnextv2', 'mobilenet_v2')

# What files may leave out, the library's own (4.57).
_CONVNEXT = {'hidden_sizes': [96, 192, 384, 768], 'depths': [3, 3, 9, 3], 'hidden_act': 'gelu', 'patch_size': 4}
_MOBILENET = {
    'depth_multiplier': 1.0,
    'depth_divisible_by': 8,
    'min_depth': 8,
    'expand_ratio': 6.0,
    'output_stride': 32,
    'first_layer_is_expansion': True,
    'finegrained_output': True,
    'hidden_act': 'relu6',
    'tf_padding': True,
    'layer_norm_eps': 1e-3,
}


def options_from_config(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The variant that a `config.json` of one of `TYPES` describes, and the options in which its network differs.

    The epsilon of ConvNeXt's last normalisation (1e-12 there, 1e-6 in all others) is taken for the others'.

    Args:
        config: the parsed file.

    Returns:
        Name and options, for `models.create`.

    Raises:
        UserError: no variant is of that type and these sizes, or the file asks for what the network does not have.
    """
    kind = config['model_type']
    return _mobilenet(config) if kind == 'mobilenet_v2' else _convnext(config, kind == 'convnextv2')


def _convnext(config: dict[str, Any], second: bool) -> tuple[str, dict[str, Any]]:
    values = {**_CONVNEXT, **{key: value for key, value in config.items() if value is not None}}
    _only(values, {'hidden_act': 'gelu', 'patch_size': 4})
    for variant in convnext_variants.VARIANTS:
        fits = [
            list(variant.kwargs['depths']) == list(values['depths']),
            list(variant.kwargs['widths']) == list(values['hidden_sizes']),
            variant.kwargs.get('grn', False) == second,
        ]
        if all(fits):
            return variant.name, {}
    raise UserError(
        f'config.json: no ConvNeXt{" V2" if second else ""} here has depths={values["depths"]} and '
        f'hidden_sizes={values["hidden_sizes"]}'
    )


def _mobilenet(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    values = {**_MOBILENET, **{key: value for key, value in config.items() if value is not None}}
    _only(values, {key: value for key, value in _MOBILENET.items() if key not in _READ})
    width = float(values['depth_multiplier'])
    name = f'mobilenetv2_{round(100 * width):03}'
    # A narrow network whose last layer shrinks too is another one.
    shrunk = width < 1 and not values['finegrained_output']
    between = not math.isclose(100 * width, round(100 * width))
    if shrunk or between or name not in {variant.name for variant in mobilenet_v2_variants.VARIANTS}:
        raise UserError(f'config.json: no MobileNetV2 here has depth_multiplier={width}')
    padding = 'tensorflow' if values['tf_padding'] else 'torch'
    return name, {'padding': padding, 'eps': float(values['layer_norm_eps'])}


# What `_mobilenet` looks at itself.
_READ = ('depth_multiplier', 'finegrained_output', 'tf_padding', 'layer_norm_eps')


def _only(values: dict[str, Any], known: dict[str, Any]) -> None:
    for field, value in known.items():
        if values[field] != value:
            raise UserError(
                f'config.json: {field}={clipped(repr(values[field]))} cannot be had here; only {value!r} can'
            )
