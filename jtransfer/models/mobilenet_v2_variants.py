"""The named networks of the family mobilenet_v2."""

from __future__ import annotations

from jtransfer.models.variant import Variant

VARIANTS: tuple[Variant, ...] = ()
