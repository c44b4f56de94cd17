"""Saves a network under the names of others, so that PyTorch users load it: the inverse of the audited load."""

from __future__ import annotations

import os
from collections.abc import Sequence

import jax
import numpy as np

from jtransfer import models, rules
from jtransfer.adapters import can_merge, to_dict
from jtransfer.config_check import nearest
from jtransfer.errors import UserError
from jtransfer.paths import output_file
from jtransfer.pretrained.files import write_safetensors
from jtransfer.pretrained.model import Model, merge_model
from jtransfer.pretrained.namemap import NameMap
from jtransfer.pretrained.names import namings
from jtransfer.pretrained.stored import SHAPE

# transformers refuses a safetensors file that does not say which framework's layout it holds.
_METADATA = {'format': 'pt'}


def export_names(model: Model) -> tuple[str, ...]:
    """The namings that a model can be exported under, the most usual first: those with a place for all it has."""
    if model.adaptation is not None and not can_merge(model.adaptation):
        return ()
    model = merge_model(model)
    return tuple(naming.name for naming in _namings(model) if _fits(naming, model))


def export_notes(model: Model, naming: str = '') -> tuple[str, ...]:
    """What readers of an exported file must be told, since the naming stands for other settings than the network has.

    Args:
        model: the network.
        naming: see `export_model`.
    """
    model = _plain(model)
    chosen, backbone = _chosen(model, naming), model.network.backbone
    has = {option: getattr(backbone, option) for option in chosen.options}
    return tuple(
        f"readers of '{chosen.name}' files take {option}={value}; this network has {has[option]}"
        for option, value in chosen.options.items()
        if has[option] != value
    )


def export_model(model: Model, path: str | os.PathLike[str], naming: str = '') -> dict[str, tuple[int, ...]]:
    """Writes the whole network as safetensors under published names and in their layouts, in one piece.

    Loading the file again gives the very same numbers, and a file that was loaded and not trained comes back with every
    tensor of the network that it had. What the names do not tell (`export_notes`) its reader has to be told. LoRA and
    SSF are merged into the weights; other adapters have no place in the networks of others.

    Args:
        model: the network.
        path: of the `.safetensors` file; missing folders above it are made.
        naming: `timm`, `huggingface`, …, see `export_names`. Empty: that of the file the weights came from, or the
            family's most usual one.

    Returns:
        The shapes of the tensors written, by name.

    Raises:
        UserError: no such naming for this network, a tensor that it cannot express, adapters that cannot be merged, or
            a file that is there already or cannot be written.
    """
    path = output_file(path, 'path', 'model.safetensors')
    if path.suffix != '.safetensors':
        raise UserError(f'export to {path}: the file must end in .safetensors')
    if path.exists():
        raise UserError(f'export to {path}: it exists already; name another file, or remove it')
    arrays = published_arrays(model, naming)
    height, width = model.preprocessing.shape
    write_safetensors(path, arrays, {**_METADATA, SHAPE: f'{height}x{width}'})
    return {name: tuple(array.shape) for name, array in arrays.items()}


def published_arrays(model: Model, naming: str = '') -> dict[str, np.ndarray]:
    """The network's tensors under published names and in their layouts.

    Args:
        model: the network.
        naming: see `export_model`.

    Raises:
        UserError: no such naming for this network, a tensor that it cannot express, or adapters that cannot be merged.
    """
    model = _plain(model)
    flat = rules.flatten(jax.device_get(dict(model.variables)))
    return _chosen(model, naming).to_theirs({path: np.asarray(value) for path, value in flat.items()})


def _plain(model: Model) -> Model:
    """The model without adapters."""
    if model.adaptation is not None and not can_merge(model.adaptation):
        raise UserError(
            f'what {to_dict(model.adaptation)["kind"]} adds to this {model.architecture} has no place in the networks '
            'of others and cannot be merged into its weights (lora and ssf can); jt.save_model and jt.save_adapter '
            'keep it'
        )
    return merge_model(model)


def _chosen(model: Model, naming: str) -> NameMap:
    known = _namings(model)
    if not known:
        raise UserError(f'{model.architecture} is published under no names but our own')
    able = [candidate for candidate in known if _fits(candidate, model)]
    for candidate in known:
        if candidate.name == naming and candidate not in able:
            raise UserError(
                f"{model.architecture} as it is cannot be said in the naming '{naming}'; "
                f'{", ".join(one.name for one in able) or "none"} can'
            )
    for candidate in able:
        if candidate.name == (naming or model.naming):
            return candidate
    if naming:
        raise UserError(
            f"{model.architecture} is not published under the naming '{naming}'."
            f'{nearest(naming, [candidate.name for candidate in able])}'
        )
    if not able:
        raise UserError(f'{model.architecture} as it is cannot be said in any naming but our own')
    return able[0]


def _fits(naming: NameMap, model: Model) -> bool:
    """Whether every tensor has a name there, and the network the form that goes with the names."""
    backbone = model.network.backbone
    structure = {option: value for option, value in naming.options.items() if isinstance(value, bool)}
    if any(getattr(backbone, option) != value for option, value in structure.items()):
        return False
    return all(naming.name_of(path) or path in naming.constants for path in rules.flatten(model.variables))


def _namings(model: Model) -> Sequence[NameMap]:
    return namings(models.describe(model.architecture).family, model.network.backbone)
