"""Operations from text: what is read, what defaults fill in, and what is refused in one line."""

import math
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jtransfer.config.operations import OPERATIONS, Operation, Parameter, make_operation, parse_operation
from jtransfer.errors import UserError


@pytest.mark.parametrize('name', OPERATIONS)
def test_every_operation_has_defaults_in_its_own_ranges(name):
    bare, called = parse_operation(name), parse_operation(f'{name}()')
    assert bare == called
    assert bare.name == name
    assert list(bare.values) == list(OPERATIONS[name].parameters)
    assert parse_operation(str(bare)) == bare


@pytest.mark.parametrize(
    ('text', 'parameter', 'value'),
    [
        ('rotate(15)', 'degrees', (-15.0, 15.0)),
        ('rotate(degrees=(-5, 40))', 'degrees', (-5.0, 40.0)),
        ('rotate(15, 0.5)', 'probability', 0.5),
        ('random_resized_crop(ratio=(3/4, 4/3))', 'ratio', (3 / 4, 4 / 3)),
        ('zoom((1/2, 2))', 'factor', (0.5, 2.0)),
        ('gamma(1)', 'gamma', (1.0, 1.0)),
        ('posterize((3, 5))', 'bits', (3, 5)),
        ('brightness(0.25)', 'factor', (0.75, 1.25)),
        ('brightness(1.5)', 'factor', (0.0, 2.5)),
        ('gaussian_blur(sigma=1)', 'sigma', (1.0, 1.0)),
        ('mixup(alpha=0.2, mode=pair)', 'mode', 'pair'),
        ("mixup(mode='element')", 'mode', 'element'),
        ('rand_augment(increasing=False)', 'increasing', False),
        ('  cutout( size = 4 )  ', 'size', 4),
    ],
)
def test_values_are_read(text, parameter, value):
    assert parse_operation(text).values[parameter] == value


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('rotat(3)', "there is no operation 'rotat'. Did you mean 'rotate'?"),
        ('posterise', "Did you mean 'posterize'?"),
        ('rotate(deg=3)', "rotate has no parameter 'deg'. Did you mean 'degrees'?"),
        ('rotate(1, 1, nearest, 0, 5)', 'rotate has 4 parameters: degrees, probability, interpolation, fill'),
        ('rotate(5, degrees=5)', 'degrees is given twice'),
        ('rotate(degrees=(5, 3))', 'degrees=(5, 3) must be two numbers, first <= second'),
        ('rotate(degrees=(1, 2, 3))', 'must be one number or two, the ends of a range'),
        ('rotate(degrees=400)', 'degrees=400 means (-400, 400), which must be between -360 and 360: give the two ends'),
        ('zoom(5)', 'factor=5 means (0, 6), which must be between 0.01 and 100: give the two ends'),
        ('posterize(bits=4.5)', 'bits=4.5 must be a whole number'),
        ('random_resized_crop(ratio=(1/0, 2))', '1 / 0 is not a number'),
        ('rotate(degrees=x)', "degrees='x' must be a number"),
        ('rotate(degrees=True)', 'degrees=True must be a number'),
        ('rotate(degrees=1e999)', 'degrees=inf must be a number'),
        ('rotate(interpolation=lanczos)', "interpolation='lanczos' is not one of nearest, bilinear, bicubic"),
        ('rotate(probability=1.5)', 'probability=1.5 must be between 0 and 1'),
        ('brightness(factor=-1)', 'factor=-1 must be at least 0'),
        ('cutout(size=2.5)', 'size=2.5 must be a whole number'),
        ('rand_augment(increasing=1)', 'increasing=1 must be True or False'),
        ('random_erasing(area=0)', 'area=0 must be between 1e-06 and 1'),
        ('rotate(**{"degrees": 3})', "rotate has no parameter 'None'"),
        ('rotate(open(3))', 'open(3) is not a number, a range or a word'),
        ('rotate(', 'is not an operation; write rotate(degrees=15, probability=0.5)'),
        ('', 'is not an operation'),
        ('1 + 1', 'is not an operation'),
        ('a.b(3)', 'is not an operation'),
    ],
)
def test_what_cannot_be_is_one_clear_line(text, words):
    with pytest.raises(UserError) as caught:
        parse_operation(text, 'augment.operations[2]')
    assert words in str(caught.value)
    assert str(caught.value).startswith('augment.operations[2]')
    assert '\n' not in str(caught.value)


@given(st.floats(0, 360), st.floats(0, 1))
def test_text_and_back(degrees, probability):
    operation = parse_operation(f'rotate(degrees={degrees!r}, probability={probability!r})')
    assert operation.values['degrees'] == (-degrees, degrees)
    assert parse_operation(str(operation)) == operation


def test_ranges_of_parameters_hold_for_both_ends():
    parameter = Parameter((0.0, 1.0), 0, 2)
    assert parameter.fit('p', [0, 2]) == (0.0, 2.0)
    with pytest.raises(UserError, match='p=3 must be between 0 and 2'):
        parameter.fit('p', (1, 3))
    with pytest.raises(UserError, match='p=nan must be a number'):
        parameter.fit('p', math.nan)


def test_an_operation_made_of_values_keeps_the_other_defaults():
    made = make_operation('cutmix', {'mode': 'pair'})
    assert made == Operation('cutmix', {'alpha': 1.0, 'probability': 1.0, 'mode': 'pair'})


def test_the_guide_has_every_operation_and_parameter():
    guide = (pathlib.Path(__file__).parent.parent.parent / 'docs' / 'augment.md').read_text()
    for name, kind in OPERATIONS.items():
        assert f'`{name}`' in guide, name
        for parameter in kind.parameters:
            assert f'{parameter}=' in guide, f'{name}: {parameter}'
