"""What goes wrong after training loses nothing: whoever is told so is told, too, where the trained network is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from jtransfer.config import Config
from jtransfer.errors import TrainingDivergedError, UserError, WritingError
from jtransfer.pretrained.catalogue.locate import MODEL_FILE


@contextlib.contextmanager
def scoring_saved(folder: Path, config: Config) -> Iterator[None]:
    """Says of anything that goes wrong inside that the network is saved, and how to evaluate it without training.

    Args:
        folder: of the run, with the network in it.
        config: of the run.

    Raises:
        UserError: instead of the one that is raised inside; other exceptions pass, with a note.
    """
    how = how_to_go_on(config)
    with noted(f'the trained network is saved in {folder / MODEL_FILE}; {how} evaluates it without training again'):
        yield


def how_to_go_on(config: Config) -> str:
    """The command that goes on with a run."""
    return 'the same command' if config.train.resume == 'auto' else 'the same command with --config.train.resume=auto'


@contextlib.contextmanager
def checkpoints_saved(config: Config) -> Iterator[None]:
    """Says, where a disk is full or may not be written, how to go on from the last checkpoint that is whole.

    Args:
        config: of the run.

    Raises:
        WritingError: instead of the one that is raised inside; other exceptions pass.
    """
    try:
        yield
    except WritingError as error:
        raise WritingError(f'{error}; {how_to_go_on(config)} then goes on from the last checkpoint') from error


@contextlib.contextmanager
def diverged_saved(folder: Path, *, alone: bool) -> Iterator[None]:
    """Says of a run that diverged how it goes on from its last good state.

    Args:
        folder: of the run.
        alone: whether it is no run of a sweep, a search or a cross-validation, whose settings are those of others too.

    Raises:
        TrainingDivergedError: instead of the one that is raised inside; other exceptions pass.
    """
    try:
        yield
    except TrainingDivergedError as error:
        if not alone:
            raise
        how = f'--config.run_dir={folder} --config.train.resume=changed --config.optim.learning_rate=…'
        raise TrainingDivergedError(f'{error} The same command with {how} goes on from there.') from error


@contextlib.contextmanager
def page_of_finished(folder: Path) -> Iterator[None]:
    """Says of anything that goes wrong with a page that the run itself is finished; see `scoring_saved`."""
    with noted(f'{folder} is finished but for its page (report.html): the network and all figures are there'):
        yield


@contextlib.contextmanager
def noted(note: str) -> Iterator[None]:
    """Adds a note to whatever is raised inside: to the line of a `UserError`, below the traceback of anything else."""
    try:
        yield
    except UserError as error:
        raise type(error)(f'{error}; {note}') from error
    except Exception as error:
        error.add_note(note)
        raise
