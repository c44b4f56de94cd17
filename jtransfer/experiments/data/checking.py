"""What would stop a run because of its data alone, found before anything else: whoever evaluates comes by here."""

from __future__ import annotations

from jtransfer.data.measurable import check_parts
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError


def reported(parts: Parts) -> tuple[str, Part]:
    """The part that is reported at the end, and its name: the test part, or else the validation part.

    Raises:
        UserError: there is neither.
    """
    if parts.test is not None:
        return 'test', parts.test
    if parts.validation is not None:
        return 'validation', parts.validation
    raise UserError(
        'there is nothing to evaluate on: set data.test_fraction or data.validation_fraction above 0, '
        'or name a data.test_split'
    )


def check_data(parts: Parts) -> None:
    """Raises `UserError` for parts without anything to learn from, or to report on; needs no network."""
    check_parts(parts)
    reported(parts)
