"""How images are read and seen where a network is evaluated or predicts, as far as it is not as in its run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jtransfer.config import Data, Evaluate
from jtransfer.config.fields import coerce
from jtransfer.errors import UserError


class PredictionSettings(NamedTuple):
    """What a call is asked to do, see `prediction.evaluate_checkpoint`; what is empty is left as the run had it."""

    batch_size: int = 0
    skip_unreadable: bool = False
    flips: bool | None = None
    crops: int = 0
    scales: Sequence[float | str] = ()
    max_pixels: int = 0
    pixel_range: Sequence[float | str] = ()
    confine_paths: bool = False
    checkpoint_classes: str | Sequence[str] = ()

    def of_data(self) -> dict[str, Any]:
        """What is given of `config.Data`, checked; raises `UserError`."""
        values = {
            'max_pixels': self.max_pixels or None,
            'pixel_range': self._numbers('pixel_range', self.pixel_range),
            'confine_paths': self.confine_paths or None,
        }
        return self._checked(Data(), values)

    def of_evaluate(self) -> dict[str, Any]:
        """What is given of `config.Evaluate`, checked; raises `UserError`."""
        values = {
            'batch_size': self.batch_size or None,
            'flips': self.flips,
            'crops': self.crops or None,
            'scales': self._numbers('scales', self.scales),
        }
        return self._checked(Evaluate(), values)

    def _checked(self, usual: Data | Evaluate, values: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: value for name, value in values.items() if value is not None}
        part = coerce(dataclasses.replace(usual, **told))
        part.check('')
        return {name: getattr(part, name) for name in told}

    def _numbers(self, name: str, values: Sequence[float | str]) -> tuple[float, ...] | None:
        texts = [text for text in map(str, values) if text.strip()]
        try:
            return tuple(map(float, texts)) or None
        except ValueError:
            raise UserError(f'{name}={",".join(texts)} must be numbers') from None
