"""The part of the configuration that says how long training lasts, and what it writes on the way."""

import dataclasses

from jtransfer import checks
from jtransfer.config.part import Part
from jtransfer.errors import UserError


@dataclasses.dataclass
class Train(Part):
    """How long, on what, and what is written on the way.

    Attributes:
        epochs: passes over the training examples. 0: `steps` says how long.
        steps: optimiser updates. 0: `epochs` says how long. Exactly one of the two is set.
        stop_step: end after this many updates, the schedule remaining that of the whole length. 0: at its end.
        placement: `jit` over a mesh of all local devices, or `pmap`; the numbers are the same.
        log_every: steps between two lines of metrics, ≥ 1.
        evaluate_every: steps between two evaluations on the validation part. 0: ten times in the run.
        checkpoint_every: steps between two checkpoints. 0: ten times in the run.
        resume: `never` starts anew, `auto` continues the unfinished run of this very configuration, if there is one;
            `changed` continues that in `run_dir` from its last checkpoint with other values of `optim.learning_rate`,
            its schedule or `optim.clip_norm`, as after a divergence, and records what was changed.
        tensorboard: write TensorBoard events beside the JSON lines.
        progress: show a progress bar.
    """

    epochs: float = 0.0
    steps: int = 0
    stop_step: int = 0
    placement: str = 'jit'
    log_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 0
    resume: str = 'never'
    tensorboard: bool = True
    progress: bool = True

    def check(self, where: str) -> None:
        """As `Part.check`; that there is a length at all is for those who train, see `check_length`."""
        checks.at_least(f'{where}epochs', self.epochs, 0)
        checks.at_least(f'{where}steps', self.steps, 0)
        checks.at_least(f'{where}stop_step', self.stop_step, 0)
        if self.epochs and self.steps:
            self.check_length(where)
        checks.one_of(f'{where}placement', self.placement, ('jit', 'pmap'))
        checks.one_of(f'{where}resume', self.resume, ('never', 'auto', 'changed'))
        checks.at_least(f'{where}log_every', self.log_every, 1)
        checks.at_least(f'{where}evaluate_every', self.evaluate_every, 0)
        checks.at_least(f'{where}checkpoint_every', self.checkpoint_every, 0)

    def check_length(self, where: str) -> None:
        """Raises `UserError` unless it is known how long training lasts."""
        if (self.epochs > 0) == (self.steps > 0):
            raise UserError(f'set exactly one of {where}epochs and {where}steps (the other stays 0)')
