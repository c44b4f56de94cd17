"""The table of named networks, and how to make one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jtransfer.checks import fraction, nearest, one_of
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.feature import FeaturePreprocessor
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.alexnet import variants as alexnet_variants
from jtransfer.models.backbone import Backbone
from jtransfer.models.bit import variants as bit_variants
from jtransfer.models.convnext import variants as convnext_variants
from jtransfer.models.googlenet import variants as googlenet_variants
from jtransfer.models.heads import Head
from jtransfer.models.mobilenet_v2 import variants as mobilenet_v2_variants
from jtransfer.models.network import HEAD_INITS, Network
from jtransfer.models.options import checked_option
from jtransfer.models.resnet import variants as resnet_variants
from jtransfer.models.variant import Variant
from jtransfer.models.vgg import variants as vgg_variants
from jtransfer.models.vit import variants as vit_variants
from jtransfer.tasks.door import ONLY
from jtransfer.text.outside import clipped, printable

_VARIANTS = {
    variant.name: variant
    for variant in (
        *resnet_variants.VARIANTS,
        *bit_variants.VARIANTS,
        *vit_variants.VARIANTS,
        *convnext_variants.VARIANTS,
        *mobilenet_v2_variants.VARIANTS,
        *vgg_variants.VARIANTS,
        *alexnet_variants.VARIANTS,
        *googlenet_variants.VARIANTS,
    )
}

# Patches have an embedding each, and attention looks at all pairs of them.
MAX_PATCHES = 2**16


def add_family(variants: Iterable[Variant]) -> None:
    """Makes the named networks of a family known to `describe`, `create` and all that is built on them.

    For families outside this package; what is in it stands in the table above. A name map for weights that others
    publish is `pretrained.names.add_namings`.

    Raises:
        UserError: a name that stands for another network already.
    """
    added = tuple(variants)
    for variant in added:
        if _VARIANTS.get(variant.name, variant) != variant:
            raise UserError(f"there is a network '{printable(variant.name)}' already; give the new one another name")
    _VARIANTS.update((variant.name, variant) for variant in added)


def variant_names() -> tuple[str, ...]:
    """All names that `create` knows."""
    return tuple(_VARIANTS)


def describe(name: str) -> Variant:
    """What a name stands for.

    Raises:
        UserError: an unknown name; the message has the nearest one.
    """
    if name not in _VARIANTS:
        shown = clipped(printable(name))
        raise UserError(f"there is no network '{shown}'.{nearest(shown, _VARIANTS)}")
    return _VARIANTS[name]


def create(
    name: str,
    *,
    num_classes: int,
    image_size: int | Sequence[int] = 0,
    preprocessing: Preprocessor | None = None,
    dtype: Any = jnp.float32,
    drop_path: float = 0.0,
    dropout: float = 0.0,
    head_init: str = 'zeros',
    norm_axis_name: str | None = None,
    options: Mapping[str, Any] | None = None,
    heads: Mapping[str, int | Head] | None = None,
) -> Network:
    """A network by name, without parameters: `network.init(key, images)` makes those.

    Args:
        name: one of `variant_names()`.
        num_classes: outputs of a linear head that has no name. 0: no head, or those of `heads`.
        image_size: side of the square input, or its height and width, pixels. 0: the variant's own.
        preprocessing: what the network is to read, instead. None: the variant's own, at `image_size`.
        dtype: computation type; parameters, statistics, pooled features and logits are float32.
        drop_path: stochastic-depth probability of the last block (rising linearly from 0), in [0, 1).
        dropout: dropout probability before the head, in [0, 1).
        head_init: `zeros` or `normal` (truncated, standard deviation 0.02).
        norm_axis_name: pmap axis over which batch normalisation takes its statistics. None under jit.
        options: fields of the family's backbone that these weights need otherwise than the variant has them
            (`{'gelu': 'tanh'}`).
        heads: of several tasks by their names, with `num_classes=0`; see `Network`.

    Raises:
        UserError: an unknown name (the message has the nearest one), a value out of range, an image size that the
            network's patches do not divide or that gives too many of them, or heads that `Network` refuses.
    """
    variant = describe(name)
    if num_classes < 0:
        raise UserError(f'num_classes={num_classes} must be at least 0')
    if num_classes and heads:
        raise UserError(f'num_classes={num_classes}, but each of the heads {", ".join(heads)} states its own outputs')
    if np.min(image_size) < 0:
        raise UserError(f'image_size={image_size} must be at least 0')
    reads = preprocessing or variant.preprocessing
    if isinstance(reads, ImagePreprocessor):
        wanted = image_size if preprocessing is None else 0
        if isinstance(wanted, Sequence) and len(wanted) != 2:
            raise UserError(f'image_size={image_size} must be one number, or height and width')
        height, width = wanted if isinstance(wanted, Sequence) else (wanted, wanted)
    else:
        reads.fitted(image_size)
    fraction('drop_path', drop_path)
    fraction('dropout', dropout)
    one_of('head_init', head_init, tuple(HEAD_INITS))
    given = {'drop_path': drop_path, 'dropout': dropout, 'dtype': jnp.dtype(dtype)}
    fields = {field.name: field for field in dataclasses.fields(variant.backbone)}
    kwargs = {**variant.kwargs, **{name: value for name, value in given.items() if name in fields}}
    for option, value in (options or {}).items():
        kwargs[option] = checked_option(variant, option, value)
    backbone = variant.backbone(**kwargs)
    if isinstance(reads, ImagePreprocessor):
        _check_patches(name, backbone, (height, width) if height else reads.shape)
    before_head = dropout if backbone.dropout_before_head else 0.0
    heads = {ONLY: num_classes} if num_classes else heads or {}
    start = reads.start if isinstance(reads, FeaturePreprocessor) else None
    return Network(backbone, heads, dropout=before_head, head_init=head_init, norm_axis=norm_axis_name, start=start)


def _check_patches(name: str, backbone: Backbone, sides: tuple[int, int]) -> None:
    multiple = backbone.side_multiple
    for side in sides:
        if side % multiple:
            fitting = max(1, round(side / multiple)) * multiple
            raise UserError(
                f'image_size={side} is no multiple of the {multiple}-pixel patches of {name}; {fitting} would be'
            )
    grid = backbone.grid(*sides)
    patches = 0 if grid is None else math.prod(grid)
    if patches > MAX_PATCHES:
        size = sides[0] if sides[0] == sides[1] else sides
        raise UserError(f'image_size={size} gives {name} {patches:,} patches; at most {MAX_PATCHES:,}')
