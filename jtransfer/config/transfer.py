"""The part of the configuration that says which parameters move, how fast, and what is added to the network."""

import dataclasses

from jtransfer import checks
from jtransfer.config.part import Part
from jtransfer.errors import UserError

# What is added to the network, by the strategy that trains it.
ADAPTATIONS = ('lora', 'adapter', 'prompt', 'ssf')
PHASED = ('lp_ft', 'gradual', 'one_then_all')
STRATEGIES = (
    *('scratch', 'linear_probe', 'fine_tune', 'norm_only', 'bitfit', 'surgical'),
    *PHASED,
    *ADAPTATIONS,
)
# Names of strategies that were added, see `transfer.strategies.add_strategy`.
_ADDED: list[str] = []


def strategies() -> tuple[str, ...]:
    """Names of all strategies."""
    return (*STRATEGIES, *_ADDED)


def take_strategy(name: str) -> None:
    """Takes a name for that of a strategy from now on."""
    if name not in strategies():
        _ADDED.append(name)


@dataclasses.dataclass
class Transfer(Part):
    """Which parameters move, and how fast.

    A setting of another strategy than the chosen one is of no account, so that a sweep may compare strategies.

    Attributes:
        strategy: what trains beside the head.
            `scratch`: everything, from new random weights; settings for pretrained ones (a slower backbone, layer
            decay, frozen stages, pulls towards the source) are set aside, and a line says so.
            `linear_probe`: nothing, statistics included.
            `fine_tune`: everything, from the pretrained weights.
            `norm_only`: the scales and biases of the normalisations. `bitfit`: the biases (Ben Zaken et al., 2022).
            `surgical`: the stages and blocks of `blocks` (Lee et al., 2023).
            `lp_ft`: nothing at first, then everything (Kumar et al., 2022). `one_then_all`: as fastai's `fine_tune`,
            nothing for an epoch at twice the learning rate, then everything, at rates that rise from a hundredth at the
            first stage (where neither `stage_learning_rates` nor `layer_decay` say otherwise). `gradual`: stage after
            stage, from the head down (Howard and Ruder, 2018).
            `lora`, `adapter`, `prompt`, `ssf`: what is added to the network, see `adapters`.
            Or what `add_strategy` has made known.
        rules: ordered `(pattern, treatment)` pairs tried before those of the strategy; the pattern is matched
            against the whole '/'-joined parameter path (`re.fullmatch`), the treatment is `freeze`, `train`, or
            settings as in `learning_rate=0.1,weight_decay=0,optimizer=sgd,schedule=constant,phase=1` (the first a
            factor on `optim.learning_rate`, the second replaces `optim.weight_decay`, the last says from which phase
            on they move).
        blocks: of `surgical`: stages, or blocks as `stage1/block0`, as they stand below `backbone/`.
        freeze_until: stages before this one stay frozen, and what was added to them. Empty: none.
        backbone_learning_rate_scale: factor on the learning rate of the backbone, > 0, where the strategy moves it; the
            others have no use for it, so that a sweep may compare them with `fine_tune`.
        stage_learning_rates: discriminative learning rates: `(stages, factor)` pairs, where stages is a pattern as
            `stem|stage1`; tried in order, a stage that none covers has factor 1.
        layer_decay: factor on the learning rate for every layer further from the head, in (0, 1] (BEiT, MAE: 0.65 to
            0.75). Rules of one's own have the factors that they state.
        batch_norm: `follow`: what is frozen whole uses running statistics, the rest those of the batch. `evaluate`:
            running statistics everywhere. `train`: all of the network runs in training mode, frozen or not.
        frozen_dtype: type in which frozen kernels are kept, `float32` or `bfloat16`.
        first_phase: share of the steps before phase 1 begins, in [0, 1); later phases divide the rest evenly. Every
            phase then has its own schedule, warmup included (`gradual` has one schedule in all). 0: 0.3, or one epoch
            with `one_then_all`.
        first_learning_rate_scale: factor on the learning rate in phase 0, ≥ 0. 0: 1, or 2 with `one_then_all`.
        unfreeze_every: steps between two stages of `gradual`. 0: the next one when validation stalls.
        unfreeze_patience: of `gradual`: evaluations without a better score after which validation stalls, ≥ 1.
        unfreeze_warmup: of `gradual`: steps over which the learning rate of newly unfrozen parameters rises, ≥ 0.
        l2_sp: weight of half the squared distance of the backbone's trained parameters from their pretrained values in
            what is minimised (Li et al., 2018), ≥ 0. Takes the place of their weight decay, unless a rule names one.
        l2_sp_head: weight of half the squared norm of the other trained parameters in it (the paper's beta), ≥ 0.
        decay_to_source: decoupled decay of the backbone's trained parameters towards their pretrained values, ≥ 0:
            every update goes the learning rate times this share of the way. It replaces weight decay likewise.
        distill: weight of the mean squared difference from the features of the frozen source, ≥ 0. The source is in
            evaluation mode, the network as it trains: with batch statistics they differ from the start.
        distill_features: which ones: stages, or `pooled`.
    """

    strategy: str = 'fine_tune'
    rules: tuple[tuple[str, str], ...] = ()
    blocks: tuple[str, ...] = ()
    freeze_until: str = ''
    backbone_learning_rate_scale: float = 1.0
    stage_learning_rates: tuple[tuple[str, float], ...] = ()
    layer_decay: float = 1.0
    batch_norm: str = 'follow'
    frozen_dtype: str = 'float32'
    first_phase: float = 0.0
    first_learning_rate_scale: float = 0.0
    unfreeze_every: int = 0
    unfreeze_patience: int = 2
    unfreeze_warmup: int = 10
    l2_sp: float = 0.0
    l2_sp_head: float = 0.0
    decay_to_source: float = 0.0
    distill: float = 0.0
    distill_features: tuple[str, ...] = ('pooled',)

    def check(self, where: str) -> None:
        """As `Part.check`."""
        checks.one_of(f'{where}strategy', self.strategy, strategies())
        for name in ('backbone_learning_rate_scale', 'layer_decay'):
            checks.above(f'{where}{name}', getattr(self, name), 0)
        if self.layer_decay > 1:
            raise UserError(f'{where}layer_decay={self.layer_decay} must be at most 1, which is no decay')
        checks.fraction(f'{where}first_phase', self.first_phase)
        for name in (
            *('l2_sp', 'l2_sp_head', 'decay_to_source', 'distill'),
            *('unfreeze_every', 'unfreeze_warmup', 'first_learning_rate_scale'),
        ):
            checks.at_least(f'{where}{name}', getattr(self, name), 0)
        checks.at_least(f'{where}unfreeze_patience', self.unfreeze_patience, 1)
        checks.one_of(f'{where}batch_norm', self.batch_norm, ('follow', 'evaluate', 'train'))
        checks.one_of(f'{where}frozen_dtype', self.frozen_dtype, ('float32', 'bfloat16'))
        for stages, factor in self.stage_learning_rates:
            checks.above(f'{where}stage_learning_rates: the factor of {stages!r}', factor, 0)
        if self.strategy == 'surgical' and not self.blocks:
            raise UserError(f'{where}strategy=surgical needs {where}blocks, the stages or blocks that train')
        if self.strategy != 'surgical' and self.blocks:
            raise UserError(f'{where}blocks is for {where}strategy=surgical, not {self.strategy}')
        if self.distill and not self.distill_features:
            raise UserError(f'{where}distill needs {where}distill_features, stages or pooled')


@dataclasses.dataclass
class Adapters(Part):
    """What the strategies `lora`, `adapter`, `prompt` and `ssf` add to the network.

    Targets are patterns matched against the whole '/'-joined path (`re.fullmatch`); empty: the family's usual ones.

    Attributes:
        lora_rank: of the low-rank updates (Hu et al., 2022), ≥ 1.
        lora_alpha: the update is scaled by alpha / rank. 0: alpha = rank.
        lora_targets: kernels, as `backbone/.*/attn/(query|value)/kernel`. Empty: those, or every convolution.
        adapter_dim: width of the bottleneck, ≥ 1.
        adapter_kind: `parallel` (beside the MLP; AdaptFormer, Chen et al., 2022) or `sequential` (behind; Houlsby et
            al., 2019).
        adapter_scale: factor on what a bottleneck adds, > 0.
        adapter_targets: modules, as `backbone/block\\d+/mlp`. Empty: the MLPs, or the blocks of a convolutional
            network.
        prompt_tokens: number of prompts a block, ≥ 1 (VPT, Jia et al., 2022).
        prompt_kind: `shallow` (before the first block) or `deep` (anew before every block).
        ssf_targets: modules whose outputs are scaled and shifted (Lian et al., 2022). Empty: every normalisation, dense
            layer and convolution below `backbone`.
    """

    lora_rank: int = 8
    lora_alpha: float = 0.0
    lora_targets: tuple[str, ...] = ()
    adapter_dim: int = 16
    adapter_kind: str = 'parallel'
    adapter_scale: float = 0.1
    adapter_targets: tuple[str, ...] = ()
    prompt_tokens: int = 10
    prompt_kind: str = 'deep'
    ssf_targets: tuple[str, ...] = ()

    def check(self, where: str) -> None:
        """As `Part.check`."""
        for name in ('lora_rank', 'adapter_dim', 'prompt_tokens'):
            checks.at_least(f'{where}{name}', getattr(self, name), 1)
        checks.at_least(f'{where}lora_alpha', self.lora_alpha, 0)
        checks.above(f'{where}adapter_scale', self.adapter_scale, 0)
        checks.one_of(f'{where}adapter_kind', self.adapter_kind, ('parallel', 'sequential'))
        checks.one_of(f'{where}prompt_kind', self.prompt_kind, ('shallow', 'deep'))
