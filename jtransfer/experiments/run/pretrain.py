"""Makes the networks that are shipped: trains one on a source task and records how, beside the weights."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jtransfer import config as config_lib
from jtransfer.config import Config
from jtransfer.errors import UserError
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import write_json
from jtransfer.experiments.run.result import Result
from jtransfer.files.paths import output_file
from jtransfer.files.writing import atomic_path


def run(config: Config, output: str | Path, *, say: Callable[[str], None] = lambda line: None) -> tuple[Result, Path]:
    """Trains from random weights, then copies the network to `output` with a JSON record of the same stem.

    Args:
        config: `transfer.strategy` must be `scratch`.
        output: the `.safetensors` file to write.
        say: told, line by line, what is going on.

    Returns:
        The run, and the path of the record.

    Raises:
        UserError: the configuration starts from other weights, or `output` is no `.safetensors` file that can be
            written.
    """
    output = output_file(output, example='weights.safetensors')
    if config.transfer.strategy != 'scratch':
        raise UserError(
            f'pretraining starts from random weights: set transfer.strategy=scratch, not {config.transfer.strategy}'
        )
    if output.suffix != '.safetensors':
        raise UserError(f'output={output} must be a .safetensors file')
    result = finetune.run(config, say=say)
    with atomic_path(output) as partial:
        shutil.copyfile(result.directory.path / 'model.safetensors', partial)
    record = output.with_suffix('.json')
    write_json(record, describe(result))
    return result, record


def describe(result: Result) -> dict[str, Any]:
    """How a network came about: task, accuracy, seed, versions and the whole configuration."""
    metrics = result.metrics
    saved = dataclasses.replace(result.config, run_dir='')
    return {
        'architecture': result.model.architecture,
        'parameters': result.plan.elements,
        'source_task': result.config.data.source,
        'classes': len(result.model.class_names),
        'part': result.part,
        'examples': metrics.examples,
        **_scored(result),
        'seed': result.config.seed,
        'train_seconds': round(result.fit_seconds, 1),
        'versions': finetune.versions(),
        'config': config_lib.to_dict(saved),
    }


def _scored(result: Result) -> dict[str, Any]:
    values = result.metrics.score_figure.record()
    ends = values['score_interval']
    interval = None if ends is None else [round(bound, 5) for bound in ends]
    return {**values, 'score': round(result.metrics.score, 5), 'score_interval': interval}
