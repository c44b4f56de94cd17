"""Decoding of JPEG files by tf.data, for `benchmarks.loading`, which starts it with an interpreter that has TensorFlow.

    PYTHON tf_decoding.py < PATHS

Imports nothing of this project. The first line of the input is a JSON list of paths; for every further line, one of
`decode`, `bicubic` (antialiased, to a square, as ours) and `default` (`tf.image.resize` as it is), all of them are
decoded once by a pipeline of one thread, and the seconds which that took are written as a line.
"""

import json
import os
import sys
import time

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
os.environ['CUDA_VISIBLE_DEVICES'] = ''

SIDE = 256


def make_ways(tf):
    """Functions from the content of a file to pixels, by their names."""

    def decode(content):
        return tf.io.decode_jpeg(content, channels=3)

    def squash(method, antialias):
        def changed(content):
            pixels = tf.image.resize(decode(content), (SIDE, SIDE), method=method, antialias=antialias)
            return tf.saturate_cast(tf.round(pixels), tf.uint8)

        return changed

    return {'decode': decode, 'bicubic': squash('bicubic', True), 'default': squash('bilinear', False)}


def main():
    """Answers until the input ends."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    paths = json.loads(sys.stdin.readline())
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    sets = {
        name: tf.data.Dataset.from_tensor_slices(paths)
        .map(lambda path, way=way: way(tf.io.read_file(path)))
        .with_options(options)
        for name, way in make_ways(tf).items()
    }
    print(json.dumps({'tensorflow': tf.__version__}), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in sets[line.strip()]:
            pass
        print(time.perf_counter() - began, flush=True)


if __name__ == '__main__':
    main()
