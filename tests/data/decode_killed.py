"""Decodes a folder into a cache until the process is killed: `decode_killed.py FOLDER CACHE KILL_AFTER`."""

import os
import pathlib
import signal
import sys

import numpy as np

from jtransfer.data.decode import decode_cache
from jtransfer.data.decode.memory import decode_part
from jtransfer.data.part import Part
from jtransfer.data.sources.folder import load_folder
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage

PIXELS = TrainingImage(ImagePreprocessor(21), crops=True)


def main(folder, cache, kill_after):
    source = load_folder(folder)['train']
    decode_cache._CHUNK_ROWS = 4

    def progress(done, total):
        if done == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    decode_part(Part(source, np.arange(len(source))), PIXELS, progress=progress, cache=pathlib.Path(cache))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
