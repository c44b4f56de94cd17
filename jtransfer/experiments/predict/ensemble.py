"""Several networks used as one: the mean of their probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jtransfer.config import Config
from jtransfer.errors import UserError
from jtransfer.evaluate.forward import make_forward
from jtransfer.evaluate.views import kinds_of
from jtransfer.experiments.data.read import Examples
from jtransfer.experiments.run.directory import write_json
from jtransfer.experiments.run.score import Scores, logits_of, scores_of
from jtransfer.files.paths import expanded, is_file
from jtransfer.files.reading import read_json_object
from jtransfer.files.record_types import TEXTS
from jtransfer.files.writing import make_folder
from jtransfer.pretrained.catalogue.locate import MODEL_FILE
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.model import Model, load_model
from jtransfer.tasks.average import mean_of_networks
from jtransfer.tasks.labels import Labels

ENSEMBLE = 'ensemble.json'
FORMAT = 'jtransfer-ensemble/1'
_MAX_BYTES = 2**20
_MAX_MEMBERS = 1000


def write_ensemble(folder: Path, members: Sequence[Path]) -> None:
    """Writes `ensemble.json`, which names the members relative to the folder; their networks stay where they are.

    Args:
        folder: made when missing.
        members: run directories, each with a `model.safetensors`.
    """
    make_folder(folder)
    names = [Path(os.path.relpath(member, folder)).as_posix() for member in members]
    write_json(folder / ENSEMBLE, {'format': FORMAT, 'average': 'probabilities', 'members': names})


def is_ensemble(path: str | Path) -> bool:
    """Whether a folder holds an ensemble."""
    return (expanded(path) / ENSEMBLE).is_file()


def members_of(path: str | Path) -> tuple[Path, ...]:
    """The directories of an ensemble's members.

    Raises:
        UserError: the file is damaged, or a member is gone.
    """
    folder = expanded(path)
    record = read_json_object(folder / ENSEMBLE, limit=_MAX_BYTES)
    named: Any = record.get('members')
    if record.get('format') != FORMAT or not TEXTS.holds(named) or not 0 < len(named) <= _MAX_MEMBERS:
        raise UserError(f'{folder / ENSEMBLE} is not a list of the members of an ensemble')
    members = tuple(folder / name for name in named)
    if gone := [member for member in members if not is_file(member / MODEL_FILE)]:
        raise UserError(f'{folder} names the member {gone[0]}, which has no {MODEL_FILE} ({len(gone)} such)')
    return members


def load_ensemble(path: str | Path, dtype: str = 'float32') -> tuple[Model, ...]:
    """The networks of an ensemble.

    Raises:
        UserError: what `members_of` and `load_model` refuse, or members that differ in their tasks or preprocessing.
    """
    members = members_of(path)
    models = tuple(load_model(member, dtype=dtype) for member in members)
    for member, model in zip(members, models, strict=True):
        if not heads.matches(model.tasks, models[0].tasks) or model.preprocessing != models[0].preprocessing:
            raise UserError(f'{member} and {members[0]} differ in their classes or preprocessing: no ensemble')
    return models


def ensemble_scores(models: Sequence[Model], examples: Examples, config: Config) -> Scores:
    """Scores the mean of several networks' probabilities, or numbers.

    Args:
        models: of `load_ensemble`.
        examples: what `read_examples` read, for the preprocessing that all of them have.
        config: batch size, confidence and calibration bins.
    """
    outputs, labels = ensemble_outputs(models, examples, config)
    return scores_of(models[0].tasks, outputs, labels, examples, config)


def ensemble_outputs(models: Sequence[Model], examples: Examples, config: Config) -> tuple[Labels, Labels]:
    """The outputs of an ensemble, and the labels; see `mean_of_networks` and `logits_of`."""
    first, views = models[0], examples.views
    forward = None
    if all(model.network == first.network for model in models):  # Compiled once for all of them.
        forward = make_forward(first.network, first.preprocessing, views.flips, kinds_of(first.tasks))
    found = [logits_of(model, examples, config, forward=forward) for model in models]
    return mean_of_networks(first.tasks, [outputs for outputs, _ in found]), found[0][1]
