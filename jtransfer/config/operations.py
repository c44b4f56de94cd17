"""Operations of augmentation as data: their names, parameters and ranges, and how one line of text names one.

`rotate(degrees=15, probability=0.5)` is an operation with two of its parameters set; the others keep their defaults.
Nothing here imports JAX.
"""

import ast
import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any

from jtransfer import checks
from jtransfer.errors import UserError

# What an operation does with a picture. Frames come first, mixing last.
FRAME, GEOMETRY, PIXELS, MIX = 'frame', 'geometry', 'pixels', 'mix'


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of an operation.

    Attributes:
        default: its value when it is not given.
        low: smallest value.
        high: largest value.
        words: the words it can be; then it is no number.
        single: what one number v means for a parameter of two, the ends from which a value is drawn: `symmetric`,
            (-v, v); `factor`, (max(0, 1 - v), 1 + v); `fixed`, (v, v).
    """

    default: Any
    low: float = -math.inf
    high: float = math.inf
    words: tuple[str, ...] = ()
    single: str = 'fixed'

    def fit(self, name: str, value: Any) -> Any:
        """The value in the parameter's form, or a `UserError` that names it."""
        if self.words:
            checks.one_of(name, value, self.words)
            return value
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise UserError(f'{name}={value!r} must be True or False')
            return value
        if isinstance(self.default, tuple):
            return self._ends(name, value)
        return self._number(name, value, whole=isinstance(self.default, int))

    def _ends(self, name: str, value: Any) -> tuple[float, float]:
        whole = isinstance(self.default[0], int)
        if isinstance(value, (tuple, list)):
            if len(value) != 2:
                raise UserError(f'{name}={value!r} must be one number or two, the ends of a range')
            low, high = (self._number(name, end, whole=whole) for end in value)
            if low > high:
                raise UserError(f'{name}=({low:g}, {high:g}) must be two numbers, first <= second')
            return low, high
        number = self._number(name, value, whole=whole, within=self.single == 'fixed')
        if self.single == 'fixed':
            return number, number
        if number < 0:
            raise UserError(f'{name}={number:g} must be at least 0, or two numbers, the ends of a range')
        low, high = (-number, number) if self.single == 'symmetric' else (max(0.0, 1 - number), 1 + number)
        if low < self.low or high > self.high:
            limits = f'between {self.low:g} and {self.high:g}'
            raise UserError(f'{name}={value} means ({low:g}, {high:g}), which must be {limits}: give the two ends')
        return low, high

    def _number(self, name: str, value: Any, *, whole: bool = False, within: bool = True) -> Any:
        kinds: Any = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            raise UserError(f'{name}={value!r} must be a {"whole number" if whole else "number"}')
        if within and not self.low <= value <= self.high:
            limits = f'between {self.low:g} and {self.high:g}'
            if math.isinf(self.high):
                limits = f'at least {self.low:g}'
            raise UserError(f'{name}={value} must be {limits}')
        return value if whole else float(value)


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is known of an operation by its name: what it works on, and its parameters in the order of positions."""

    works_on: str
    parameters: Mapping[str, Parameter]


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation with a value for each of its parameters.

    Attributes:
        name: which.
        values: by parameter, all of them.
    """

    name: str
    values: Mapping[str, Any]

    @property
    def works_on(self) -> str:
        """FRAME, GEOMETRY, PIXELS or MIX."""
        return OPERATIONS[self.name].works_on

    def __str__(self) -> str:
        """The operation as text, with every parameter: what `parse_operation` reads."""
        return f'{self.name}({", ".join(f"{key}={value!r}" for key, value in self.values.items())})'


_ALWAYS = Parameter(1.0, 0, 1)
_TINY = 1e-6


def _warp(**parameters: Parameter) -> Kind:
    resampling = Parameter('bilinear', words=('nearest', 'bilinear', 'bicubic'))
    grey = Parameter(0.0, 0, 255)
    return Kind(GEOMETRY, {**parameters, 'probability': _ALWAYS, 'interpolation': resampling, 'fill': grey})


def _pixels(probability: float = 1.0, **parameters: Parameter) -> Kind:
    return Kind(PIXELS, {**parameters, 'probability': Parameter(probability, 0, 1)})


def _policy(**parameters: Parameter) -> Kind:
    return Kind(PIXELS, {**parameters, 'probability': _ALWAYS})


def _factor(strength: float) -> Parameter:
    return Parameter((1 - strength, 1 + strength), 0, single='factor')


def _symmetric(value: float, limit: float = math.inf) -> Parameter:
    return Parameter((-value, value), -limit, limit, single='symmetric')


_STRENGTH = Parameter(0.0, 0)
_MODE = Parameter('batch', words=('batch', 'pair', 'element'))
_RESAMPLING = Parameter('bilinear', words=('nearest', 'bilinear', 'bicubic'))
_GREY = Parameter(128.0, 0, 255)

OPERATIONS: Mapping[str, Kind] = types.MappingProxyType(
    {
        # Frames: how the network's input is cut out of the picture. The values below are shares of its sides or area.
        'random_resized_crop': Kind(
            FRAME,
            {
                'scale': Parameter((0.08, 1.0), _TINY, 1),
                'ratio': Parameter((3 / 4, 4 / 3), _TINY),
                'interpolation': Parameter('network', words=('network', 'bilinear', 'bicubic')),
            },
        ),
        'random_square_crop': Kind(
            FRAME,
            {
                'fraction': Parameter(224 / 256, _TINY, 1),
                'interpolation': Parameter('network', words=('network', 'bilinear', 'bicubic')),
            },
        ),
        'random_crop': Kind(FRAME, {'padding': Parameter(4, 0), 'mode': Parameter('zero', words=('zero', 'reflect'))}),
        # Geometry: degrees counter-clockwise; shears as tangents; shares of the sides; magnification.
        'horizontal_flip': Kind(GEOMETRY, {'probability': Parameter(0.5, 0, 1)}),
        'vertical_flip': Kind(GEOMETRY, {'probability': Parameter(0.5, 0, 1)}),
        'rotate': _warp(degrees=_symmetric(30.0, 360)),
        'shear': _warp(x=_symmetric(0.3, 10), y=_symmetric(0.0, 10)),
        'translate': _warp(x=_symmetric(0.1, 1), y=_symmetric(0.1, 1)),
        'zoom': _warp(factor=Parameter((0.8, 1.25), 0.01, 100, single='factor')),
        'perspective': _warp(distortion=Parameter(0.5, 0, 1)),
        # Colour: factors of 1 change nothing; amounts are grey values of 0 to 255.
        'brightness': _pixels(factor=_factor(0.4)),
        'contrast': _pixels(factor=_factor(0.4)),
        'saturation': _pixels(factor=_factor(0.4)),
        'hue': _pixels(shift=_symmetric(0.1, 0.5)),
        'color_jitter': _pixels(
            brightness=Parameter(0.4, 0),
            contrast=Parameter(0.4, 0),
            saturation=Parameter(0.4, 0),
            hue=Parameter(0.0, 0, 0.5),
        ),
        'grayscale': _pixels(0.1),
        'gamma': _pixels(gamma=Parameter((0.7, 1.4), 0.01, 100)),
        'lighting': _pixels(std=Parameter(0.1, 0)),
        'posterize': _pixels(bits=Parameter((4, 8), 1, 8)),
        'solarize': _pixels(0.2, threshold=Parameter((128.0, 128.0), 0, 256)),
        'solarize_add': _pixels(amount=Parameter((0.0, 110.0), 0, 255), threshold=Parameter(128, 0, 256)),
        'equalize': _pixels(),
        'autocontrast': _pixels(),
        'invert': _pixels(0.1),
        'sharpness': _pixels(factor=_factor(0.9)),
        'gaussian_blur': _pixels(sigma=Parameter((0.1, 2.0), 0, 20)),
        'gaussian_noise': _pixels(std=Parameter((0.0, 10.0), 0, 255)),
        # Occlusion.
        'random_erasing': Kind(
            PIXELS,
            {
                'probability': Parameter(0.25, 0, 1),
                'area': Parameter((0.02, 1 / 3), _TINY, 1),
                'ratio': Parameter((0.3, 10 / 3), _TINY),
                'count': Parameter(1, 1, 64),
                'fill': Parameter('mean', words=('mean', 'noise', 'color')),
            },
        ),
        'cutout': _pixels(size=Parameter(16, 1)),
        'grid_mask': _pixels(
            distance=Parameter((96 / 224, 1.0), _TINY, 1), keep=Parameter(0.6, 0, 1), rotate=Parameter(False)
        ),
        # Policies: they draw their operations themselves, and work on 8-bit pictures.
        'rand_augment': _policy(
            layers=Parameter(2, 1, 16),
            magnitude=Parameter(9.0, 0, 10),
            std=_STRENGTH,
            op_probability=_ALWAYS,
            increasing=Parameter(True),
            interpolation=_RESAMPLING,
            fill=_GREY,
        ),
        'trivial_augment_wide': _policy(interpolation=_RESAMPLING, fill=_GREY),
        'auto_augment': _policy(
            policy=Parameter('imagenet', words=('imagenet', 'cifar10', 'svhn')), interpolation=_RESAMPLING, fill=_GREY
        ),
        'augmix': _policy(
            severity=Parameter(3, 1, 10),
            width=Parameter(3, 1, 16),
            depth=Parameter(-1, -1, 16),
            alpha=Parameter(1.0, _TINY),
            interpolation=_RESAMPLING,
            fill=_GREY,
        ),
        'three_augment': _policy(),
        'simple_augment': _policy(),
        # Mixing of pictures and their labels.
        'mixup': Kind(MIX, {'alpha': Parameter(0.8, _TINY), 'probability': _ALWAYS, 'mode': _MODE}),
        'cutmix': Kind(MIX, {'alpha': Parameter(1.0, _TINY), 'probability': _ALWAYS, 'mode': _MODE}),
        'mixup_or_cutmix': Kind(
            MIX,
            {
                'mixup_alpha': Parameter(0.8, _TINY),
                'cutmix_alpha': Parameter(1.0, _TINY),
                'switch_probability': Parameter(0.5, 0, 1),
                'probability': _ALWAYS,
                'mode': _MODE,
            },
        ),
    }
)


def parse_operation(text: str, field: str = 'operation') -> Operation:
    """The operation that a line of text names.

    Parameters are given by name, or by position in the order of the table; words need no quotes.

    >>> parse_operation('rotate(15)').values['degrees']
    (-15.0, 15.0)
    >>> parse_operation('mixup(alpha=0.2, mode=pair)').values
    {'alpha': 0.2, 'probability': 1.0, 'mode': 'pair'}

    Args:
        text: `name` or `name(parameter=value, …)`.
        field: what messages call it.

    Raises:
        UserError: text of another form, an unknown name (the message has the nearest one), a value out of range.
    """
    try:
        call = ast.parse(text.strip(), mode='eval').body
    except (SyntaxError, ValueError):
        call = None
    function = call.func if isinstance(call, ast.Call) else call
    if not isinstance(function, ast.Name):
        raise UserError(f'{field}={text!r} is not an operation; write rotate(degrees=15, probability=0.5)')
    name = function.id
    if name not in OPERATIONS:
        raise UserError(f'{field}={text!r}: there is no operation {name!r}.{checks.nearest(name, OPERATIONS)}')
    parameters = OPERATIONS[name].parameters
    given: dict[str, Any] = {}
    if isinstance(call, ast.Call):
        if len(call.args) > len(parameters):
            raise UserError(f'{field}={text!r}: {name} has {len(parameters)} parameters: {", ".join(parameters)}')
        pairs = [*zip(parameters, call.args, strict=False), *((str(word.arg), word.value) for word in call.keywords)]
        for parameter, node in pairs:
            if parameter not in parameters:
                hint = checks.nearest(parameter, parameters)
                raise UserError(f'{field}={text!r}: {name} has no parameter {parameter!r}.{hint}')
            if parameter in given:
                raise UserError(f'{field}={text!r}: {parameter} is given twice')
            given[parameter] = _value(node, f'{field}={text!r}')
    return make_operation(name, given, field)


def make_operation(name: str, given: Mapping[str, Any], field: str = 'operation') -> Operation:
    """The operation of a known name with some of its parameters given; raises `UserError` for a value out of range."""
    values = {
        parameter: kind.fit(f'{field}: {name}: {parameter}', given.get(parameter, kind.default))
        for parameter, kind in OPERATIONS[name].parameters.items()
    }
    return Operation(name, values)


def _value(node: ast.expr, where: str) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Tuple):
        return tuple(_value(end, where) for end in node.elts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        top, bottom = _value(node.left, where), _value(node.right, where)
        if isinstance(top, (int, float)) and isinstance(bottom, (int, float)) and bottom:
            return top / bottom
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError):
        raise UserError(f'{where}: {ast.unparse(node)} is not a number, a range or a word') from None
