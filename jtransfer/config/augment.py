"""Settings of augmentation, what they mean, and what may not be combined. Nothing here imports JAX."""

import dataclasses

from jtransfer import checks
from jtransfer.config.operations import FRAME, MIX, Operation, make_operation, parse_operation
from jtransfer.config.part import Part
from jtransfer.errors import UserError

SIZE_SCHEDULES = ('random', 'progressive')
# Frames that cut out of the whole picture, squashed to a square, instead of the picture that evaluation sees.
_WHOLE = ('random_resized_crop', 'random_square_crop')


@dataclasses.dataclass
class Augment(Part):
    """Random changes to training images, drawn afresh for every image and epoch, on the device.

    The frequent ones have fields. All others, and any order, are `operations`, which come after the fields' own.

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
        operations: named operations with their parameters, in order: `rotate(degrees=15, probability=0.5)`,
            `rand_augment(layers=2, magnitude=9)`, `random_erasing(0.25)`, `mixup_or_cutmix(mixup_alpha=0.8)`. The table
            of names is in docs/augment.md. A crop can only be the first, mixing only the last.
        repeats: repeated augmentation (Hoffer et al., 2020): how often an image is in a batch, each time augmented by
            another draw, ≥ 1. The number of steps stays, so that they see a `repeats`-th of the images.
        sizes: multi-scale training: sides of the square network input, pixels, of the steps; each is one compilation.
            Empty: the network's own size throughout.
        size_schedule: `random`, a size for every step; `progressive`, one after another, for equally many steps each.
    """

    crop_scale: tuple[float, float] = (1.0, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    operations: tuple[str, ...] = ()
    repeats: int = 1
    sizes: tuple[int, ...] = ()
    size_schedule: str = 'random'

    @property
    def crops(self) -> bool:
        """Whether training takes random crops, and so wants the whole picture."""
        return any(operation.name in _WHOLE for _, operation in self.steps())

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed with each other, and so their labels."""
        return any(operation.works_on == MIX for _, operation in self.steps())

    def steps(self) -> list[tuple[int, Operation]]:
        """Everything that is done, in order: the number of the stream of random draws it uses, and the operation.

        A crop comes first, whether fields or operations ask for it.

        Raises:
            UserError: an operation that does not exist, or a value out of its range.
        """
        return sorted(self.listed(), key=lambda step: step[1].works_on != FRAME)

    def listed(self) -> list[tuple[int, Operation]]:
        """The same as it is written: the fields' operations, then the others in their order."""
        steps = []
        if tuple(self.crop_scale) != (1.0, 1.0) or tuple(self.crop_ratio) != (1.0, 1.0):
            crop = {'scale': self.crop_scale, 'ratio': self.crop_ratio}
            steps.append((0, make_operation('random_resized_crop', crop, 'augment')))
        for stream, name in ((1, 'horizontal_flip'), (2, 'vertical_flip')):
            if getattr(self, name):
                steps.append((stream, make_operation(name, {'probability': getattr(self, name)}, 'augment')))
        jitter = {name: getattr(self, name) for name in ('brightness', 'contrast', 'saturation', 'hue')}
        if any(jitter.values()):
            steps.append((3, make_operation('color_jitter', jitter, 'augment')))
        parsed = [parse_operation(text, f'augment.operations[{i}]') for i, text in enumerate(self.operations)]
        return [*steps, *((4 + i, operation) for i, operation in enumerate(parsed))]

    def check(self, where: str) -> None:
        """As `Part.check`."""
        for name in ('crop_scale', 'crop_ratio'):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(f'{where}{name}=({low}, {high}) must be two numbers, 0 < first <= second')
        if self.crop_scale[1] > 1:
            raise UserError(f'{where}crop_scale={self.crop_scale} must not go above 1, the whole picture')
        for name, high in (('horizontal_flip', 1.0), ('vertical_flip', 1.0), ('hue', 0.5)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise UserError(f'{where}{name}={value} must be between 0 and {high:g}')
        for name in ('brightness', 'contrast', 'saturation'):
            checks.at_least(f'{where}{name}', getattr(self, name), 0)
        _check_order(f'{where}operations', [operation for _, operation in self.listed()], len(self.operations))
        checks.at_least(f'{where}repeats', self.repeats, 1)
        checks.one_of(f'{where}size_schedule', self.size_schedule, SIZE_SCHEDULES)
        for size in self.sizes:
            checks.at_least(f'{where}sizes', size, 1)


def _check_order(field: str, steps: list[Operation], listed: int) -> None:
    own = len(steps) - listed
    frames = [place for place, operation in enumerate(steps) if operation.works_on == FRAME]
    if frames[1:]:
        raise UserError(
            f'{field}: {steps[frames[1]].name} is a second crop, after {steps[frames[0]].name}: leave one '
            'out (augment.crop_scale and augment.crop_ratio ask for a random_resized_crop)'
        )
    if frames and frames[0] > own:
        raise UserError(
            f'{field}: {steps[frames[0]].name} must be the first: it cuts the picture that the others change'
        )
    mixing = [place for place, operation in enumerate(steps) if operation.works_on == MIX]
    if mixing[1:]:
        raise UserError(
            f'{field}: {steps[mixing[0]].name} and {steps[mixing[1]].name} both mix images; '
            'mixup_or_cutmix chooses between the two'
        )
    if mixing and mixing[0] != len(steps) - 1:
        raise UserError(f'{field}: {steps[mixing[0]].name} must be the last: what follows would mix no labels')
