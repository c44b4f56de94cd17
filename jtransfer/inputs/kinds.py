"""The table of kinds of input, and the way from a file's JSON to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jtransfer.checks import new_name
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.feature import FeaturePreprocessor
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.text.outside import clipped

_KINDS: dict[str, type[Preprocessor]] = {kind.kind: kind for kind in (ImagePreprocessor, FeaturePreprocessor)}


def add_input(kind: type[Preprocessor]) -> None:
    """Makes a kind of input known to whatever reads checkpoints.

    For kinds outside this package; those in it stand in the table above.

    Raises:
        UserError: a name that cannot be, or that stands for another kind already.
    """
    new_name('a kind of input', kind.kind, taken=_KINDS.get(kind.kind, kind) is not kind)
    _KINDS[kind.kind] = kind


def preprocessor_from(values: Mapping[str, Any]) -> Preprocessor:
    """The inverse of `Preprocessor.to_dict`; values without a kind, as files have them from the start, are of images.

    Raises:
        UserError: an unknown kind, or values that it cannot have.
    """
    name = values.get('kind', ImagePreprocessor.kind)
    if not isinstance(name, str) or name not in _KINDS:
        raise UserError(
            f'preprocessing: kind={clipped(repr(name))} must be one of {", ".join(_KINDS)}; '
            'inputs.kinds.add_input adds one'
        )
    return _KINDS[name].from_dict(values)
