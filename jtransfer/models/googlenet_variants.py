"""The named networks of the family googlenet."""

from __future__ import annotations

from jtransfer.models.variant import Variant

VARIANTS: tuple[Variant, ...] = ()
