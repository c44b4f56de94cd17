"""An adapter file on the network that it was trained on: found, compared by its hash, and put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jtransfer import rules
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded, is_file
from jtransfer.pretrained.checkpoint import ADAPTER_FORMAT, read_base
from jtransfer.pretrained.files.safetensors import is_safetensors, read_metadata
from jtransfer.pretrained.load.base import BACKBONE, Base, base_hash, kept_values, shortened
from jtransfer.pretrained.load.stored import Stored

if TYPE_CHECKING:
    from jtransfer.pretrained.model import Model

# How many adapter files may stand on each other.
_MAX_CHAIN = 8


def on_base(stored: Stored, needed: Base, elsewhere: str, load: Callable[..., Model]) -> Stored:
    """What an adapter file holds, in place on its base.

    Args:
        stored: what the file holds.
        needed: the base that it was trained on.
        elsewhere: where that now is, named as a checkpoint. Empty: where the file says.
        load: `load_model`: a base is a model like any other, and may be of an adapter file itself.

    Raises:
        UserError: the base cannot be loaded, has other weights, or is the file itself in the end; or the file lacks
            statistics.
    """
    name = elsewhere or needed.found(stored.path)
    _check_chain(stored.path, name)
    remedy = 'load_adapter(path, base=…) names another file of weights'
    try:
        model = load(
            name,
            architecture=stored.architecture,
            num_classes=0,
            preprocessing=stored.preprocessing,
            options=stored.options,
        )
    except UserError as error:
        raise UserError(
            f'{stored.path} was trained on {needed.checkpoint!r} ({stored.architecture}, sha256 '
            f'{needed.short_hash()}), and {name!r} cannot be its base: {error}; {remedy}'
        ) from None
    found = base_hash(model.variables, model.load_report)
    if found != needed.sha256:
        raise UserError(
            f'{stored.path} was trained on {needed.checkpoint!r} with sha256 {needed.short_hash()}, but the weights of '
            f'{name!r} have {shortened(found)}; {remedy}'
        )
    plain = {p: v for p, v in kept_values(model.variables, needed.frozen_dtype).items() if p.startswith(BACKBONE)}
    values = rules.flatten(stored.variables)
    if lacking := [path for path in plain if path.startswith('batch_stats/') and path not in values]:
        raise UserError(f'{stored.path}: a saved adapter must be whole, statistics included; there is no {lacking[0]}')
    return dataclasses.replace(stored, variables=rules.unflatten({**plain, **values}))


def _check_chain(path: Path, name: str) -> None:
    """Raises `UserError` for a base that is an adapter file on a base, …, that is the first one again."""
    seen = {expanded(path).resolve()}
    while is_file(file := expanded(name)) and is_safetensors(file):
        if read_metadata(file).get('format') != ADAPTER_FORMAT:
            return
        if file.resolve() in seen or len(seen) >= _MAX_CHAIN:
            raise UserError(f'{path}: its base is an adapter file, whose base in the end is this one again, or none')
        seen.add(file.resolve())
        name = read_base(file).found(file)
