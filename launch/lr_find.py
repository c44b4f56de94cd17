"""Finds a learning rate for a configuration: a hundred steps on a copy, while the rate rises until the loss diverges.

python -m launch.lr_find --config=configs/quickstart.py
"""

from absl import flags

from launch import app

_CONFIG = app.define_config()
_OUTPUT = flags.DEFINE_string('output', '', 'Folder of the results; RUN_DIR-lr_find by default.')
_LOWEST = flags.DEFINE_float('lowest', 1e-7, 'Learning rate of the first step.')
_HIGHEST = flags.DEFINE_float('highest', 10.0, 'Learning rate of the last step.')
_STEPS = flags.DEFINE_integer('steps', 100, 'How many steps, at least 10.')
_PHASE = flags.DEFINE_integer('phase', 0, 'Of a strategy with phases: which one, counted from 0.')


def main() -> None:
    """Checks the configuration, makes the test, and says what it suggests and where the picture is."""
    config = _CONFIG()
    from jtransfer.experiments.inspect import lr_find  # JAX starts only after the configuration has been checked

    found, folder = lr_find.find(
        config,
        _OUTPUT.value,
        lowest=_LOWEST.value,
        highest=_HIGHEST.value,
        steps=_STEPS.value,
        phase=_PHASE.value,
        say=app.say,
    )
    app.say(found.summary())
    app.say(f'{folder}: lr_find.png, lr_find.json, lr_find.csv')


if __name__ == '__main__':
    app.run(main)
