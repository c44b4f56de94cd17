"""Cross-validates a configuration: k folds, times repeats, each a run from the same pretrained weights.

    python -m launch.crossval --config=configs/crossval.py
    python -m launch.crossval --config=configs/crossval.py --config.crossval.side_by_side=True
    python -m launch.crossval --config=configs/crossval.py --fold=3

Started again, it keeps what is finished. `--fold` runs one fold alone, on another host for instance; the call without
it then puts them together.
"""

from absl import flags

from launch import app

_CONFIG = app.define_config()
_FOLD = flags.DEFINE_integer('fold', None, 'Run this fold alone, counted from 0 through the repeats.')


def main() -> None:
    """Checks the configuration, runs the folds that are not there yet, and shows what they amount to."""
    config = _CONFIG()
    from jtransfer.experiments.crossval import crossval, results

    result = crossval.run(config, fold=_FOLD.value, say=app.say)
    if result is not None:
        app.show(results.describe(result))


if __name__ == '__main__':
    app.run(main)
