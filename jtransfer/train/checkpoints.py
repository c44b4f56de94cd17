"""Checkpoints through Orbax: written in the background, the last and the best kept, under canonical names.

A checkpoint holds the whole `params` tree under the names of the network, whatever the plan, so that changing the
rules never changes the format; the moving average and the optimiser's state cover what trains.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jtransfer.better import rank
from jtransfer.errors import UserError, WritingError
from jtransfer.rules import flatten
from jtransfer.train.digests import ITEM, DamagedCheckpointError, DigestsSave, check_progress, check_state
from jtransfer.train.orbax_errors import begin_quiet, end_quiet
from jtransfer.train.state import TrainState
from jtransfer.transfer.plan import Plan, combine
from jtransfer.writing import make_folder, told_plainly

DAMAGED = 'damaged'
_MOST = 300  # letters of an error of Orbax


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a run has to remember beside its state.

    Attributes:
        best_score: the best validation score so far; None before the first evaluation, or without a validation part.
        best_step: the step it was reached at; of equal scores that of the lower loss, of equal losses the latest.
        starts: the steps after which the phases so far began.
        phase_score: the best validation score of this phase.
        stalled: evaluations since it was first reached: a score that stays the same has stalled, whatever its loss.
        best_loss: the validation loss at `best_step`; None where it is not known.
        pending: of a run that was stopped between two lines of its log: the metrics of the steps that no line has yet.
        seconds: that these steps took.
        due: it was stopped in the validation of this step, which is still to be made.
    """

    best_score: float | None = None
    best_step: int | None = None
    starts: tuple[int, ...] = (0,)
    phase_score: float | None = None
    stalled: int = 0
    best_loss: float | None = None
    pending: tuple[Mapping[str, float], ...] = ()
    seconds: float = 0.0
    due: bool = False

    def stopped(self, pending: Sequence[Mapping[str, float]], seconds: float, *, due: bool) -> Progress:
        """When a signal stops the run, wherever that is; see the attributes."""
        return dataclasses.replace(self, pending=tuple(pending), seconds=seconds if pending else 0.0, due=due)

    def on_time(self) -> Progress:
        """When what was pending and due has been taken up."""
        return dataclasses.replace(self, pending=(), seconds=0.0, due=False)

    def better(self, score: float, step: int, loss: float | None = None) -> bool:
        """Whether what was evaluated after a step is to be the best so far.

        Of equal scores the lower loss is better, and of equal losses the later step. What was evaluated up to the best
        step has been compared already: a resumed run may come by it again.
        """
        if self.best_score is None or self.best_step is None:
            return True
        return step > self.best_step and rank(score, loss) >= rank(self.best_score, self.best_loss)

    def after(self, score: float, step: int, loss: float | None = None) -> Progress:
        """After an evaluation."""
        gained = self.phase_score is None or score > self.phase_score
        best = {'best_score': score, 'best_step': step, 'best_loss': loss} if self.better(score, step, loss) else {}
        now = {'phase_score': score, 'stalled': 0} if gained else {'stalled': self.stalled + 1}
        return dataclasses.replace(self, **best, **now)  # type: ignore[arg-type]

    def with_best(self, other: Progress) -> Progress:
        """With what another remembers of the best evaluation."""
        best = {name: getattr(other, name) for name in ('best_score', 'best_step', 'best_loss')}
        return dataclasses.replace(self, **best)

    def next_phase(self, step: int) -> Progress:
        """When a phase begins after a step."""
        return dataclasses.replace(self, starts=(*self.starts, step), phase_score=None, stalled=0)


class Checkpoints:
    """The `last` and `best` checkpoints of a run, below one directory."""

    def __init__(self, directory: str | Path) -> None:
        """Args: directory: where they live; made when missing."""
        self.directory = make_folder(Path(directory).absolute())
        with told_plainly(self.directory):
            directory, self._link = _without_wildcards(self.directory)
            self._last = _manager(directory / 'last')
            self._best = _manager(directory / 'best')
        begin_quiet()
        self._failed = False
        self._digests: DigestsSave | None = None

    def save_last(self, state: TrainState, progress: Progress) -> None:
        """Starts writing the state; training may go on (and donate it) at once.

        Raises:
            WritingError: this checkpoint, or one before it, cannot be written; those that are whole stay.
        """
        # Whoever finds this checkpoint must also find the best one that it speaks of.
        with self._told():
            self._best.wait_until_finished()
        self._save(self._last, state, progress)

    def save_best(self, state: TrainState, progress: Progress) -> None:
        """Starts writing the state as the best one; see `save_last`."""
        self._save(self._best, state, progress)

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            WritingError: something could not be written.
        """
        with self._told():
            self._last.wait_until_finished()
            self._best.wait_until_finished()

    def close(self) -> None:
        """Waits, and frees the background threads.

        Raises:
            WritingError: something could not be written.
        """
        with contextlib.ExitStack() as closing:
            # What is still to come of a failed write comes when it likes.
            closing.callback(lambda: None if self._failed else end_quiet())
            if self._link is not None:
                closing.callback(self._link.cleanup)
            closing.callback(self._best.close)
            closing.callback(self._last.close)
            self.wait()

    @property
    def last_step(self) -> int | None:
        """The step of the last complete checkpoint."""
        return self._last.latest_step()

    @property
    def best_step(self) -> int | None:
        """The step of the best complete checkpoint."""
        return self._best.latest_step()

    def last_progress(self) -> Progress:
        """What the last complete checkpoint remembers."""
        return _read_progress(self._last)

    def best_progress(self) -> Progress:
        """What the checkpoint with the best validation score remembers."""
        return _read_progress(self._best)

    def restore_last(self, like: TrainState, plan: Plan) -> TrainState:
        """The last complete checkpoint, in the shape of a freshly made state of its phase."""
        return _restore(self._last, like, plan)

    def restore_best(self, like: TrainState, plan: Plan) -> TrainState:
        """The checkpoint with the best validation score, likewise."""
        return _restore(self._best, like, plan)

    def set_aside_last(self) -> Path:
        """Moves the last checkpoint, which is damaged, out of the way of those to come; says where it is now."""
        return self._set_aside(self._last)

    def set_aside_best(self) -> Path:
        """Moves the best checkpoint out of the way, likewise."""
        return self._set_aside(self._best)

    def _set_aside(self, manager: ocp.CheckpointManager) -> Path:
        step, folder = str(_latest(manager)), make_folder(self.directory / DAMAGED)
        name = f'{_place(manager).name}-{step}'
        taken = sum(path.name.startswith(name) for path in folder.iterdir())
        aside = folder / (f'{name}-{taken + 1}' if taken else name)
        with told_plainly(aside):
            (_place(manager) / step).rename(aside)
        manager.reload()
        return aside

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with told_plainly(self.directory):
                yield
        except WritingError:
            self._failed = True
            if self._digests is not None:
                self._digests.settle()
            raise

    def _save(self, manager: ocp.CheckpointManager, state: TrainState, progress: Progress) -> None:
        # A run killed between its best checkpoint and its last one comes by that step again, with the same state.
        if int(state.step) in manager.all_steps():
            return
        # Copies: the next step donates these buffers, and on a CPU NumPy would otherwise look into them.
        tree, values = jax.tree.map(np.array, _to_tree(state)), dataclasses.asdict(progress)
        self._digests = DigestsSave(tree, values)
        with self._told():
            manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(tree),
                    progress=ocp.args.JsonSave(values),
                    **{ITEM: self._digests},
                ),
                force=True,
            )


def _manager(directory: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
    return ocp.CheckpointManager(directory, options=options)


def _without_wildcards(directory: Path) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """The directory by a name that Orbax does not take for a pattern, and the folder of the link that this needs.

    Under `runs/a[b]` it would not find the files that it has written, and leave a checkpoint without values.
    """
    if glob.escape(str(directory)) == str(directory):
        return directory, None
    folder = tempfile.TemporaryDirectory(prefix='jtransfer-')
    link = Path(folder.name) / 'checkpoints'
    link.symlink_to(directory, target_is_directory=True)
    return link, folder


def read_variables(directory: str | Path) -> tuple[dict[str, Any], int]:
    """The variables of the last checkpoint below a directory, without knowing the plan, and their step.

    The moving average takes the place of what it averages, as in evaluation.
    """
    directory, link = _without_wildcards(Path(directory).absolute())
    manager = ocp.CheckpointManager(directory / 'last', options=ocp.CheckpointManagerOptions(read_only=True))
    tree, step = _read(manager)
    manager.close()
    if link is not None:
        link.cleanup()
    params = combine(tree['params'], tree.get('ema') or {})
    return {'params': params, **(tree.get('model_state') or {})}, step


def _restore(manager: ocp.CheckpointManager, like: TrainState, plan: Plan) -> TrainState:
    tree, step = _read(manager)
    tree = _with_clipping(tree)
    if difference := _difference(tree, _to_tree(like)):
        raise UserError(f'the checkpoint {_place(manager)}/{step} does not fit this configuration: {difference}')
    return _from_tree(tree, like, plan)


def _read(manager: ocp.CheckpointManager) -> tuple[dict[str, Any], int]:
    step = _latest(manager)
    tree = _item(manager, step, state=ocp.args.StandardRestore())
    check_state(_place(manager) / str(step), tree)
    return tree, step


def _read_progress(manager: ocp.CheckpointManager) -> Progress:
    step = _latest(manager)
    found = _item(manager, step, progress=ocp.args.JsonRestore())
    try:
        check_progress(_place(manager) / str(step), found)
        # Of runs before a signal could stop them, nothing is pending.
        tuples = {'starts': tuple(found['starts']), 'pending': tuple(found.get('pending', ()))}
        return Progress(**{**found, **tuples})
    except (KeyError, TypeError) as error:
        raise _damaged(manager, step, error) from None


def _item(manager: ocp.CheckpointManager, step: int, **item: Any) -> Any:
    """An item of a checkpoint; whatever Orbax and what it is made of say of a damaged one is one line."""
    try:
        found = manager.restore(step, args=ocp.args.Composite(**item))[next(iter(item))]
    except (MemoryError, PermissionError):
        raise  # says nothing about what is on the disk
    except Exception as error:
        raise _damaged(manager, step, error) from None
    if not isinstance(found, dict):
        raise _damaged(manager, step, TypeError('it holds no names'))
    return found


def _damaged(manager: ocp.CheckpointManager, step: int, error: Exception) -> DamagedCheckpointError:
    # Of tensorstore's errors, the last words say which file and what; the first are many.
    said = ' '.join(str(error).split()) or type(error).__name__
    said = said if len(said) <= _MOST else f'{said[: _MOST // 2]} … {said[-_MOST // 2 :]}'
    return DamagedCheckpointError(f'the checkpoint {_place(manager)}/{step} is damaged: {said}')


def _latest(manager: ocp.CheckpointManager) -> int:
    step = manager.latest_step()
    if step is None:
        raise UserError(f'{_place(manager)} holds no complete checkpoint')
    return step


def _place(manager: ocp.CheckpointManager) -> Path:
    return Path(manager.directory).resolve()


def _with_clipping(tree: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint, by the names of now: once, an optimiser without clipping had no place for it in its chain."""
    place, found = '.inner_states', tree.get('opt_state', {})
    named = {name if f'[1]{place}' in name else name.replace(place, f'[1]{place}', 1): found[name] for name in found}
    return {**tree, 'opt_state': named}


def _difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """How a checkpoint differs from a state in its names and shapes, in words; empty when it does not."""
    # Orbax, asked for another shape than it finds, returns what it finds.
    causes = {
        'params': 'another network or number of classes',
        'model_state': 'another network',
        'opt_state': 'another plan or optimiser',
        'ema': 'another plan or optim.ema_decay',
    }
    for name, cause in causes.items():
        there, here = ({p: np.shape(x) for p, x in flatten(tree.get(name, {})).items()} for tree in (found, expected))
        for path in (*here, *there):
            if there.get(path) != here.get(path):
                return (
                    f'it was written with {cause} ({name} {path} is {there.get(path, "absent")} there, '
                    f'{here.get(path, "absent")} here)'
                )
    return ''


def _to_tree(state: TrainState) -> dict[str, Any]:
    tree = {
        'step': state.step,
        'params': combine(state.trainable, state.frozen),
        'opt_state': {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state.opt_state)},
    }
    if state.model_state:
        tree['model_state'] = state.model_state
    if state.ema is not None:
        tree['ema'] = state.ema
    return tree


def _from_tree(tree: Mapping[str, Any], like: TrainState, plan: Plan) -> TrainState:
    trainable, frozen = plan.split(tree['params'])
    structure = jax.tree.structure(like.opt_state)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(like.opt_state)]
    return TrainState(
        step=tree['step'],
        trainable=trainable,
        frozen=frozen,
        model_state=tree.get('model_state', {}),
        opt_state=jax.tree.unflatten(structure, [tree['opt_state'][name] for name in names]),
        ema=tree.get('ema'),
        source=like.source,
    )
