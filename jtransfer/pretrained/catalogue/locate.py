"""From what a person calls a checkpoint to a file on this machine, fetched if need be.

timm/resnet50.a1_in1k, gs://vit_models/…   a name of the catalogue; `NAME@REVISION` pins a hub repository's commit
hf://OWNER/REPOSITORY[@REVISION][/FILE]    any hub repository
https://…, gs://…                          any file
a path                                     a file of weights, a run directory, or a folder as hubs have them
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jtransfer.checks import nearest
from jtransfer.errors import UserError
from jtransfer.files.paths import exists, expanded, is_file
from jtransfer.files.reading import read_json_object
from jtransfer.models import variant_names
from jtransfer.pretrained.catalogue.entries import Entry, entries
from jtransfer.pretrained.download.fetch import Fetched, fetch_hub, fetch_url
from jtransfer.pretrained.files.safetensors import beside
from jtransfer.pretrained.files.tfjs import shard_names
from jtransfer.pretrained.files.weight_file import SHARD_INDEX, shard_map
from jtransfer.text.outside import clipped

MODEL_FILE = 'model.safetensors'
# Written last: a run directory that has it holds a finished run.
RESULT_FILE = 'result.json'
CONFIG_FILE = 'config.json'
PROCESSOR_FILE = 'preprocessor_config.json'
MODEL_JSON = 'model.json'
# What a folder of weights may hold, the first that is there counts.
_WEIGHTS = (
    MODEL_FILE,
    'model.safetensors.index.json',
    'flax_model.msgpack',
    'pytorch_model.bin',
    MODEL_JSON,
)
# The names of 20,000 classes take two or three megabytes.
MAX_CONFIG_BYTES = 8 * 2**20
_MAX_NAME = 1000
_HUB = 'hf://'
_REPOSITORY = re.compile(r'(?P<repo>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w.-]+))?(/(?P<file>.+))?')


@dataclasses.dataclass(frozen=True)
class Located:
    """A checkpoint on this machine.

    Attributes:
        path: the file of weights.
        source: what to call it: the name with the commit it was fetched at, or the path as it was given.
        entry: of the catalogue, None for anything else.
        config: the `config.json` that lies beside the weights, where there is one.
        processor: the `preprocessor_config.json` that lies there too.
    """

    path: Path
    source: str
    entry: Entry | None = None
    config: Mapping[str, Any] | None = None
    processor: Mapping[str, Any] | None = None

    def check_architecture(self, own: str, asked: str) -> None:
        """Raises `UserError` where a person names another architecture than the checkpoint is of.

        Args:
            own: the checkpoint's.
            asked: the person's. Empty: none was named.
        """
        if asked and asked != own:
            raise UserError(
                f"checkpoint {self.source!r} is of architecture '{own}', not '{asked}': "
                'leave the architecture out, or name another checkpoint'
            )


def locate(name_or_path: str | os.PathLike[str]) -> Located:
    """The file that a person means.

    Args:
        name_or_path: a catalogue name, `hf://…`, a URL, or a path (`~` is the home directory).

    Raises:
        UserError: nothing of that name, a download that failed, or an unfinished run; the message says what would be
            right.
    """
    text = os.fspath(name_or_path)
    name, _, revision = text.partition('@')
    known = entries()
    if text in known or name in known:
        return _published(known[text if text in known else name], '' if text in known else revision)
    if text.startswith(_HUB):
        return _from_hub(text)
    if text.startswith(('https://', 'http://', 'gs://')):
        if text.endswith(('.json', '/')):
            raise UserError(f'{text}: a file that names others is not fetched; fetch the whole folder, and name that')
        return Located(fetch_url(text).path, text)
    path = expanded(text)
    if is_file(path):
        return _described(path, text)
    if exists(path) and path.is_dir():
        return _folder(path, text)
    if len(text) > _MAX_NAME or not text.isprintable():
        raise UserError(f'checkpoint {clipped(repr(text))}: no such file')
    if path.suffix:
        raise UserError(f'checkpoint {text!r}: no such file.{_hint(nearest(text, known))}')
    if text in variant_names():
        raise UserError(
            f"checkpoint {text!r} is an architecture, not weights: architecture='{text}' of load_model and "
            f'--config.model.name={text} take it, with random weights or a file; python -m launch.models '
            f'--filter={text} lists weights for it'
        )
    hub = f' {_HUB}{name} would look for a hub repository of that name.' if _REPOSITORY.fullmatch(text) else ''
    raise UserError(
        f'checkpoint {text!r} is no catalogue name (python -m launch.models lists them), file or run directory.'
        f'{nearest(text, known)}{hub}'
    )


def shipped_path(entry: Entry) -> Path:
    """The file of a network that comes with the library; `.with_suffix('.json')` is its record."""
    return Path(str(importlib.resources.files('jtransfer.pretrained'))) / 'weights' / entry.file


def _published(entry: Entry, revision: str) -> Located:
    if entry.repo:
        fetched = fetch_hub(entry.repo, entry.file, revision=revision or entry.revision)
        assert fetched is not None
        return Located(fetched.path, _at(entry.name, fetched), entry)
    if revision:
        raise UserError(f"'{entry.name}' is no hub repository, so that '@{revision}' means nothing")
    if '://' in entry.file:
        return Located(fetch_url(entry.file, sha256=entry.sha256).path, entry.name, entry)
    path = shipped_path(entry)
    if not path.is_file():
        raise UserError(f'the weights of {entry.name} are missing from this installation: {path}; install it anew')
    return Located(path, entry.name, entry)


def _from_hub(text: str) -> Located:
    found = _REPOSITORY.fullmatch(text.removeprefix(_HUB))
    if found is None:
        raise UserError(f"'{text}' is not of the form {_HUB}OWNER/REPOSITORY[@REVISION][/FILE]")
    repo, revision, file = found['repo'], found['revision'] or '', found['file']
    if repo in entries() and not file:
        # The catalogue knows more than the repository says, and where that is wrong.
        return _published(entries()[repo], revision)
    for candidate in (file,) if file else _WEIGHTS:
        fetched = fetch_hub(repo, candidate, revision=revision, missing_ok=not file)
        if fetched is not None:
            # All of them from one commit and one folder.
            commit, folder = fetched.revision or revision, candidate.rpartition('/')[0]
            folder = f'{folder}/' if folder else ''
            for part in _parts(fetched.path):
                fetch_hub(repo, folder + part, revision=commit)
            beside = [
                fetch_hub(repo, folder + name, revision=commit, missing_ok=True)
                for name in (CONFIG_FILE, PROCESSOR_FILE)
            ]
            config, processor = (_read_config(one.path) if one else None for one in beside)
            return Located(fetched.path, _at(f'{_HUB}{repo}', fetched), config=config, processor=processor)
    raise UserError(
        f'the hub repository {repo} has none of {", ".join(_WEIGHTS)}; {_HUB}{repo}/FILE names another file'
    )


def _parts(path: Path) -> list[str]:
    """The files beside this one that hold its values."""
    if path.name.endswith(SHARD_INDEX):
        return sorted(set(shard_map(path).values()))
    return shard_names(path) if path.name == MODEL_JSON else []


def _at(name: str, fetched: Fetched) -> str:
    return f'{name}@{fetched.revision}' if fetched.revision else name


def _folder(folder: Path, text: str) -> Located:
    model, config = folder / MODEL_FILE, folder / CONFIG_FILE
    if (folder / RESULT_FILE).is_file() and model.is_file():
        return Located(model, text)
    if (folder / 'folds.json').is_file():
        raise UserError(
            f'{folder} is a cross-validation, of several networks: name a fold in it, such as '
            f'{folder / "fold-0"}, or its ensemble, soup or refit'
        )
    if (folder / 'ensemble.json').is_file():
        raise UserError(
            f'{folder} is an ensemble of several networks, which only launch.predict and launch.evaluate take'
        )
    if config.is_file() and _is_run_config(config):
        raise UserError(
            f'run {folder} is not finished (it has no {RESULT_FILE}): continue it with --config.train.resume=auto'
            + (f', or name {model} itself' if model.is_file() else '')
        )
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return _described(folder / name, text)
    raise UserError(
        f'checkpoint {text!r} is a directory, but neither of a run nor of weights: it has none of {", ".join(_WEIGHTS)}'
    )


def _described(path: Path, text: str) -> Located:
    """A file of weights, with what lies beside it and says what it is."""
    # Beside a file of any other name lies what need not be of it.
    if path.name not in _WEIGHTS:
        return Located(path, text)
    config = beside(path, CONFIG_FILE)
    if not config.is_file() or _is_run_config(config):
        return Located(path, text)
    processor = beside(path, PROCESSOR_FILE)
    said = _read_config(processor) if processor.is_file() else None
    return Located(path, text, config=_read_config(config), processor=said)


def _is_run_config(path: Path) -> bool:
    """Whether a config.json is a run's of ours, which is never without these groups."""
    return {'transfer', 'optim'} <= set(_read_config(path))


def _read_config(path: Path) -> Mapping[str, Any]:
    return read_json_object(path, limit=MAX_CONFIG_BYTES)


def _hint(text: str) -> str:
    return text if text.startswith(' Did') else ''
