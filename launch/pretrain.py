"""Trains a network on a source task and writes its weights with a record of how they were made.

python -m launch.pretrain --config=configs/pretrain_glyphs.py --output=resnet_glyphs.safetensors
"""

from absl import flags

from launch import app

_CONFIG = app.define_config()
_OUTPUT = flags.DEFINE_string('output', '', 'The .safetensors file to write; NAME.safetensors by default.')


def main() -> None:
    """Checks the configuration, then trains and writes."""
    config = _CONFIG()
    from jtransfer.experiments.run import pretrain, terminal

    result, record = pretrain.run(config, _OUTPUT.value or f'{config.name}.safetensors', say=app.say)
    app.show(terminal.describe(result))
    app.say(f'weights {record.with_suffix(".safetensors")}, record {record}')


if __name__ == '__main__':
    app.run(main)
