"""One typed experiment configuration: what can be set, what it means, and what may not be combined.

`configs/*.py` return a `Config` from `get_config()`; the launch scripts override fields by dotted flags
(`--config.optim.learning_rate=0.01`) and call `validate` before JAX starts. Nothing here imports JAX.
"""

import dataclasses
from typing import Any

from jtransfer import checks
from jtransfer.config import fields
from jtransfer.config.augment import Augment
from jtransfer.config.crossval import CrossVal
from jtransfer.config.data import Data
from jtransfer.config.evaluate import Evaluate
from jtransfer.config.model import Model
from jtransfer.config.optim import Loss, Optim
from jtransfer.config.part import Part
from jtransfer.config.search import Search
from jtransfer.config.train import Train
from jtransfer.config.transfer import Adapters, Transfer
from jtransfer.errors import UserError


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

    @property
    def split_seed(self) -> int:
        """The seed of the draws that divide the data, unless folds have one of their own."""
        return self.seed if self.data.split_seed is None else self.data.split_seed


def validate(config: Config) -> Config:
    """Returns the configuration of an experiment with its values checked and brought to their declared types.

    Raises:
        UserError: an unknown value, a number out of range, or fields that contradict each other; names the field.
    """
    config = validate_parts(config)
    check_start(config.model, config.transfer)
    check_waiting(config.transfer, config.data)
    check_training(config.train, config.optim, config.loss, config.data)
    return config


def validate_parts(config: Config) -> Config:
    """The same of every part by itself, for whoever makes use of some of them; together these are checked below.

    Raises:
        UserError: a value of another type, or one that cannot be whatever the other parts say; names the field.
    """
    config = fields.coerce(config)
    fields.not_too_large(config)
    if config.name in ('', '.', '..') or set('/\\') & set(config.name):
        raise UserError(f'name={config.name!r} must be fit for naming a directory: not empty, no slashes')
    checks.seed('seed', config.seed)
    for field in dataclasses.fields(config):
        part = getattr(config, field.name)
        if isinstance(part, Part):
            part.check(f'{field.name}.')
    return config


def check_start(model: Model, transfer: Transfer) -> None:
    """Raises `UserError` unless there is a network to start from, with weights where the strategy needs them."""
    if not model.checkpoint and not model.name:
        raise UserError('model.checkpoint and model.name are both empty: name the weights or the architecture')
    if transfer.strategy != 'scratch' and not model.checkpoint:
        other = ', or transfer.strategy=scratch' if transfer.strategy == 'fine_tune' else ''
        raise UserError(f'transfer.strategy={transfer.strategy} needs pretrained weights: set model.checkpoint{other}')


def check_waiting(transfer: Transfer, data: Data) -> None:
    """Raises `UserError` where stages wait for a validation that, as far as the source is known, never comes."""
    validated = data.validation_fraction > 0 or data.source not in ('digits', 'glyphs')
    if transfer.strategy == 'gradual' and not transfer.unfreeze_every and not validated:
        raise UserError(
            'transfer.strategy=gradual unfreezes when validation stalls: set data.validation_fraction, or '
            'transfer.unfreeze_every, a number of steps'
        )


def check_training(train: Train, optim: Optim, loss: Loss, data: Data) -> None:
    """Raises `UserError` where a training, of whatever network, has no length, or a loss or batches that cannot be."""
    if optim.label_smoothing and loss.name in ('mse', 'huber'):
        raise UserError(f'optim.label_smoothing is for classes, and loss.name={loss.name} for numbers')
    if data.batch_size % optim.accumulate_steps:
        raise UserError(
            f'optim.accumulate_steps={optim.accumulate_steps} does not divide data.batch_size={data.batch_size}'
        )
    train.check_length('train.')


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
