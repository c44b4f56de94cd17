"""Lists published weights and architectures, or shows one in full.

python -m launch.models --filter='resnet50 in1k' --max_parameters=30M --sort=accuracy
python -m launch.models --name=timm/resnet50.a1_in1k
python -m launch.models --architectures
"""

from absl import flags

from jtransfer.errors import UserError
from launch import app

_NAME = flags.DEFINE_string('name', '', 'Weights or an architecture to show in full.')
_ARCHITECTURES = flags.DEFINE_bool('architectures', False, 'List architectures instead of weights.')
_FILTER = flags.DEFINE_string('filter', '', 'Words or regular expressions, all of which must occur.')
_FAMILY = flags.DEFINE_string('family', '', 'Family of the network: resnet, vit, …')
_LICENCE = flags.DEFINE_string('licence', '', 'Licence of the weights: apache-2.0, …')
_MAX_PARAMETERS = flags.DEFINE_string('max_parameters', '', 'At most so many parameters: 30M.')
_MIN_ACCURACY = flags.DEFINE_float('min_accuracy', None, 'ImageNet-1k top-1 at least, percent.')
_SORT = flags.DEFINE_string('sort', '', 'accuracy, bytes, image_size, name or parameters.')


def main() -> None:
    """Shows what the flags ask for."""
    choosing = (_FILTER, _FAMILY, _LICENCE, _MAX_PARAMETERS, _MIN_ACCURACY, _SORT)
    if (_NAME.present or _ARCHITECTURES.value) and any(flag.present for flag in choosing):
        raise UserError('--name and --architectures stand alone; the other flags choose among the weights')
    from jtransfer.experiments.inspect import model_page, models

    if _NAME.present:
        if not _NAME.value:
            raise UserError('--name is empty; --name=timm/resnet50.a1_in1k shows one network')
        # A checkpoint may be pinned to a commit; what is known of it is the same.
        model_page.print_one(_NAME.value.partition('@')[0])
    elif _ARCHITECTURES.value:
        models.print_architectures()
    else:
        models.print_weights(
            models.select(
                _FILTER.value,
                family=_FAMILY.value.lower(),
                licence=_LICENCE.value,
                max_parameters=_MAX_PARAMETERS.value,
                min_accuracy=_MIN_ACCURACY.value,
                sort=_SORT.value,
            )
        )


if __name__ == '__main__':
    app.run(main)
