"""The metrics of a run as JSON lines and TensorBoard events."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jtransfer.config import Config
from jtransfer.errors import RunWarning, UserError
from jtransfer.files.reading import parse_json, read_bytes
from jtransfer.files.record_types import NUMBER, OBJECT, WHOLE, check_fields, optional
from jtransfer.files.writing import atomic_text, told_plainly
from jtransfer.train.logs.events import EventFile

MAX_LOG_BYTES = 2**31


class MetricLog:
    """Appends one JSON object a line to `metrics.jsonl`, and the same numbers to TensorBoard.

    A resumed run first drops the lines after the step it resumes from, so that no step appears twice.
    """

    def __init__(
        self, directory: str | Path, *, tensorboard: bool = True, start_step: int = 0, due_step: int = 0
    ) -> None:
        """Opens both.

        Args:
            directory: the run directory.
            tensorboard: write events too.
            start_step: steps done already.
            due_step: of these, one that a line is known to have been written for, or after. 0: not known.

        Raises:
            UserError: what is there is damaged.
            WritingError: one of them cannot be written.
        """
        self.path = Path(directory) / 'metrics.jsonl'
        keep = [line for line in read_log(self.path) if line['step'] <= start_step] if start_step else []
        if (last := keep[-1]['step'] if keep else 0) < due_step:
            warnings.warn(
                f'{self.path} has lost lines: it ends at step {last}, and the run goes on from step {start_step}; the '
                'curves have a gap there, and nothing else is lost',
                RunWarning,
                stacklevel=3,
            )
        with atomic_text(self.path) as file:
            file.write(''.join(json.dumps(line) + '\n' for line in keep))
        with told_plainly(self.path):
            # Unbuffered: what a full disk has refused is not tried again when the file is closed.
            self._file = self.path.open('ab', buffering=0)
        self._events = EventFile(Path(directory) / 'tensorboard', after_step=start_step) if tensorboard else None

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes the numbers of a step; a NaN is written as null, for JSON has none.

        Raises:
            WritingError: the disk is full; a line cut off by that is left out when the log is read.
        """
        line = {'step': step, **{k: float(v) if math.isfinite(v) else None for k, v in values.items()}}
        rest = (json.dumps(line) + '\n').encode()
        with told_plainly(self.path):
            while rest:  # of a disk that fills up, a first write says only how much it took
                rest = rest[self._file.write(rest) :]
        if self._events is not None:
            self._events.write(step, values)

    def flush(self) -> None:
        """Leaves nothing in memory that has not been written.

        Raises:
            WritingError: the disk is full.
        """
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Closes both."""
        self._file.close()
        if self._events is not None:
            self._events.close()


def line_before(step: int, config: Config) -> int:
    """The last step, up to this one, that a run writes a line for whatever else happens."""
    return step // config.train.log_every * config.train.log_every


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a last line cut off by a kill is left out. Empty when there is no file.

    Raises:
        UserError: any other line is damaged.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = []
    # Whole lines end in a line break.
    *texts, _ = read_bytes(path, MAX_LOG_BYTES).split(b'\n')
    for number, text in enumerate(texts, 1):
        name, remedy = f'line {number} of {path}', 'delete the line, and its numbers are missing from the curves'
        line = parse_json(text, name, remedy=remedy)
        if not OBJECT.holds(line):
            raise UserError(f'{name} is damaged: its JSON is no object; {remedy}')
        check_fields(
            line, dict.fromkeys(line, optional(NUMBER)) | {'step': WHOLE}, name, needs=('step',), remedy=remedy
        )
        if lines and line['step'] <= lines[-1]['step']:
            raise UserError(f'{name} is damaged: step {line["step"]} after step {lines[-1]["step"]}; {remedy}')
        lines.append(line)
    return lines
