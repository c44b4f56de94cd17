"""Fine-tunes a pretrained network on labelled images.

    python -m launch.finetune --config=configs/quickstart.py

What a run does, in order, stands in `jtransfer/experiments/run/finetune.py`.
"""

from launch import app

_CONFIG = app.define_config()


def main() -> None:
    """Checks the configuration, runs it, and shows how it ended."""
    config = _CONFIG()
    from jtransfer.experiments.run import finetune, terminal  # JAX starts only after the configuration has been checked

    app.show(terminal.describe(finetune.run(config, say=app.say)))


if __name__ == '__main__':
    app.run(main)
