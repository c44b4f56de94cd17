"""One typed experiment configuration: what can be set, what it means, and what may not be combined.

`configs/*.py` return a `Config` from `get_config()`; the launch scripts override fields by dotted flags
(`--config.optim.learning_rate=0.01`) and call `validate` before JAX starts. Nothing here imports JAX.
"""

import dataclasses
from typing import Any

from jtransfer import config_check as check
from jtransfer.errors import UserError

STRATEGIES = ('scratch', 'linear_probe', 'fine_tune')
OPTIMIZERS = ('adamw', 'sgd')
SCHEDULES = ('cosine', 'constant')


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
        options: fields of the backbone that these weights need otherwise than is known of them, `gelu=erf,eps=1e-5`.
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
    options: str = ''
    dtype: str = 'float32'
    drop_path: float = 0.0
    dropout: float = 0.0
    head_init: str = 'zeros'


@dataclasses.dataclass
class Data:
    """The images, their parts, and how they reach the device.

    Attributes:
        source: `digits` (scikit-learn's handwritten digits), `glyphs` (rendered letters and digits), `folder:PATH`
            (class sub-folders, with or without train/val/test above them) or `tfds:NAME` (a prepared TFDS data set).
        data_dir: where prepared TFDS data sets live. Empty: TFDS's own default.
        train_split: name (folder) or expression (TFDS, `train[:80%]`) of the training part. Empty: by convention.
        validation_split: the same for the part that chooses the best checkpoint.
        test_split: the same for the part that is reported once, at the end.
        validation_fraction: share of the examples held out for validation when the source has no such part, [0, 1).
        test_fraction: share held out for testing when the source has no such part, in [0, 1).
        examples_per_class: few-shot: this many training images a class, drawn at random; of a source without a test
            part all that is left over becomes the test part. 0: all of them.
        split_seed: seed of the hold-out and few-shot draws. None: the configuration's `seed`.
        batch_size: images an optimiser update, over all devices and accumulation steps together.
        placement: `device` keeps the decoded images in device memory, `stream` decodes through Grain while training,
            `auto` takes `device` when they fit in `device_budget_mib`.
        device_budget_mib: the most device memory `auto` gives to images, MiB.
        workers: decoding processes (`stream`) or threads (`device`). 0: decode in the main process.
        skip_unreadable: leave unreadable images out, counted and listed, instead of stopping at the first.
        max_pixels: an image of more pixels is refused (decompression bomb).
    """

    source: str = 'digits'
    data_dir: str = ''
    train_split: str = ''
    validation_split: str = ''
    test_split: str = ''
    validation_fraction: float = 0.0
    test_fraction: float = 0.2
    examples_per_class: int = 0
    split_seed: int | None = None
    batch_size: int = 32
    placement: str = 'auto'
    device_budget_mib: int = 1024
    workers: int = 0
    skip_unreadable: bool = False
    max_pixels: int = 100_000_000


@dataclasses.dataclass
class Transfer:
    """Which parameters move, and how fast.

    Attributes:
        strategy: `scratch` (new random weights, everything trains), `linear_probe` (the head trains, the backbone is
            frozen, its normalisation statistics too) or `fine_tune` (everything trains from the pretrained weights).
        rules: ordered `(pattern, treatment)` pairs tried before those of the strategy; the pattern is matched
            against the whole '/'-joined parameter path (`re.fullmatch`), the treatment is `freeze`, `train`, or
            settings as in `learning_rate=0.1,weight_decay=0` (the first a factor on `optim.learning_rate`, the
            second replaces `optim.weight_decay`).
        backbone_learning_rate_scale: factor on the learning rate of the backbone under `fine_tune`, > 0; the other
            strategies have no use for it, so that a sweep may compare them with `fine_tune`.
    """

    strategy: str = 'fine_tune'
    rules: tuple[tuple[str, str], ...] = ()
    backbone_learning_rate_scale: float = 1.0


@dataclasses.dataclass
class Optim:
    """The optimiser, its schedule, and what happens to a gradient on the way.

    Attributes:
        name: `adamw` or `sgd` (with momentum).
        learning_rate: peak learning rate, > 0.
        schedule: after the warmup, `cosine` decay to zero or `constant`.
        warmup: share of the steps over which the learning rate rises linearly from zero, in [0, 1).
        weight_decay: decoupled decay, ≥ 0; of kernels only, never of biases, norms, tokens or position embeddings
            unless a rule says so.
        momentum: of `sgd`, in [0, 1).
        b1: decay of AdamW's first moment, in [0, 1).
        b2: decay of AdamW's second moment, in [0, 1).
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
    weight_decay: float = 0.01
    momentum: float = 0.9
    b1: float = 0.9
    b2: float = 0.999
    clip_norm: float = 1.0
    accumulate_steps: int = 1
    ema_decay: float = 0.0
    label_smoothing: float = 0.0


@dataclasses.dataclass
class Augment:
    """Random changes to training images, drawn afresh for every image and epoch, on the device.

    Attributes:
        crop_scale: smallest and largest share of the picture's area that a random resized crop keeps, in (0, 1].
            (1, 1) together with a `crop_ratio` of (1, 1): no crop, training pictures are framed as for evaluation.
        crop_ratio: smallest and largest width-to-height ratio of the crop, > 0.
        horizontal_flip: probability, in [0, 1].
        vertical_flip: probability, in [0, 1].
        brightness: largest relative change, ≥ 0: the factor is drawn from [max(0, 1 - b), 1 + b].
        contrast: likewise.
        saturation: likewise.
        hue: largest shift around the colour circle, as a share of the circle, in [0, 0.5].
    """

    crop_scale: tuple[float, float] = (1.0, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    @property
    def crops(self) -> bool:
        """Whether training takes random crops, and so wants the whole picture."""
        return tuple(self.crop_scale) != (1.0, 1.0) or tuple(self.crop_ratio) != (1.0, 1.0)


@dataclasses.dataclass
class Train:
    """How long, on what, and what is written on the way.

    Attributes:
        epochs: passes over the training examples. 0: `steps` says how long.
        steps: optimiser updates. 0: `epochs` says how long. Exactly one of the two is set.
        placement: `jit` over a mesh of all local devices, or `pmap`; the numbers are the same.
        log_every: steps between two lines of metrics, ≥ 1.
        evaluate_every: steps between two evaluations on the validation part. 0: ten times in the run.
        checkpoint_every: steps between two checkpoints. 0: ten times in the run.
        resume: `never` starts anew, `auto` continues the unfinished run of this very configuration, if there is one.
        tensorboard: write TensorBoard events beside the JSON lines.
        progress: show a progress bar.
    """

    epochs: float = 0.0
    steps: int = 0
    placement: str = 'jit'
    log_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 0
    resume: str = 'never'
    tensorboard: bool = True
    progress: bool = True


@dataclasses.dataclass
class Evaluate:
    """What is measured at the end, and shown.

    Attributes:
        batch_size: images a forward pass.
        confidence: of the accuracy's interval (Wilson), in (0, 1).
        calibration_bins: equal-width confidence bins of the expected calibration error.
        most_wrong: how many of the most confidently wrong images the report shows.
    """

    batch_size: int = 256
    confidence: float = 0.95
    calibration_bins: int = 15
    most_wrong: int = 24


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
    augment: Augment = dataclasses.field(default_factory=Augment)
    train: Train = dataclasses.field(default_factory=Train)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)


def validate(config: Config) -> Config:
    """Returns the configuration with its values checked and brought to their declared types.

    Raises:
        UserError: an unknown value, a number out of range, or fields that contradict each other; names the field.
    """
    config = check.coerce(config)
    model, data, transfer, optim = config.model, config.data, config.transfer, config.optim
    if config.name in ('', '.', '..') or set('/\\') & set(config.name):
        raise UserError(f'name={config.name!r} must be fit for naming a directory: not empty, no slashes')
    check.at_least('seed', config.seed, 0)
    if config.seed >= 2**32:
        raise UserError(f'seed={config.seed} must be below 2**32')
    check.one_of('model.dtype', model.dtype, ('float32', 'bfloat16'))
    check.one_of('model.head_init', model.head_init, ('zeros', 'normal'))
    check.at_least('model.image_size', model.image_size, 0)
    check.at_least('model.image_width', model.image_width, 0)
    check.parse_options(model.options)
    if model.image_width and not model.image_size:
        raise UserError('model.image_width needs model.image_size, the height')
    if model.input_channels not in (0, 1, 3):
        raise UserError(f'model.input_channels={model.input_channels} must be 3, 1 (grey) or 0 (as the checkpoint)')
    check.fraction('model.drop_path', model.drop_path)
    check.fraction('model.dropout', model.dropout)
    if not model.checkpoint and not model.name:
        raise UserError('model.checkpoint and model.name are both empty: name the weights or the architecture')

    check.fraction('data.validation_fraction', data.validation_fraction)
    check.fraction('data.test_fraction', data.test_fraction)
    if data.validation_fraction + data.test_fraction >= 1:
        raise UserError('data.validation_fraction + data.test_fraction must leave examples to train on (be below 1)')
    for name in ('examples_per_class', 'workers'):
        check.at_least(f'data.{name}', getattr(data, name), 0)
    for name in ('batch_size', 'device_budget_mib', 'max_pixels'):
        check.at_least(f'data.{name}', getattr(data, name), 1)
    if data.split_seed is not None:
        check.at_least('data.split_seed', data.split_seed, 0)
    check.one_of('data.placement', data.placement, ('auto', 'device', 'stream'))

    check.one_of('transfer.strategy', transfer.strategy, STRATEGIES)
    check.above('transfer.backbone_learning_rate_scale', transfer.backbone_learning_rate_scale, 0)
    if not model.checkpoint and transfer.strategy == 'linear_probe':
        raise UserError('transfer.strategy=linear_probe needs pretrained weights: set model.checkpoint')
    if not model.checkpoint and transfer.strategy == 'fine_tune':
        raise UserError(
            'transfer.strategy=fine_tune needs pretrained weights: set model.checkpoint, or transfer.strategy=scratch'
        )

    check.one_of('optim.name', optim.name, OPTIMIZERS)
    check.one_of('optim.schedule', optim.schedule, SCHEDULES)
    check.above('optim.learning_rate', optim.learning_rate, 0)
    for name in ('weight_decay', 'clip_norm'):
        check.at_least(f'optim.{name}', getattr(optim, name), 0)
    for name in ('warmup', 'momentum', 'b1', 'b2', 'ema_decay', 'label_smoothing'):
        check.fraction(f'optim.{name}', getattr(optim, name))
    check.at_least('optim.accumulate_steps', optim.accumulate_steps, 1)
    if data.batch_size % optim.accumulate_steps:
        raise UserError(
            f'optim.accumulate_steps={optim.accumulate_steps} does not divide data.batch_size={data.batch_size}'
        )

    _validate_augment(config.augment)
    _validate_train(config.train)
    check.at_least('evaluate.batch_size', config.evaluate.batch_size, 1)
    check.at_least('evaluate.calibration_bins', config.evaluate.calibration_bins, 1)
    check.at_least('evaluate.most_wrong', config.evaluate.most_wrong, 0)
    if not 0 < config.evaluate.confidence < 1:
        raise UserError(f'evaluate.confidence={config.evaluate.confidence} must be between 0 and 1')
    return config


def _validate_augment(augment: Augment) -> None:
    for name in ('crop_scale', 'crop_ratio'):
        low, high = getattr(augment, name)
        if not 0 < low <= high:
            raise UserError(f'augment.{name}=({low}, {high}) must be two numbers, 0 < first <= second')
    if augment.crop_scale[1] > 1:
        raise UserError(f'augment.crop_scale={augment.crop_scale} must not go above 1, the whole picture')
    for name, high in (('horizontal_flip', 1.0), ('vertical_flip', 1.0), ('hue', 0.5)):
        value = getattr(augment, name)
        if not 0 <= value <= high:
            raise UserError(f'augment.{name}={value} must be between 0 and {high:g}')
    for name in ('brightness', 'contrast', 'saturation'):
        check.at_least(f'augment.{name}', getattr(augment, name), 0)


def _validate_train(train: Train) -> None:
    check.at_least('train.epochs', train.epochs, 0)
    check.at_least('train.steps', train.steps, 0)
    if (train.epochs > 0) == (train.steps > 0):
        raise UserError('set exactly one of train.epochs and train.steps (the other stays 0)')
    check.one_of('train.placement', train.placement, ('jit', 'pmap'))
    check.one_of('train.resume', train.resume, ('never', 'auto'))
    check.at_least('train.log_every', train.log_every, 1)
    check.at_least('train.evaluate_every', train.evaluate_every, 0)
    check.at_least('train.checkpoint_every', train.checkpoint_every, 0)


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain values (tuples stay tuples)."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
    """The configuration that `to_dict` (or its JSON) describes; absent fields keep their defaults.

    Raises:
        UserError: a field that does not exist (the message has the nearest name) or a value of the wrong type.
    """
    return check.build(Config, values)


def replace(config: Config, field: str, value: Any) -> Config:
    """A copy of the configuration with one dotted field changed; `value` may be text, as on the command line.

    Raises:
        UserError: the field does not exist (the message has the nearest name) or the value does not fit its type.
    """
    return check.replace(config, field, value)
