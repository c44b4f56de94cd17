"""Fields of dataclass configurations: by dotted name, text to value, types."""

import dataclasses

import pytest

from jtransfer.config import Config, Data, fields
from jtransfer.config.fields import not_too_large
from jtransfer.errors import UserError


@dataclasses.dataclass
class Inner:
    learning_rate: float = 0.1
    steps: int = 3
    scale: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    limit: int | None = None


@dataclasses.dataclass
class Outer:
    seed: int = 0
    inner: Inner = dataclasses.field(default_factory=Inner)


@pytest.mark.parametrize(
    ('text', 'hint', 'value'),
    [
        ('3', int, 3),
        ('1e-3', float, 1e-3),
        ('true', bool, True),
        ('none', int | None, None),
        ('(1, 2)', tuple[float, float], (1, 2)),
        ('word', str, 'word'),
        ('3', str, '3'),
        ('word', int, 'word'),
    ],
)
def test_parse(text, hint, value):
    assert fields.parse(text, hint) == value


def test_coerce_brings_values_to_their_types():
    outer = fields.coerce(Outer(inner=Inner(learning_rate=1, scale=[0, 2], names=['a'])))
    assert outer.inner == Inner(learning_rate=1.0, scale=(0.0, 2.0), names=('a',))
    assert isinstance(outer.inner.scale[1], float)


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('inner.steps', 1.5),
        ('inner.steps', True),
        ('inner.scale', (1.0,)),
        ('inner.names', (1,)),
        ('inner.limit', 'x'),
        ('seed', None),
    ],
)
def test_what_does_not_fit_names_the_field(field, value):
    with pytest.raises(UserError, match=field):
        fields.replace(Outer(), field, value)


def test_fields_by_dotted_name():
    assert fields.field_names(Outer()) == [
        'seed', 'inner.learning_rate', 'inner.steps', 'inner.scale', 'inner.names', 'inner.limit',
    ]  # fmt: skip
    changed = fields.replace(Outer(), 'inner.steps', '5')
    assert fields.get_field(changed, 'inner.steps') == 5
    assert fields.get_field(Outer(), 'inner.steps') == 3


def test_options_from_one_line():
    assert fields.parse_options('') == {}
    assert fields.parse_options(' gelu=erf, eps=1e-5,pre_norm=True , patch=8') == {
        'gelu': 'erf',
        'eps': 1e-5,
        'pre_norm': True,
        'patch': 8,
    }


@pytest.mark.parametrize('text', ['gelu', 'gelu=', '=erf', 'eps=1e-5,gelu'])
def test_options_that_are_none(text):
    with pytest.raises(UserError, match='is not of the form name=value'):
        fields.parse_options(text)


def test_a_whole_number_that_nothing_below_can_hold():
    with pytest.raises(UserError, match=r'^data\.max_pixels=1{30} must be below 2\*\*63$'):
        not_too_large(Config(data=Data(max_pixels=int('1' * 30))))
