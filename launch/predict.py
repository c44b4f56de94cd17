"""Classifies the images of a folder into a CSV file of class, probability, file.

python -m launch.predict --checkpoint=runs/quickstart --images=photos --output=predictions.csv
"""

from absl import flags

from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.text.outside import count_of
from launch import app

_CHECKPOINT = flags.DEFINE_string('checkpoint', '', 'Catalogue name, .safetensors file or run directory.')
_IMAGES = flags.DEFINE_string('images', '', 'Folder of images, with or without sub-folders, or one image.')
_CLASSES = flags.DEFINE_string(
    'checkpoint_classes', '', "Names of its head's outputs, where it does not state them: ant,bee or a file of lines."
)
_OUTPUT = flags.DEFINE_string('output', 'predictions.csv', 'The CSV file to write.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 0, "Images a forward pass. 0: the run's, or 256.", lower_bound=0)
_SKIP = flags.DEFINE_bool('skip_unreadable', False, 'Leave unreadable images out instead of stopping at the first.')
_FLIPS = flags.DEFINE_bool('flips', None, "Average over mirror images too; the run's setting by default.")
_CROPS = flags.DEFINE_integer('crops', 0, "Average over 1 or 5 crops. 0: the run's setting, or 1.", lower_bound=0)
_SCALES = flags.DEFINE_list('scales', '', "Average over these multiples of the input size; the run's by default.")
_MAX_PIXELS = flags.DEFINE_integer(
    'max_pixels', 0, "Refuse larger images. 0: the run's, or 100,000,000.", lower_bound=0
)
_PIXEL_RANGE = flags.DEFINE_list(
    'pixel_range', '', "Least and largest value of deep grey images; the run's by default."
)
_CONFINE = flags.DEFINE_bool('confine_paths', False, 'Refuse images that links out of the folder lead to.')


def main() -> None:
    """Predicts, and says where the table is."""
    if not _CHECKPOINT.value:
        raise UserError('--checkpoint is missing; --checkpoint=runs/quickstart takes a finished run')
    if not _IMAGES.value:
        raise UserError('--images is missing; --images=FOLDER names the images to classify')
    from jtransfer.experiments.predict import predict

    count, skipped = predict.predict_folder(
        _CHECKPOINT.value,
        _IMAGES.value,
        _OUTPUT.value,
        batch_size=_BATCH_SIZE.value,
        skip_unreadable=_SKIP.value,
        flips=_FLIPS.value,
        crops=_CROPS.value,
        scales=_SCALES.value,
        max_pixels=_MAX_PIXELS.value,
        pixel_range=_PIXEL_RANGE.value,
        confine_paths=_CONFINE.value,
        checkpoint_classes=_CLASSES.value,
    )
    app.say(f'{count_of(count, "image")} classified: {expanded(_OUTPUT.value)}')
    if skipped:
        app.say(f'unreadable images left out: {len(skipped)}, the first of them {skipped[0]}')


if __name__ == '__main__':
    app.run(main)
