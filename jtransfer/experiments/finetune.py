"""A fine-tuning run from its configuration to its report, in the order in which it happens."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jtransfer import adapters, stopping
from jtransfer.config import Config, validate
from jtransfer.config_check import parse_options
from jtransfer.config_transfer import ADAPTATIONS
from jtransfer.data.parts import Parts, load_parts
from jtransfer.data.source import Source
from jtransfer.evaluate.views import make_views
from jtransfer.evaluate.write import write_evaluation
from jtransfer.experiments.changes import in_words, read_changes
from jtransfer.experiments.checking import check_data, check_run, reported
from jtransfer.experiments.data_lines import describe_parts
from jtransfer.experiments.given import given_record
from jtransfer.experiments.outputs import OUTPUTS, Outputs, write_outputs
from jtransfer.experiments.page import write_page
from jtransfer.experiments.reading import Examples, read_examples
from jtransfer.experiments.result import Result
from jtransfer.experiments.run_dir import RunDirectory, write_text
from jtransfer.experiments.run_split import split_of
from jtransfer.experiments.safely import diverged_saved, how_to_go_on, page_of_finished, scoring_saved
from jtransfer.experiments.scoring import fitted_thresholds, score
from jtransfer.experiments.tables import plan_table
from jtransfer.experiments.temperature import calibrate
from jtransfer.experiments.training import Trained, train_model
from jtransfer.pretrained.adapter_file import ADAPTER_FILE, save_adapter
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.model import Model, load_model, merge_model
from jtransfer.record_types import SCHEMA
from jtransfer.tasks.base import Task
from jtransfer.tasks.measured import Measured
from jtransfer.transfer.plan import Plan, make_plan


def run(
    config: Config,
    source: Source | Mapping[str, Source] | None = None,
    *,
    parts: Parts | None = None,
    say: Callable[[str], None] = lambda line: None,
    title: str = '',
    look_for_copies: bool = True,
) -> Result:
    """Runs an experiment: reads, plans, trains, evaluates once on the test part, and writes the run directory.

    Args:
        config: what to do.
        source: labelled images in memory, instead of `config.data.source`.
        parts: data that are divided already, instead of either.
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
        return _run(directory, config, source, parts, say, title, look_for_copies, began)


def _run(
    directory: RunDirectory,
    config: Config,
    source: Source | Mapping[str, Source] | None,
    parts: Parts | None,
    say: Callable[[str], None],
    title: str,
    look_for_copies: bool,
    began: float,
) -> Result:
    parts = parts or load_parts(config.data, config.seed, source)
    check_data(parts)
    for line in describe_parts(parts, config.data.source):
        say(line)
    model = make_model(config, parts.class_names, parts.tasks)
    say(model.load_report.summary())
    plan = make_plan(model.network, model.variables['params'], config.transfer, config.optim.weight_decay)
    for line in (plan.summary(), *plan.notes):
        say(line)
    check_run(config, parts, model, plan)  # before any image is read
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    name, held_out = reported(parts)
    examples = read_examples(held_out, model.preprocessing, config, views)

    with contextlib.ExitStack() as held:

        def ready() -> None:
            held.enter_context(directory.held())
            begin(directory, config, parts, plan)
            changed = in_words(directory.path, directory.changes)
            say(f'{"resuming" if directory.resumes else "writing"} {directory.path}{changed}')

        with diverged_saved(directory.path, alone=not title):
            trained = train_model(
                model,
                parts,
                plan,
                config,
                run_dir=directory.path,
                ready=ready,
                title=title,
                held_out={name: examples},
                say=say if look_for_copies else None,
            )
        return conclude(directory, config, parts, examples, trained, plan, base=model, began=began)


def begin(directory: RunDirectory, config: Config, parts: Parts, plan: Plan) -> None:
    """Makes the run directory, with everything that is known before the first step."""
    directory.create(config)
    directory.write_split(split_of(parts))
    write_text(directory.path / 'plan.txt', plan_table(plan))


def conclude(
    directory: RunDirectory,
    config: Config,
    parts: Parts,
    examples: Examples,
    trained: Trained,
    plan: Plan,
    *,
    base: Model,
    began: float,
) -> Result:
    """Saves what was trained, then evaluates it, once, and writes the rest of the run directory, the page last.

    Args:
        directory: of the run.
        config: of the run.
        parts: of the data.
        examples: of the part that is reported, read.
        trained: what the training left.
        plan: which parameters moved.
        base: where training started.
        began: when the run began, by `time.perf_counter`.

    Raises:
        UserError: what the evaluation or the page refuses; the network is there all the same.
    """
    save(trained.model, directory.path, config, trained, plan, base=base)
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
        save(trained.model, directory.path, config, trained, plan, base=base, part=part, metrics=scores.metrics)
        skipped = sorted({*trained.skipped, *examples.skipped})
        result = Result(
            config=config,
            directory=directory,
            part=part,
            metrics=scores.metrics,
            model=trained.model,
            plan=plan,
            load_summary=base.load_report.summary(),
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


def make_model(config: Config, class_names: Sequence[str], tasks: Sequence[Task] = ()) -> Model:
    """The network of a configuration, with pretrained weights unless the strategy is `scratch`, and what it adds.

    Args:
        config: of the run.
        class_names: of one label an image.
        tasks: instead, where there are any: what the heads are for.
    """
    model = load_model(
        config.model.checkpoint,
        architecture=config.model.name,
        class_names=None if tasks else class_names,
        tasks=tasks or None,
        image_size=(config.model.image_size, config.model.image_width or config.model.image_size),
        input_channels=config.model.input_channels,
        preprocessing=parse_options(config.model.preprocessing),
        options=parse_options(config.model.options),
        dtype=config.model.dtype,
        drop_path=config.model.drop_path,
        dropout=config.model.dropout,
        head_init=config.model.head_init,
        seed=config.seed,
        random_weights=config.transfer.strategy == 'scratch',
        checkpoint_classes=config.model.checkpoint_classes,
    )
    return adapted(model, config) if config.transfer.strategy in ADAPTATIONS else model


def adapted(model: Model, config: Config) -> Model:
    """The model with what the strategy (`lora`, `adapter`, `prompt`, `ssf`) adds to it; nothing changes at first.

    Raises:
        UserError: targets that the network does not have, or a network that cannot be adapted so.
    """
    params, kind = model.variables['params'], config.transfer.strategy
    network, params = adapters.adapt(
        model.network,
        params,
        adapters.make_adaptation(kind, config.adapters, model.network, params),
        key=jax.random.fold_in(jax.random.key(config.seed), zlib.crc32(b'adapters')),
        image_shape=(*model.preprocessing.shape, model.preprocessing.channels),
    )
    return dataclasses.replace(model, network=network, variables={**model.variables, 'params': params})


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
    model: Model,
    folder: Path,
    config: Config,
    trained: Trained,
    plan: Plan,
    *,
    base: Model,
    part: str = '',
    metrics: Measured | None = None,
) -> None:
    """Writes the trained network, whole, with where it comes from; and where less than half of it moved, an adapter.

    LoRA and SSF are merged into `model.safetensors`, and are apart in `adapter.safetensors`. A run calls this before
    anything is scored, and again with the score, when the files are replaced.
    """
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
