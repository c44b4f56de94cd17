"""One typed experiment configuration: what can be set, what it means, and what may not be combined.

`configs/*.py` return a `Config` from `get_config()`; the launch scripts override fields by dotted flags
(`--config.optim.learning_rate=0.01`) and call `validate` before JAX starts. Nothing here imports JAX.
"""

import dataclasses
from typing import Any

from jtransfer import checks
from jtransfer.config import fields
from jtransfer.config.augment import Augment, validate_augment
from jtransfer.config.crossval import CrossVal, validate_crossval
from jtransfer.config.data import Data, validate_data
from jtransfer.config.evaluate import Evaluate, validate_evaluate
from jtransfer.config.optim import Loss, Optim, validate_loss, validate_optim
from jtransfer.config.search import Search, validate_search
from jtransfer.config.transfer import Adapters, Transfer, validate_adapters, validate_transfer
from jtransfer.errors import UserError


@dataclasses.dataclass
class Model:
    """The network and the weights it starts from.

    Attributes:
        checkpoint: where the weights come from: a catalogue name (`timm/resnet50.a1_in1k`; `python -m launch.models`
            lists them), `hf://OWNER/REPOSITORY`, a URL, a file of weights in any known format, or a run directory.
            Empty: random weights for the network `name`.
        name: the architecture (`resnet50`, `vit_s16`, …). Empty: the one the checkpoint is known to be of; a file of
            weights alone does not say.
        image_size: side of the square network input, or its height, pixels. 0: the checkpoint's, or the architecture's
            default.
        image_width: width of a network input that is not square, pixels. 0: square.
        input_channels: 3, or 1: pictures become grey, and the first kernel is summed over the colours. 0: the
            checkpoint's.
        checkpoint_classes: names of the outputs of the checkpoint's own head, where it does not state them: in its
            order between commas, or a file with one name a line. The head is kept when they are the classes of the
            data. Empty: as the checkpoint states them.
        options: fields of the backbone that these weights need otherwise than is known of them, `gelu=erf,eps=1e-5`.
        preprocessing: fields of `jtransfer.preprocessing.Preprocessing` that these weights need otherwise than the
            checkpoint says, or where it says nothing: `interpolation=bilinear,crop_fraction=0.875,mean=0.5,std=0.5`.
        dtype: computation type, `float32` or `bfloat16`; parameters stay float32.
        drop_path: largest stochastic-depth probability, reached at the last block, in [0, 1).
        dropout: dropout probability before the head, in [0, 1).
        head_init: how a new head starts: `zeros` or `normal` (truncated, standard deviation 0.02).
    """

    checkpoint: str = ''
    name: str = ''
    image_size: int = 0
    image_width: int = 0
    input_channels: int = 0
    checkpoint_classes: str = ''
    options: str = ''
    preprocessing: str = ''
    dtype: str = 'float32'
    drop_path: float = 0.0
    dropout: float = 0.0
    head_init: str = 'zeros'


@dataclasses.dataclass
class Train:
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


@dataclasses.dataclass
class Config:
    """A whole experiment.

    Attributes:
        name: names the run directory and the report.
        run_dir: where the run is written. Empty: `runs/NAME`, or `runs/NAME-2`, … when that exists.
        seed: of the weights, the order, the augmentation and (unless `data.split_seed` is set) the split; 0 to 2³² - 1.
    """

    name: str = 'finetune'
    run_dir: str = ''
    seed: int = 0
    model: Model = dataclasses.field(default_factory=Model)
    data: Data = dataclasses.field(default_factory=Data)
    transfer: Transfer = dataclasses.field(default_factory=Transfer)
    optim: Optim = dataclasses.field(default_factory=Optim)
    loss: Loss = dataclasses.field(default_factory=Loss)
    adapters: Adapters = dataclasses.field(default_factory=Adapters)
    augment: Augment = dataclasses.field(default_factory=Augment)
    train: Train = dataclasses.field(default_factory=Train)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    crossval: CrossVal = dataclasses.field(default_factory=CrossVal)
    search: Search = dataclasses.field(default_factory=Search)


def validate(config: Config) -> Config:
    """Returns the configuration with its values checked and brought to their declared types.

    Raises:
        UserError: an unknown value, a number out of range, or fields that contradict each other; names the field.
    """
    config = fields.coerce(config)
    fields.not_too_large(config)
    model, data, transfer, optim = config.model, config.data, config.transfer, config.optim
    if config.name in ('', '.', '..') or set('/\\') & set(config.name):
        raise UserError(f'name={config.name!r} must be fit for naming a directory: not empty, no slashes')
    checks.at_least('seed', config.seed, 0)
    if config.seed >= 2**32:
        raise UserError(f'seed={config.seed} must be below 2**32')
    checks.one_of('model.dtype', model.dtype, ('float32', 'bfloat16'))
    checks.one_of('model.head_init', model.head_init, ('zeros', 'normal'))
    checks.at_least('model.image_size', model.image_size, 0)
    checks.at_least('model.image_width', model.image_width, 0)
    fields.parse_options(model.options)
    fields.parse_options(model.preprocessing)
    if model.image_width and not model.image_size:
        raise UserError('model.image_width needs model.image_size, the height')
    if model.input_channels not in (0, 1, 3):
        raise UserError(f'model.input_channels={model.input_channels} must be 3, 1 (grey) or 0 (as the checkpoint)')
    checks.fraction('model.drop_path', model.drop_path)
    checks.fraction('model.dropout', model.dropout)
    if model.checkpoint_classes and not model.checkpoint:
        raise UserError("model.checkpoint_classes names the classes of a checkpoint's head: name model.checkpoint too")
    if not model.checkpoint and not model.name:
        raise UserError('model.checkpoint and model.name are both empty: name the weights or the architecture')

    validate_data(data)
    validated = data.validation_fraction > 0 or data.source not in ('digits', 'glyphs')
    validate_transfer(transfer, pretrained=bool(model.checkpoint), validated=validated)
    validate_adapters(config.adapters)
    validate_optim(optim)
    validate_loss(config.loss)
    if optim.label_smoothing and config.loss.name in ('mse', 'huber'):
        raise UserError(f'optim.label_smoothing is for classes, and loss.name={config.loss.name} for numbers')
    if data.batch_size % optim.accumulate_steps:
        raise UserError(
            f'optim.accumulate_steps={optim.accumulate_steps} does not divide data.batch_size={data.batch_size}'
        )

    validate_augment(config.augment)
    _validate_train(config.train)
    validate_evaluate(config.evaluate)
    validate_crossval(config.crossval)
    validate_search(config.search)
    return config


def _validate_train(train: Train) -> None:
    checks.at_least('train.epochs', train.epochs, 0)
    checks.at_least('train.steps', train.steps, 0)
    checks.at_least('train.stop_step', train.stop_step, 0)
    if (train.epochs > 0) == (train.steps > 0):
        raise UserError('set exactly one of train.epochs and train.steps (the other stays 0)')
    checks.one_of('train.placement', train.placement, ('jit', 'pmap'))
    checks.one_of('train.resume', train.resume, ('never', 'auto', 'changed'))
    checks.at_least('train.log_every', train.log_every, 1)
    checks.at_least('train.evaluate_every', train.evaluate_every, 0)
    checks.at_least('train.checkpoint_every', train.checkpoint_every, 0)


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain values (tuples stay tuples)."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
    """The configuration that `to_dict` (or its JSON) describes; absent fields keep their defaults.

    Raises:
        UserError: a field that does not exist (the message has the nearest name) or a value of the wrong type.
    """
    return fields.build(Config, values)


def replace(config: Config, field: str, value: Any) -> Config:
    """A copy of the configuration with one dotted field changed; `value` may be text, as on the command line.

    Raises:
        UserError: the field does not exist (the message has the nearest name) or the value does not fit its type.
    """
    return fields.replace(config, field, value)
