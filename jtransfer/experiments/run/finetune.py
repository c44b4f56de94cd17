"""A fine-tuning run from its configuration to its report, in the order in which it happens."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jtransfer import adapters, stopping
from jtransfer.config import Config, validate
from jtransfer.data.parts import Parts, load_parts
from jtransfer.data.source import SourceLike
from jtransfer.evaluate.write import write_evaluation
from jtransfer.experiments.data.checking import check_data, reported
from jtransfer.experiments.data.data_lines import describe_parts
from jtransfer.experiments.data.given import given_record
from jtransfer.experiments.data.read import Examples, read_examples
from jtransfer.experiments.data.split import split_of
from jtransfer.experiments.run.changes import in_words, read_changes
from jtransfer.experiments.run.directory import RunDirectory, write_text
from jtransfer.experiments.run.outputs import OUTPUTS, Outputs, write_outputs
from jtransfer.experiments.run.page import write_page
from jtransfer.experiments.run.prepare import Prepared, prepare
from jtransfer.experiments.run.result import Result
from jtransfer.experiments.run.safely import diverged_saved, how_to_go_on, page_of_finished, scoring_saved
from jtransfer.experiments.run.score import fitted_thresholds, score
from jtransfer.experiments.run.temperature import calibrate
from jtransfer.experiments.run.terminal import plan_table
from jtransfer.experiments.run.train import Trained, train_model
from jtransfer.files.record_types import SCHEMA
from jtransfer.pretrained.adapter_file import ADAPTER_FILE, save_adapter
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.model import merge_model
from jtransfer.tasks.metrics.measured import Measured


def run(
    config: Config,
    source: SourceLike | Mapping[str, SourceLike] | None = None,
    *,
    parts: Parts | None = None,
    prepared: Prepared | None = None,
    say: Callable[[str], None] = lambda line: None,
    title: str = '',
    look_for_copies: bool = True,
) -> Result:
    """Runs an experiment: reads, plans, trains, evaluates once on the test part, and writes the run directory.

    Args:
        config: what to do.
        source: labelled images in memory, instead of `config.data.source`.
        parts: data that are divided already, instead of either.
        prepared: the run of this configuration, where it is prepared already, instead of all of these.
        say: told, line by line, what is going on.
        title: what the progress bar is called, where the run is one of several. Empty: the configuration's name.
        look_for_copies: whether to say how many held-out images have copies in the training part, unless
            `data.duplicates` says what is to become of them. False: that has been seen to.

    Raises:
        UserError: anything the person asked for that cannot be done; nothing has been written then.
        TrainingDivergedError: the loss or a gradient became NaN or infinite; the run directory has the last good state.
        Stopped: a signal arrived while it trained, and the run directory has the state; see `jtransfer.stopping`.
    """
    began = time.perf_counter()
    config = validate(config)
    directory = RunDirectory.find(config)
    with stopping.resumable(directory.path, how_to_go_on(config)):
        if prepared is None:
            parts = parts or load_parts(config.data, config.seed, source)
            check_data(parts)
            for line in describe_parts(parts, config.data.source):
                say(line)
            prepared = prepare(config, parts, say=say)  # before any image is read
        return _run(directory, prepared, say, title, look_for_copies, began)


def _run(
    directory: RunDirectory,
    prepared: Prepared,
    say: Callable[[str], None],
    title: str,
    look_for_copies: bool,
    began: float,
) -> Result:
    name, held_out = reported(prepared.parts)
    examples = read_examples(held_out, prepared.model.preprocessing, prepared.config, prepared.views)

    with contextlib.ExitStack() as held:

        def ready() -> None:
            held.enter_context(directory.held())
            begin(directory, prepared)
            changed = in_words(directory.path, directory.changes)
            say(f'{"resuming" if directory.resumes else "writing"} {directory.path}{changed}')

        with diverged_saved(directory.path, alone=not title):
            trained = train_model(
                prepared,
                run_dir=directory.path,
                ready=ready,
                title=title,
                held_out={name: examples},
                say=say if look_for_copies else None,
            )
        return conclude(directory, prepared, examples, trained, began=began)


def begin(directory: RunDirectory, prepared: Prepared) -> None:
    """Makes the run directory, with everything that is known before the first step."""
    directory.create(prepared.config)
    directory.write_split(split_of(prepared.parts))
    write_text(directory.path / 'plan.txt', plan_table(prepared.plan))


def conclude(
    directory: RunDirectory, prepared: Prepared, examples: Examples, trained: Trained, *, began: float
) -> Result:
    """Saves what was trained, then evaluates it, once, and writes the rest of the run directory, the page last.

    Args:
        directory: of the run.
        prepared: what the run began with.
        examples: of the part that is reported, read.
        trained: what the training left.
        began: when the run began, by `time.perf_counter`.

    Raises:
        UserError: what the evaluation or the page refuses; the network is there all the same.
    """
    config, parts = prepared.config, prepared.parts
    save(directory.path, prepared, trained)
    with scoring_saved(directory.path, config):
        part, held_out = reported(parts)
        temperatures: dict[str, float] = {}
        if config.evaluate.temperature and parts.validation is not None:
            calibrated, temperatures = calibrate(trained.model, parts.validation, config)
            trained = dataclasses.replace(trained, model=calibrated)
        # What is reported must not choose them.
        thresholds = fitted_thresholds(trained.model, parts.validation, config) if part == 'test' else {}
        scores = score(trained.model, examples, config, thresholds=thresholds)
        evaluation = directory.path / 'evaluation'
        write_evaluation(evaluation, scores.metrics, scores.logits, scores.labels, scores.ids)
        write_outputs(evaluation / OUTPUTS, Outputs(scores.ids, scores.logits, scores.labels))
        save(directory.path, prepared, trained, part=part, metrics=scores.metrics)
        skipped = sorted({*trained.skipped, *examples.skipped})
        result = Result(
            config=config,
            directory=directory,
            part=part,
            metrics=scores.metrics,
            model=trained.model,
            plan=prepared.plan,
            load_summary=prepared.model.load_report.summary(),
            fit_seconds=trained.fit.seconds,
            seconds=time.perf_counter() - began,
            skipped=len(skipped),
        )
        more: dict[str, Any] = {'thresholds': thresholds} if thresholds else {}
        more |= {'temperatures': temperatures} if temperatures else {}
        more |= {'skipped': skipped} if skipped else {}
        changes = read_changes(directory.path)
        more |= {'changes': changes} if changes else {}
        more |= {'copies_in_training': dict(trained.copies)} if any(trained.copies.values()) else {}
        directory.finish({**_record(result, trained), **more})
    with page_of_finished(directory.path):
        write_page(result, scores, held_out)
    return result


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    import flax
    import optax

    return {
        'python': platform.python_version(),
        'jax': jax.__version__,
        'flax': flax.__version__,
        'optax': optax.__version__,
        'device': f'{jax.local_device_count()} × {jax.devices()[0].device_kind}',
    }


def save(
    folder: Path, prepared: Prepared, trained: Trained, *, part: str = '', metrics: Measured | None = None
) -> None:
    """Writes the trained network, whole, with where it comes from; and where less than half of it moved, an adapter.

    LoRA and SSF are merged into `model.safetensors`, and are apart in `adapter.safetensors`. A run calls this before
    anything is scored, and again with the score, when the files are replaced.
    """
    config, plan, base, model = prepared.config, prepared.plan, prepared.model, trained.model
    training = {
        'source': config.data.source,
        'checkpoint': base.load_report.source or config.model.checkpoint,
        'strategy': config.transfer.strategy,
        'seed': config.seed,
        'step': trained.fit.chosen_step,
        **({} if metrics is None else {'part': part, **metrics.record()}),
        'versions': versions(),
    }
    whole = model if model.adaptation and not adapters.can_merge(model.adaptation) else merge_model(model)
    save_model(
        folder / 'model.safetensors',
        whole.variables,
        architecture=whole.architecture,
        class_names=whole.class_names,
        preprocessing=whole.preprocessing,
        options=whole.options,
        positions=whole.positions,
        adaptation=whole.adaptation,
        tasks=whole.tasks,
        training=training,
    )
    if config.transfer.strategy != 'scratch' and plan.trainable_elements < plan.elements / 2:
        save_adapter(
            folder / ADAPTER_FILE,
            model,
            base=base,
            checkpoint=config.model.checkpoint,
            frozen_dtype=config.transfer.frozen_dtype,
            training=training,
        )


def _record(result: Result, trained: Trained) -> dict[str, Any]:
    metrics, fit = result.metrics, trained.fit
    return {
        'schema': SCHEMA,
        'part': result.part,
        **metrics.record(),
        'validation': None if fit.best_score is None else {'score': fit.best_score, 'loss': fit.best_loss},
        'metrics': {name: own.to_dict() for name, own in metrics.of_tasks().items()},
        'test_time_augmentation': metrics.test_time_augmentation,
        'chosen_step': trained.fit.chosen_step,
        **given_record(result.plan, result.config, trained.examples),
        'skipped_images': result.skipped,
        'fit_seconds': result.fit_seconds,
        'seconds': result.seconds,
        'versions': versions(),
    }
