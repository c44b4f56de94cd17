"""Where weights come from: the networks shipped with the library, a file, or the directory of a finished run."""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
from pathlib import Path

from jtransfer.config_check import nearest
from jtransfer.errors import UserError

MODEL_FILE = 'model.safetensors'
# Written last: a run directory that has it holds a finished run.
RESULT_FILE = 'result.json'


@dataclasses.dataclass(frozen=True)
class Entry:
    """A network of the catalogue.

    Attributes:
        architecture: name of the variant (`models.describe`).
        file: name of the weights among the package data; a record of how they were made lies beside them, `.json`.
        about: what it was trained on, in a line.
    """

    architecture: str
    file: str
    about: str


CATALOGUE = {
    'jtransfer/resnet_glyphs': Entry(
        'resnet_small', 'resnet_glyphs.safetensors', 'letters and digits rendered from fonts; made by this project'
    ),
    'jtransfer/vit_glyphs': Entry(
        'vit_mini', 'vit_glyphs.safetensors', 'letters and digits rendered from fonts; made by this project'
    ),
}


def weights_path(name: str) -> Path:
    """The file of a catalogue network; `.with_suffix('.json')` is its record.

    Args:
        name: a key of `CATALOGUE`.
    """
    return Path(str(importlib.resources.files('jtransfer.pretrained'))) / 'weights' / CATALOGUE[name].file


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """The `.safetensors` file that a person means.

    Args:
        name_or_path: a catalogue name, a `.safetensors` file (`~` is the home directory), or the directory of a
            finished run.

    Returns:
        An existing file.

    Raises:
        UserError: nothing of that name, or an unfinished run; the message says what would be right.
    """
    text = os.fspath(name_or_path)
    if text in CATALOGUE:
        path = weights_path(text)
        if not path.is_file():
            raise UserError(f'the weights of {text} are missing from this installation: {path}; install it anew')
        return path
    path = Path(text).expanduser()
    if path.is_dir():
        return _model_of_run(path)
    if path.suffix == '.safetensors':
        if not path.is_file():
            raise UserError(f'checkpoint {text!r}: no such file')
        return path
    if path.exists():
        raise UserError(f'checkpoint {text!r} is neither a .safetensors file nor a run directory')
    raise UserError(
        f'checkpoint {text!r} is no catalogue name, .safetensors file or run directory.{nearest(text, CATALOGUE)}'
    )


def _model_of_run(directory: Path) -> Path:
    model = directory / MODEL_FILE
    if (directory / RESULT_FILE).is_file() and model.is_file():
        return model
    if model.is_file() or (directory / 'config.json').is_file():
        raise UserError(
            f'run {directory} is not finished (it has no {RESULT_FILE}): continue it with --config.train.resume=auto'
            + (f', or name {model} itself' if model.is_file() else '')
        )
    raise UserError(f'checkpoint {str(directory)!r} is a directory, but not of a run: it has no {MODEL_FILE}')
