"""Options of a network that come from a file or a person: of the right type, and within what any network has."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jtransfer.checks import fraction, nearest
from jtransfer.errors import UserError
from jtransfer.models.variant import Variant
from jtransfer.text.outside import clipped

# What `create` sets by arguments of its own.
GIVEN = ('drop_path', 'dropout', 'dtype')
# Far above what has been published (ResNet-1202 has 600 blocks, ViT-22B 6,144 channels).
MAX_BLOCKS = 1024
MAX_SIZE = 65_536
_MAX_FACTOR = 1000.0
_MAX_ENTRIES = 64


def checked_option(variant: Variant, option: str, value: Any) -> Any:
    """The value of an option, of the type that the variant's own has; lists become tuples.

    Args:
        variant: the network.
        option: a field of its backbone.
        value: as a file or a person states it.

    Raises:
        UserError: no such option, a value of another type, or one that no network has: a number that is not finite,
            more than 1,024 blocks, a size above 65,536.
    """
    fields = dataclasses.fields(variant.backbone)
    known = {field.name: field for field in fields if field.name not in {*GIVEN, 'parent', 'name'}}
    if option not in known:
        raise UserError(f"{variant.name} has no option '{clipped(option)}'.{nearest(option[:_MAX_ENTRIES], known)}")
    default = variant.kwargs.get(option, known[option].default)
    what = f'option {option}={clipped(repr(value))} of {variant.name}'
    value = _fitted(what, value, default)
    if option.endswith('dropout'):
        fraction(f'option {option}', value)
    if option in variant.backbone.block_counts:
        blocks = value if isinstance(value, tuple) else (value,)
        if all(isinstance(count, int) for count in blocks) and sum(blocks) > MAX_BLOCKS:
            raise UserError(f'{what}: a network has at most {MAX_BLOCKS:,} blocks')
    return value


def _fitted(what: str, value: Any, default: Any) -> Any:
    """The value in the form of the default: a number, a truth value, a word, or a tuple of such."""
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        if not 0 < len(value) <= _MAX_ENTRIES:
            raise UserError(f'{what} must have 1 to {_MAX_ENTRIES} entries')
        return tuple(_fitted(what, one, default[0]) for one in value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if default is not dataclasses.MISSING and default is not None and type(value) is not type(default):
        raise UserError(f'{what} must be of type {type(default).__name__}')
    if isinstance(value, float) and not (math.isfinite(value) and 0 <= value <= _MAX_FACTOR):
        raise UserError(f'{what} must be at least 0 and at most {_MAX_FACTOR:g}')
    if isinstance(value, int) and not isinstance(value, bool):
        # Where nothing is the usual number of something, there may be none.
        least = 0 if default == 0 else 1
        if not least <= value <= MAX_SIZE:
            raise UserError(f'{what} must be at least {least} and at most {MAX_SIZE:,}')
    return value
