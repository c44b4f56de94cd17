"""Shows what a run would do and what it would cost, before it runs: groups, statistics, operations, memory.

    python -m launch.plan --config=configs/finetune.py
    python -m launch.plan --config=configs/finetune.py --batch_sizes=32,64,128

Reads no image, fetches no weights that the catalogue knows, and makes no step. Fails if the compiled step does backward
work for parameters that are frozen.
"""

from absl import flags

from jtransfer.errors import UserError
from launch import app

_CONFIG = app.define_config()
_BATCH_SIZES = flags.DEFINE_list('batch_sizes', [], 'Batch sizes to give the peak memory of: 32,64,128.')
_NUM_CLASSES = flags.DEFINE_integer(
    'num_classes', 0, 'Classes of the data. 0: as many as the source names, or 10.', lower_bound=0
)
_MOST_DIGITS = 9  # of a batch size


def main() -> None:
    """Checks the configuration, and shows the plan with its costs."""
    config = _CONFIG()
    sizes = [_whole_number(text) for text in _BATCH_SIZES.value]
    from jtransfer.experiments.inspect import plan  # JAX starts only after the configuration has been checked

    report = plan.plan_report(config, sizes, num_classes=_NUM_CLASSES.value, say=app.say)
    app.say(str(report).rstrip('\n'))
    report.check()


def _whole_number(text: str) -> int:
    if not text.strip().isdecimal() or len(text.strip()) > _MOST_DIGITS or not int(text):
        raise UserError(f"--batch_sizes: '{text}' is no batch size; write --batch_sizes=32,64,128")
    return int(text)


if __name__ == '__main__':
    app.run(main)
