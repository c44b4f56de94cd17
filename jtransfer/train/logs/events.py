"""Numbers as an event file of TensorBoard, written where it was asked for: without a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jtransfer.files.writing import make_folder, told_plainly

# How long TensorBoard may have to wait for a number.
_SECONDS = 30.0


class EventFile:
    """An event file of its own; TensorBoard shows all of a folder as one run.

    tensorboardX's `SummaryWriter` writes in a thread, which a full disk would end with a traceback, and whose queue
    would then hold up the training for ever.
    """

    def __init__(self, folder: Path, *, after_step: int) -> None:
        """Opens the file.

        Args:
            folder: made when missing.
            after_step: steps done already: what other files of the folder say of later ones is void.

        Raises:
            WritingError: it cannot be written.
        """
        # Slow to import, and not everybody wants it.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        self.folder = make_folder(folder)
        with told_plainly(folder):
            self._writer = EventsWriter(str(folder / 'events'))
            begun = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._put(event_pb2.Event(step=after_step + 1, session_log=begun))
            self._flush()

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes the numbers of a step.

        Raises:
            WritingError: the disk is full.
        """
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

        with told_plainly(self.folder):
            for name, value in values.items():
                self._put(event_pb2.Event(step=step, summary=scalar(name, float(value))))
            if time.monotonic() > self._due:
                self._flush()

    def flush(self) -> None:
        """Leaves nothing in memory that has not been written.

        Raises:
            WritingError: the disk is full.
        """
        with told_plainly(self.folder):
            self._flush()

    def close(self) -> None:
        """Writes what is left, and closes the file.

        Raises:
            WritingError: the disk is full.
        """
        with told_plainly(self.folder):
            self._writer.close()

    def _put(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)

    def _flush(self) -> None:
        self._writer.flush()  # waits for the disk, and is therefore not done for every line
        self._due = time.monotonic() + _SECONDS
