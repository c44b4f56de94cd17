"""Compares two cross-validations over the same folds, or two runs over the same test images.

    python -m launch.compare runs/crossval-scratch runs/crossval-finetune

Of cross-validations, the difference of the folds' scores is tested by the corrected resampled t-test (Nadeau and
Bengio, 2003), which allows for folds that share training images.
"""

from absl import flags

from jtransfer.files.paths import output_file
from launch import app

ARGUMENTS = ('RUN_A', 'RUN_B')
_CONFIDENCE = flags.DEFINE_float('confidence', 0.95, 'Level of the intervals.', lower_bound=0.5, upper_bound=0.999)
_OUTPUT = flags.DEFINE_string('output', '', 'A JSON file for the numbers, too.')


def main(first: str, second: str) -> None:
    """Reads both, compares them, and shows the outcome."""
    from jtransfer.experiments.crossval import compare

    if _OUTPUT.value:
        output_file(_OUTPUT.value, example='comparison.json')  # known before anything is read
    outcome = compare.compare(first, second, confidence=_CONFIDENCE.value)
    if _OUTPUT.value:
        compare.write(_OUTPUT.value, outcome)
    app.show(compare.describe(outcome))


if __name__ == '__main__':
    app.run(main, arguments=ARGUMENTS)
