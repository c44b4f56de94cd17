"""The parts of a configuration: each says for itself what it cannot be."""

import dataclasses

import pytest

from jtransfer.config import Config, Evaluate
from jtransfer.config.experiment import validate_parts
from jtransfer.config.part import Part
from jtransfer.errors import UserError

PARTS = {field.name: field.type for field in dataclasses.fields(Config) if isinstance(field.type, type)}
PARTS = {name: kind for name, kind in PARTS.items() if issubclass(kind, Part)}


def test_every_group_of_fields_is_a_part_that_can_be_as_it_is():
    assert len(PARTS) == 11
    for name, part in PARTS.items():
        part().check(f'{name}.')
    assert validate_parts(Config()) == Config()


def test_messages_name_a_field_as_whoever_asks_calls_it():
    for where in ('evaluate.', '--'):
        with pytest.raises(UserError, match=f'^{where}crops=3 must be 1'):
            Evaluate(crops=3).check(where)
