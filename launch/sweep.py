"""Runs a configuration over every combination of some of its fields, and compares.

    python -m launch.sweep --config=configs/quickstart.py \\
        --over=transfer.strategy=scratch,linear_probe,fine_tune --over=seed=0,1,2,3,4

With `--tune`, every setting gets the values that suit it best on the validation part, and these alone are reported:

    python -m launch.sweep --config=configs/finetune.py --over=transfer.strategy=scratch,fine_tune --over=seed=0,1,2 \\
        --tune=optim.learning_rate=1e-3,3e-3,1e-2

Finished runs are kept and skipped on a rerun, which is refused where the data have changed. The table goes to the
terminal, `runs.csv`, `summary.csv` and `summary.png`.
"""

import sys

from absl import flags

from jtransfer.errors import UserError
from launch import app

_CONFIG = app.define_config()
_OVER = flags.DEFINE_multi_string('over', [], 'FIELD=VALUE,VALUE,…; may be given several times.')
_OUTPUT = flags.DEFINE_string('output', '', 'Folder of the runs; config.run_dir or runs/sweep-NAME by default.')
flags.DEFINE_alias('out', 'output')
_TUNE = flags.DEFINE_multi_string('tune', [], 'FIELD=VALUE,VALUE,…, of which each setting gets the best on validation.')


def main() -> None:
    """Checks the configurations, runs what is not there yet, and shows the table."""
    config = _CONFIG()
    from jtransfer.experiments.sweep import plot, summary, sweep, table

    if not _OVER.value:
        raise UserError('--over is missing; --over=seed=0,1,2 runs three seeds')
    over = sweep.parse_fields(_OVER.value, '--over')
    tune = sweep.parse_fields(_TUNE.value, '--tune')
    folder, records = sweep.run(config, over, _OUTPUT.value, tune=tune, say=app.say)
    reported = [record for record in records if record.get('chosen', True)]
    finished = [record for record in reported if record['error'] is None]
    metric = next((name for record in finished for name in record['metrics']), summary.METRIC)
    rows = summary.summarise(records, list(over), metric, list(tune))
    summary.write_tables(folder, records, rows)
    plot.plot(folder / 'summary.png', rows, metric)
    table.print_table(rows, metric)
    app.say(f'{folder}: summary.png, summary.csv, runs.csv and a directory a run')
    if len(finished) < len(reported):
        sys.exit(1)


if __name__ == '__main__':
    app.run(main)
