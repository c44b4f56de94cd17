"""Saves a network under the names of others, so that PyTorch users load it: the inverse of the audited load."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from jtransfer import models, rules
from jtransfer.adapters import can_merge, to_dict
from jtransfer.checks import nearest
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded, output_file
from jtransfer.files.writing import temporary_folder, told_plainly
from jtransfer.inputs.image import as_image
from jtransfer.pretrained.catalogue.locate import MODEL_FILE
from jtransfer.pretrained.export_files import published_files, reader_notes
from jtransfer.pretrained.files.safetensors import write_safetensors
from jtransfer.pretrained.header import Header
from jtransfer.pretrained.load.namemap import NameMap
from jtransfer.pretrained.load.stored import SHAPE
from jtransfer.pretrained.model import Model, merge_model
from jtransfer.pretrained.names import namings

# transformers refuses a safetensors file that does not say which framework's layout it holds.
_METADATA = {'format': 'pt'}


def export_names(model: Model) -> tuple[str, ...]:
    """The namings that a model can be exported under, the most usual first: those with a place for all it has."""
    if model.adaptation is not None and not can_merge(model.adaptation):
        return ()
    model = merge_model(model)
    return tuple(naming.name for naming in _namings(model) if _fits(naming, model))


def export_notes(model: Model, naming: str = '', *, folder: bool = False) -> tuple[str, ...]:
    """What readers of an export must be told, since the naming stands for other settings than the network has.

    Args:
        model: the network.
        naming: see `export_model`.
        folder: whether it is a folder, whose files say more than a file of weights.
    """
    model = _plain(model)
    return reader_notes(model, _chosen(model, naming), folder)


def export_model(model: Model, path: str | os.PathLike[str], naming: str = '') -> dict[str, tuple[int, ...]]:
    """Writes the whole network as safetensors under published names and in their layouts, in one piece.

    Loading the file again gives the very same numbers, class names and preprocessing, which stand in its header; and a
    file that was loaded and not trained comes back with every tensor of the network that it had. A folder gets
    `model.safetensors` and, where timm or transformers have this network, the `config.json` and
    `preprocessor_config.json` by which they load it: `timm.create_model('local-dir:FOLDER', pretrained=True)`,
    `AutoModelForImageClassification.from_pretrained(FOLDER)`. What neither names nor files tell (`export_notes`) its
    reader has to be told. LoRA and SSF are merged into the weights; other adapters have no place in the networks of
    others.

    Args:
        model: the network.
        path: of the `.safetensors` file, or a folder, new or empty; missing folders above it are made.
        naming: `timm`, `huggingface`, …, see `export_names`. Empty: that of the file the weights came from, or the
            family's most usual one.

    Returns:
        The shapes of the tensors written, by name.

    Raises:
        UserError: no such naming for this network, a tensor that it cannot express, adapters that cannot be merged, or
            a file that is there already or cannot be written.
    """
    folder = is_export_folder(path)
    path = expanded(path) if folder else output_file(path, 'path', 'model.safetensors')
    if not folder and path.suffix != '.safetensors':
        raise UserError(
            f'export to {path}: the file must end in .safetensors; a folder has no such ending, or ends in a slash'
        )
    if path.exists() and not (folder and path.is_dir() and not any(path.iterdir())):
        raise UserError(f'export to {path}: it exists already; name another {"folder" if folder else "file"}')
    model = _plain(model)
    chosen = _chosen(model, naming)
    arrays = published_arrays(model, chosen.name)
    preprocessing = as_image(model.preprocessing, 'an export')
    height, width = preprocessing.shape
    header = Header(
        architecture=model.architecture,
        naming=chosen.name,
        preprocessing=preprocessing,
        tasks=model.tasks,
        options=model.options,
        positions=model.positions if model.positions != chosen.positions else '',
    )
    metadata = {**_METADATA, SHAPE: f'{height}x{width}', **header.to_metadata()}
    if not folder:
        write_safetensors(path, arrays, metadata)
    else:
        _write_folder(path, arrays, metadata, published_files(model, chosen)[0])
    return {name: tuple(array.shape) for name, array in arrays.items()}


def is_export_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a folder: one that is there, or a name without an ending, or one that ends in a slash."""
    return os.fspath(path).endswith(('/', os.sep)) or Path(path).expanduser().is_dir() or not Path(path).suffix


def _write_folder(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], files: Mapping[str, str]
) -> None:
    """Writes all of it, or nothing: a folder of that name is there when it is whole."""
    with told_plainly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(beside=path) as temporary:
            inside = temporary / path.name
            inside.mkdir()  # as the umask says, which the temporary one does not follow
            write_safetensors(inside / MODEL_FILE, arrays, metadata)
            for name, text in files.items():
                (inside / name).write_text(text, encoding='utf-8')
            if path.exists():
                path.rmdir()
            inside.rename(path)


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
