"""Saves a network under the names of others, so that PyTorch users load it: the inverse of the audited load."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jtransfer import models, rules
from jtransfer.config_check import nearest
from jtransfer.errors import UserError
from jtransfer.pretrained.files import write_safetensors
from jtransfer.pretrained.model import Model
from jtransfer.pretrained.namemap import NameMap
from jtransfer.pretrained.names import namings

# transformers refuses a safetensors file that does not say which framework's layout it holds.
_METADATA = {'format': 'pt'}


def export_names(model: Model) -> tuple[str, ...]:
    """The namings that a model can be exported under, the most usual first."""
    return tuple(naming.name for naming in _namings(model))


def export_model(model: Model, path: str | os.PathLike[str], naming: str = '') -> dict[str, tuple[int, ...]]:
    """Writes the whole network as safetensors under published names and in their layouts, in one piece.

    Loading the file again gives the very same numbers; a file that was loaded and not trained comes back with the
    tensors it had.

    Args:
        model: the network.
        path: of the `.safetensors` file; its folder must exist.
        naming: `timm`, `huggingface`, …, see `export_names`. Empty: that of the file the weights came from, or the
            family's most usual one.

    Returns:
        The shapes of the tensors written, by name.

    Raises:
        UserError: no such naming for this network, a tensor that it cannot express, or a file that is there already or
            cannot be written.
    """
    path = Path(path).expanduser()
    if path.suffix != '.safetensors':
        raise UserError(f'export to {path}: the file must end in .safetensors')
    if path.exists():
        raise UserError(f'export to {path}: it exists already; name another file, or remove it')
    arrays = published_arrays(model, naming)
    write_safetensors(path, arrays, _METADATA)
    return {name: tuple(array.shape) for name, array in arrays.items()}


def published_arrays(model: Model, naming: str = '') -> dict[str, np.ndarray]:
    """The network's tensors under published names and in their layouts.

    Args:
        model: the network.
        naming: see `export_model`.

    Raises:
        UserError: no such naming for this network, or a tensor that it cannot express.
    """
    flat = rules.flatten(jax.device_get(dict(model.variables)))
    return _chosen(model, naming).to_theirs({path: np.asarray(value) for path, value in flat.items()})


def _chosen(model: Model, naming: str) -> NameMap:
    known = _namings(model)
    if not known:
        raise UserError(f'{model.architecture} is published under no names but our own')
    wanted = naming or model.naming
    for candidate in known:
        if candidate.name == wanted:
            return candidate
    if naming:
        raise UserError(
            f"{model.architecture} is not published under the naming '{naming}'."
            f'{nearest(naming, [candidate.name for candidate in known])}'
        )
    return known[0]


def _namings(model: Model) -> Sequence[NameMap]:
    return namings(models.describe(model.architecture).family, model.network.backbone)
