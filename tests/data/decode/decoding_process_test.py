"""Decoding processes end with the process that they work for, whatever becomes of it."""

import os
import pathlib
import signal
import subprocess
import sys

_STREAMS = """
import numpy as np
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.part import Part
from jtransfer.data.feed.stream import stream_batches
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage
source = ArraySource(np.zeros((8, 8, 8, 3), np.uint8), np.arange(8) % 2, class_names=('a', 'b'))
if __name__ == '__main__':
    pixels = TrainingImage(ImagePreprocessor(8), False)
    batches = stream_batches(Part(source, np.arange(8)), pixels, 4, 0, 0, 10**6, workers=2)
    print(next(batches)['inputs']['image'].shape, flush=True)
    input()
"""


def test_they_end_when_it_is_killed(tmp_path):
    program = tmp_path / 'streams.py'
    program.write_text(_STREAMS)
    environment = {**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[3])}
    pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
    with subprocess.Popen([sys.executable, program], text=True, env=environment, **pipes) as process:
        assert process.stdout.readline() == '(4, 8, 8, 3)\n', process.stderr.read()
        process.send_signal(signal.SIGKILL)
        # The pipes end when the last process that holds them has.
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
