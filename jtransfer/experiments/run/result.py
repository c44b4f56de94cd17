"""What a finished run amounts to."""

from __future__ import annotations

import dataclasses

from jtransfer.config import Config
from jtransfer.experiments.run.directory import RunDirectory
from jtransfer.pretrained.model import Model
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.transfer.plan import Plan


@dataclasses.dataclass(frozen=True)
class Result:
    """What a finished run amounts to.

    Attributes:
        config: as it was run.
        directory: the run directory.
        part: what was reported on: `test`, or `validation` when there is no test part.
        metrics: the numbers.
        model: the trained network.
        plan: what was trained and what was frozen.
        load_summary: which weights it started from.
        fit_seconds: training time.
        seconds: the whole run.
        skipped: how many unreadable images were left out.
    """

    config: Config
    directory: RunDirectory
    part: str
    metrics: Measured
    model: Model
    plan: Plan
    load_summary: str
    fit_seconds: float
    seconds: float
    skipped: int

    @property
    def headline(self) -> str:
        """How well it went, in a line."""
        return f'{self.part}: {self.metrics.headline()}'
