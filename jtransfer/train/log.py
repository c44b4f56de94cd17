"""The metrics of a run as JSON lines and TensorBoard events."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class MetricLog:
    """Appends one JSON object a line to `metrics.jsonl`, and the same numbers to TensorBoard.

    A resumed run first drops the lines after the step it resumes from, so that no step appears twice.
    """

    def __init__(self, directory: str | Path, *, tensorboard: bool = True, start_step: int = 0) -> None:
        """Args: directory: the run directory. tensorboard: write events too. start_step: steps done already."""
        self.path = Path(directory) / 'metrics.jsonl'
        keep = [line for line in read_log(self.path) if line['step'] <= start_step] if start_step else []
        partial = self.path.with_suffix('.partial')
        partial.write_text(''.join(json.dumps(line) + '\n' for line in keep), encoding='utf-8')
        os.replace(partial, self.path)
        self._file = self.path.open('a', encoding='utf-8')
        self._writer = None
        if tensorboard:
            from tensorboardX import SummaryWriter  # slow to import, and not everybody wants it

            self._writer = SummaryWriter(str(Path(directory) / 'tensorboard'), purge_step=start_step + 1)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes the numbers of a step; a NaN is written as null, for JSON has none."""
        line = {'step': step, **{k: float(v) if math.isfinite(v) else None for k, v in values.items()}}
        self._file.write(json.dumps(line) + '\n')
        self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, float(value), step)

    def flush(self) -> None:
        """Leaves nothing in memory that has not been written."""
        self._file.flush()
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a line cut off by a kill is left out. Empty when there is no file."""
    path = Path(path)
    lines = []
    for text in path.read_text(encoding='utf-8').splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines
