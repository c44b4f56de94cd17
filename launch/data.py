"""Looks at the data of a configuration: counts, sizes, modes, unreadable and duplicate files, and a contact sheet.

    python -m launch.data --config=configs/finetune.py --config.data.source=folder:photos

Every picture is read once, and once more for its duplicates, which `--config.data.duplicates=ignore` does not look for.
"""

from absl import flags

from launch import app

_CONFIG = app.define_config()
_OUTPUT = flags.DEFINE_string(
    'output', '', 'Folder for contact_sheet.png, data.json and duplicates.html; RUN_DIR-data by default.'
)


def main() -> None:
    """Says what is there, and writes it."""
    config = _CONFIG()
    from jtransfer.experiments.inspect import data

    app.show(data.describe(data.survey(config, _OUTPUT.value, say=app.say)))


if __name__ == '__main__':
    app.run(main)
