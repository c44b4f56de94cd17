"""Evaluates a checkpoint on labelled images.

python -m launch.evaluate --checkpoint=runs/quickstart
python -m launch.evaluate --checkpoint=model.safetensors --source=folder:photos --output=evaluation
python -m launch.evaluate --checkpoint=runs/quickstart --flips --crops=5 --output=ten_views
"""

from absl import flags

from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from launch import app

_CHECKPOINT = flags.DEFINE_string('checkpoint', '', 'Catalogue name, .safetensors file or run directory.')
_SOURCE = flags.DEFINE_string('source', '', 'As data.source. Empty: the data of the run that the checkpoint is.')
_PART = flags.DEFINE_string('part', '', 'train, validation or test; the test part where there is one by default.')
_CLASSES = flags.DEFINE_string(
    'checkpoint_classes', '', "Names of its head's outputs, where it does not state them: ant,bee or a file of lines."
)
_OUTPUT = flags.DEFINE_string('output', '', 'Folder of the results; evaluation by default.')
_DATA_DIR = flags.DEFINE_string('data_dir', '', 'Where prepared TFDS data sets live.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 0, "Images a forward pass. 0: the run's, or 256.", lower_bound=0)
_SKIP = flags.DEFINE_bool('skip_unreadable', False, 'Leave unreadable images out instead of stopping at the first.')
_UNLABELLED = flags.DEFINE_bool('skip_unlabelled', False, 'Leave examples without a label out instead of stopping.')
_FLIPS = flags.DEFINE_bool('flips', None, "Average over mirror images too; the run's setting by default.")
_CROPS = flags.DEFINE_integer('crops', 0, "Average over 1 or 5 crops. 0: the run's setting, or 1.", lower_bound=0)
_SCALES = flags.DEFINE_list('scales', '', "Average over these multiples of the input size; the run's by default.")
_MAX_PIXELS = flags.DEFINE_integer(
    'max_pixels', 0, "Refuse larger images. 0: the run's, or 100,000,000.", lower_bound=0
)
_PIXEL_RANGE = flags.DEFINE_list(
    'pixel_range', '', "Least and largest value of deep grey images; the run's by default."
)
_CONFINE = flags.DEFINE_bool('confine_paths', False, 'Refuse images of a folder or table that lie outside it.')


def main() -> None:
    """Evaluates, and says where the results are."""
    if not _CHECKPOINT.value:
        raise UserError('--checkpoint is missing; --checkpoint=runs/quickstart takes a finished run')
    output = expanded(_OUTPUT.value or 'evaluation')
    from jtransfer.experiments.predict import predict

    metrics, part = predict.evaluate_checkpoint(
        _CHECKPOINT.value,
        output,
        source=_SOURCE.value,
        part=_PART.value,
        data_dir=_DATA_DIR.value,
        batch_size=_BATCH_SIZE.value,
        skip_unreadable=_SKIP.value,
        skip_unlabelled=_UNLABELLED.value,
        flips=_FLIPS.value,
        crops=_CROPS.value,
        scales=_SCALES.value,
        max_pixels=_MAX_PIXELS.value,
        pixel_range=_PIXEL_RANGE.value,
        confine_paths=_CONFINE.value,
        checkpoint_classes=_CLASSES.value,
        say=app.say,
    )
    app.say(predict.describe(metrics, part))
    app.say(f'{output}: report.html, metrics.json and tables')


if __name__ == '__main__':
    app.run(main)
