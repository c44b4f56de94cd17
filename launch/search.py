"""Searches for the best settings inside the training part, then trains with them and tests once.

    python -m launch.search --config=configs/search.py
    python -m launch.search --config=configs/search.py --config.search.storage=shared/digits.journal

Started again, it goes on. Several machines work on one study when `search.storage` names one that all can reach.
"""

from launch import app

_CONFIG = app.define_config()


def main() -> None:
    """Checks the configuration and the space, takes the trials that are missing, and shows the best of them."""
    config = _CONFIG()
    from jtransfer.experiments.search import report, search

    found = search.run(config, say=app.say)
    app.show(report.trials_table(found.trials, found.space, found.score))
    app.say(f'{found.folder}: trials.csv, search.png, best.json' + (', best/' if found.result else ''))


if __name__ == '__main__':
    app.run(main)
