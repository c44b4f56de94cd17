"""Published names of the family convnext."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jtransfer.pretrained.namemap import NameMap


def namings(backbone: Any) -> Sequence[NameMap]:
    """The namings of the family, the most usual first."""
    return ()
