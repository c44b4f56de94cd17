"""Shows what the augmentation of a configuration does, as a PNG: a row for an image, a column for a draw.

    python -m launch.show_augment --config=configs/finetune.py
    python -m launch.show_augment --config=configs/finetune.py --config.augment.operations="('rand_augment', 'cutmix')"

Fetches no weights that the catalogue knows, and makes no step. The draws are those of the run's first epochs.
"""

from absl import flags

from launch import app

_CONFIG = app.define_config()
_OUTPUT = flags.DEFINE_string('output', '', 'The file, replaced if there is one; RUN_DIR-augment.png by default.')
_IMAGES = flags.DEFINE_integer('images', 6, 'How many images, a row each.', lower_bound=1)
_DRAWS = flags.DEFINE_integer('draws', 8, 'How many draws, a column each.', lower_bound=1)


def main() -> None:
    """Checks the configuration, draws the picture, and says where it is."""
    config = _CONFIG()
    from jtransfer.experiments.inspect import augment  # JAX starts only after the configuration has been checked

    path = augment.show(config, _OUTPUT.value, images=_IMAGES.value, draws=_DRAWS.value, say=app.say)
    app.say(f'{path}: {_DRAWS.value} draws beside each image')


if __name__ == '__main__':
    app.run(main)
