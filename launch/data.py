"""Looks at the data of a configuration: counts, sizes, modes, unreadable and duplicate files, and a contact sheet.

python -m launch.data --config=configs/finetune.py --config.data.source=folder:photos
"""

from absl import flags

from launch import app

_CONFIG = app.define_config()
_OUTPUT = flags.DEFINE_string('output', 'data', 'Folder for contact_sheet.png, survey.json and duplicates.html.')


def main() -> None:
    """Reads every image once, and says what is there."""
    config = _CONFIG()
    from jtransfer.experiments import survey

    app.show(survey.describe(survey.survey(config, _OUTPUT.value, say=app.say)))


if __name__ == '__main__':
    app.run(main)
