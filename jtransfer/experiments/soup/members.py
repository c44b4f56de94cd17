"""The runs that a soup is made of: opened, and checked to belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jtransfer.config import Config, replace
from jtransfer.errors import UserError
from jtransfer.experiments.data.split import same_examples
from jtransfer.experiments.run.directory import SPLIT, is_run, read_config, read_record
from jtransfer.experiments.run.records import RunRecord, read_split_file
from jtransfer.experiments.run.start import make_model
from jtransfer.files.paths import expanded
from jtransfer.pretrained.catalogue.locate import MODEL_FILE
from jtransfer.pretrained.checkpoint import open_model
from jtransfer.pretrained.files.safetensors import read_metadata
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.load.stored import Stored
from jtransfer.pretrained.model import Model


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """A finished run; its variables stay in the file until they are read."""

    run: Path
    config: Config
    stored: Stored
    result: RunRecord
    split: dict[str, Any]


def open_members(runs: Sequence[str | Path], recipe: str) -> dict[str, Member]:
    """The runs by the names they were given.

    Args:
        runs: run directories.
        recipe: see `soup.make_soup`.

    Raises:
        UserError: another number of runs than the recipe takes, one that is no finished run, or runs that differ in
            anything that members share.
    """
    names = [str(run) for run in runs]
    if recipe == 'wise' and len(names) != 1:
        raise UserError(f'recipe=wise is between one run and its source: name one run, not {len(names)}')
    if recipe != 'wise' and len(names) < 2:
        raise UserError(f'recipe={recipe} averages several runs: name two or more, not {len(names)}')
    paths = [expanded(name) for name in names]
    for index, path in enumerate(paths):
        if path.resolve() in (other.resolve() for other in paths[:index]):
            raise UserError(f'the run {path} is named twice')
    members = {name: _open(path) for name, path in zip(names, paths, strict=True)}
    first = members[names[0]]
    for member in members.values():
        _check_together(first, member)
    return members


def _open(run: Path) -> Member:
    if not is_run(run):
        raise UserError(f'{run} is not a run directory: it has no readable config.json of a run')
    result = read_record(run, ('part',))
    if 'adapters' in read_metadata(run / MODEL_FILE):
        raise UserError(
            f'{run} keeps adapters beside its network, which cannot be averaged; what lora and ssf add is merged '
            'into the network when a run ends'
        )
    return Member(
        run,
        read_config(run),
        open_model(run / MODEL_FILE),
        result,
        read_split_file(run / SPLIT),
    )


def _check_together(first: Member, other: Member) -> None:
    """Raises `UserError` where two runs are no members of one soup."""
    for what, one, two in (
        ('architecture', first.stored.architecture, other.stored.architecture),
        ('model.options', first.stored.options, other.stored.options),
        ('preprocessing', first.stored.preprocessing, other.stored.preprocessing),
        ('class names', first.stored.class_names, other.stored.class_names),
    ):
        if one != two:
            raise UserError(f'{other.run} and {first.run} differ in their {what}: {_short(two)} and {_short(one)}')
    one, two = (heads.in_words(member.stored.tasks) for member in (first, other))
    if not heads.matches(first.stored.tasks, other.stored.tasks):
        raise UserError(f'{other.run} and {first.run} differ in their tasks: {two} and {one}')
    for part in ('validation', 'test'):
        if not same_examples(first.split, other.split, part):
            raise UserError(
                f'{other.run} and {first.run} differ in their {part} examples, so that no part is unseen by both: '
                'make runs of several seeds with one data.split_seed'
            )


def start_of(member: Member) -> Model:
    """The network where a run started."""
    config = member.config
    if config.transfer.strategy == 'scratch' or not config.model.checkpoint:
        raise UserError(f'{member.run} was trained from scratch: there is no source for recipe=wise')
    # What lora and ssf add is in the run's kernels, so that the source is the network without it.
    return make_model(replace(config, 'transfer.strategy', 'fine_tune'), member.stored.class_names, member.stored.tasks)


def _short(value: Any) -> str:
    text = ', '.join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 80 else f'{text[:80]}…'
