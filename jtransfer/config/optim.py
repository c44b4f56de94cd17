"""The part of the configuration that says what is minimised, and how."""

import dataclasses
from collections.abc import Iterable

from jtransfer import checks
from jtransfer.config.part import Part
from jtransfer.errors import UserError

OPTIMIZERS = ('adamw', 'sgd', 'lamb', 'lion', 'muon')
# Names of optimisers that were added, see `transfer.update_rules.add_optimizer`.
_ADDED: list[str] = []
SCHEDULES = ('cosine', 'linear', 'step', 'one_cycle', 'constant')
LOSSES = (
    'auto',
    *('cross_entropy', 'focal', 'binary', 'binary_sum'),
    *('mse', 'huber', 'generalized_cross_entropy', 'symmetric_cross_entropy'),
)
# Those of kinds of tasks that are defined outside the library, in the order in which they were met.
_FURTHER: dict[str, None] = {}


def add_losses(names: Iterable[str]) -> None:
    """Makes names of losses ones that `loss.name` may have, as a kind of task does with its own."""
    _FURTHER.update(dict.fromkeys(name for name in names if name not in LOSSES))


def optimizers() -> tuple[str, ...]:
    """Names of all optimisers."""
    return (*OPTIMIZERS, *_ADDED)


def take_optimizer(name: str) -> None:
    """Takes a name for that of an optimiser from now on."""
    if name not in optimizers():
        _ADDED.append(name)


@dataclasses.dataclass
class Optim(Part):
    """The optimiser, its schedule, and what happens to a gradient on the way.

    Attributes:
        name: `adamw`, `sgd` (with momentum), `lamb`, `lion`, `muon` (kernels of the backbone; AdamW for the rest),
            or what `add_optimizer` has made known.
        learning_rate: peak learning rate, > 0.
        schedule: after the warmup, `cosine` or `linear` decay to `final_learning_rate_scale`, `step` (times
            `step_factor` at each of `step_milestones`), `one_cycle` (Smith and Topin, 2018: cosines up, over the
            warmup, and down) or `constant`.
        warmup: share of the steps over which the learning rate rises linearly, from one step's worth, in [0, 1).
        final_learning_rate_scale: where `cosine` and `linear` end, as a share of the peak, in [0, 1].
        step_milestones: of `step`: shares of the run, rising, in (0, 1).
        step_factor: of `step`, in (0, 1].
        weight_decay: decay, ≥ 0, decoupled but for `sgd`, which adds it to the gradient; of kernels only, never of
            biases, norms, tokens or position embeddings unless a rule says so.
        momentum: of `sgd` and `muon`, in [0, 1).
        b1: decay of the first moment of AdamW, LAMB and Lion, in [0, 1).
        b2: decay of AdamW's and LAMB's second moment, and of Lion's first, in [0, 1).
        sam_rho: radius of sharpness-aware minimisation (Foret et al., 2021): the gradient is taken where a step of this
            length uphill ends, which takes a second pass. 0: off.
        clip_norm: the gradient of the trainable parameters is scaled down to this global norm. 0: no clipping.
        accumulate_steps: micro-batches a batch is split into; divides `data.batch_size`.
        ema_decay: decay of the exponential moving average of the trainable parameters, which is then what is
            evaluated and saved. 0: no average.
        label_smoothing: share of the target spread over all classes, in [0, 1).
    """

    name: str = 'adamw'
    learning_rate: float = 1e-3
    schedule: str = 'cosine'
    warmup: float = 0.1
    final_learning_rate_scale: float = 0.0
    step_milestones: tuple[float, ...] = (0.5, 0.75)
    step_factor: float = 0.1
    weight_decay: float = 0.01
    momentum: float = 0.9
    b1: float = 0.9
    b2: float = 0.999
    sam_rho: float = 0.0
    clip_norm: float = 1.0
    accumulate_steps: int = 1
    ema_decay: float = 0.0
    label_smoothing: float = 0.0

    def check(self, where: str) -> None:
        """As `Part.check`."""
        checks.one_of(f'{where}name', self.name, optimizers())
        checks.one_of(f'{where}schedule', self.schedule, SCHEDULES)
        checks.above(f'{where}learning_rate', self.learning_rate, 0)
        for name in ('weight_decay', 'clip_norm', 'sam_rho', 'final_learning_rate_scale'):
            checks.at_least(f'{where}{name}', getattr(self, name), 0)
        if self.final_learning_rate_scale > 1:
            raise UserError(f'{where}final_learning_rate_scale={self.final_learning_rate_scale} must be at most 1')
        for name in ('warmup', 'momentum', 'b1', 'b2', 'ema_decay', 'label_smoothing'):
            checks.fraction(f'{where}{name}', getattr(self, name))
        milestones = self.step_milestones
        if any(not 0 < share < 1 for share in milestones) or list(milestones) != sorted(set(milestones)):
            raise UserError(f'{where}step_milestones={milestones} must be rising shares of the run, between 0 and 1')
        if not 0 < self.step_factor <= 1:
            raise UserError(f'{where}step_factor={self.step_factor} must be above 0 and at most 1')
        checks.at_least(f'{where}accumulate_steps', self.accumulate_steps, 1)


@dataclasses.dataclass
class Loss(Part):
    """What is minimised.

    Attributes:
        name: `auto` (by the task: `cross_entropy` for one label an image, `binary` for several, `mse` for numbers),
            `cross_entropy` (hard or soft targets), `focal` (Lin et al., 2017), `binary` (a sigmoid a class, the mean
            over them; for several labels an image, and for one as in timm), `binary_sum` (their sum), `mse`, `huber`
            (for numbers), or, for noisy labels, `generalized_cross_entropy` (Zhang and Sabuncu, 2018) or
            `symmetric_cross_entropy` (Wang et al., 2019).
        class_weights: weight of the examples of every class, in their order, ≥ 0; the loss is their weighted mean.
            Empty: all count alike.
        class_balance: class weights from the training part alone: `inverse` (one over the number of examples) or
            `effective_number` (Cui et al., 2019: (1 - beta) / (1 - beta^n)), both with mean 1 over the classes. `none`:
            `class_weights` says.
        class_balance_beta: of `effective_number`, in [0, 1).
        focal_gamma: of `focal`, ≥ 0.
        binary_threshold: of `binary`: soft targets above it become 1, the others 0 (timm's target threshold). 0: they
            stay.
        huber_delta: of `huber`: where it turns from square to straight, > 0.
        generalized_q: of `generalized_cross_entropy`, in (0, 1].
        symmetric_alpha: weight of the cross-entropy in `symmetric_cross_entropy`, ≥ 0.
        symmetric_beta: weight of the reverse cross-entropy, ≥ 0.
    """

    name: str = 'auto'
    class_weights: tuple[float, ...] = ()
    class_balance: str = 'none'
    class_balance_beta: float = 0.999
    focal_gamma: float = 2.0
    binary_threshold: float = 0.0
    huber_delta: float = 1.0
    generalized_q: float = 0.7
    symmetric_alpha: float = 0.1
    symmetric_beta: float = 1.0

    def check(self, where: str) -> None:
        """As `Part.check`."""
        checks.one_of(f'{where}name', self.name, (*LOSSES, *_FURTHER))
        for name in ('focal_gamma', 'symmetric_alpha', 'symmetric_beta'):
            checks.at_least(f'{where}{name}', getattr(self, name), 0)
        checks.above(f'{where}huber_delta', self.huber_delta, 0)
        checks.fraction(f'{where}binary_threshold', self.binary_threshold)
        if not 0 < self.generalized_q <= 1:
            raise UserError(f'{where}generalized_q={self.generalized_q} must be above 0 and at most 1')
        for weight in self.class_weights:
            checks.at_least(f'{where}class_weights: each', weight, 0)
        if self.class_weights and not any(self.class_weights):
            raise UserError(f'{where}class_weights are all zero')
        checks.one_of(f'{where}class_balance', self.class_balance, ('none', 'inverse', 'effective_number'))
        checks.fraction(f'{where}class_balance_beta', self.class_balance_beta)
        if self.class_weights and self.class_balance != 'none':
            both = f'{where}class_weights and {where}class_balance={self.class_balance}'
            raise UserError(f'{both} both weigh classes: set one')
