"""Folds side by side: what `finetune.run` does for each of them, with one training loop for all."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer.config import Config
from jtransfer.data.decode.memory import Decoded
from jtransfer.data.feed.order import make_order
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts, check_batch_size
from jtransfer.errors import UserError
from jtransfer.experiments.data.checking import reported
from jtransfer.experiments.data.read import placement_of, read_decoded, read_examples
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import RunDirectory
from jtransfer.experiments.run.feed import check_sampling, classes_of
from jtransfer.experiments.run.prepare import Prepared
from jtransfer.experiments.run.result import Result
from jtransfer.experiments.run.safely import checkpoints_saved
from jtransfer.experiments.run.standardise import standardise
from jtransfer.experiments.run.train import Trained, make_validator
from jtransfer.inputs.base import Preprocessor
from jtransfer.out_of_memory import memory_told
from jtransfer.text.outside import count_of
from jtransfer.train.feed import Feed
from jtransfer.train.fold_feed import FoldExamples, fold_feed
from jtransfer.train.lane_placement import LanePlacement
from jtransfer.train.lanes import check_side_by_side
from jtransfer.train.loop import fit_lanes
from jtransfer.train.memory_check import step_remedy


def run_side_by_side(
    prepared: Sequence[Prepared],
    *,
    ready: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Result, ...]:
    """Trains all folds at once over the devices, and leaves of each the directory that a run of its own would leave.

    The pictures of all training parts together are decoded once and kept on the devices.

    Args:
        prepared: the run of each fold; all of one source and one network, with configurations that differ in `run_dir`.
        ready: called when every image has been read and nothing stands in the way of the first step.
        say: told, line by line, what is going on.

    Raises:
        UserError: what cannot be done side by side, or what a run of its own would refuse; nothing is written then.
        TrainingDivergedError: the loss or a gradient of a fold became NaN or infinite; the others are kept.
    """
    with contextlib.ExitStack() as holding:
        return _run(prepared, ready, say, holding)


def _run(
    prepared: Sequence[Prepared],
    ready: Callable[[], None],
    say: Callable[[str], None],
    holding: contextlib.ExitStack,
) -> tuple[Result, ...]:
    """As `run_side_by_side`; what keeps other processes out of the directories is left to `holding`."""
    began = time.perf_counter()
    config, model = prepared[0].config, prepared[0].model
    directories = [RunDirectory.find(fold.config) for fold in prepared]
    parts = [fold.parts for fold in prepared]
    step_parts = prepared[0].for_examples(round(float(np.mean([len(own.train) for own in parts]))))
    check_side_by_side(step_parts)
    placement = LanePlacement(len(parts), config.data.batch_size, config.optim.accumulate_steps)
    scaled = [standardise(model, own) for own in parts]
    decoded, examples = _read([own for _, own in scaled], model.preprocessing, config)

    validations = [
        None if own.validation is None else read_examples(own.validation, model.preprocessing, config)
        for _, own in scaled
    ]
    validators = [
        None if held is None else make_validator(held, own, config)
        for held, (own, _) in zip(validations, scaled, strict=True)
    ]
    tests = [read_examples(reported(own)[1], model.preprocessing, config, prepared[0].views) for own in parts]
    ready()
    for directory, fold in zip(directories, prepared, strict=True):
        holding.enter_context(directory.held())
        finetune.begin(directory, fold)
    say(
        f'{len(parts)} folds side by side: {count_of(placement.rows, "row")} of '
        f'{count_of(placement.device_count, "device")}, '
        f'{step_parts.total_steps:,} steps of {config.data.batch_size} images each'
    )

    def validate(fold: int, variables: Mapping[str, Any]) -> dict[str, float]:
        own = validators[fold]
        assert own is not None
        return own(variables)

    def feed(start: int) -> Feed:
        return fold_feed(decoded.inputs, examples, seed=config.seed, start_step=start, placement=placement)

    remedy = f'{step_remedy(config)}; crossval.side_by_side=False trains a fold at a time'
    with checkpoints_saved(config), memory_told('while training', remedy):
        fits = fit_lanes(
            step_parts,
            model.variables,
            feed,
            placement,
            validate=validate if all(own is not None for own in validators) else None,
            run_dirs=[directory.path for directory in directories],
        )
    every = []
    for index, fit in enumerate(fits):
        own = dataclasses.replace(scaled[index][0], variables=fit.variables)
        held = validations[index]
        lost = set(parts[index].train.ids) & set(decoded.skipped)
        skipped = (*sorted(lost), *(held.skipped if held is not None else ()))
        trained = Trained(own, fit, len(examples[index].positions), skipped)
        # Before any fold is scored: what fails in one must not lose another.
        finetune.save(directories[index].path, prepared[index], trained)
        every.append(trained)
    results = []
    for index, trained in enumerate(every):
        result = finetune.conclude(directories[index], prepared[index], tests[index], trained, began=began)
        say(f'{Path(prepared[index].config.run_dir).name}: {result.headline}')
        results.append(result)
    return tuple(results)


def _read(parts: Sequence[Parts], preprocessing: Preprocessor, config: Config) -> tuple[Decoded, list[FoldExamples]]:
    """The pictures that any fold trains on, decoded, and which of them each fold has."""
    data = config.data
    source = parts[0].train.source
    union = Part(source, np.unique(np.concatenate([own.train.indices for own in parts])))
    hold = preprocessing.prepare(config.augment)
    if placement_of(union, hold, config) != 'device':
        keep = f'folds side by side keep their {len(union):,} training images on the devices, and '
        if data.placement != 'auto':
            raise UserError(f'{keep}data.placement={data.placement}: set it to auto, or crossval.side_by_side=false')
        raise UserError(
            f'{keep}they are more than data.device_budget_mib={data.device_budget_mib}: raise it, or set '
            'crossval.side_by_side=false'
        )
    for own in parts:
        check_sampling(own.train, config)
    decoded = read_decoded(union, hold, config)
    position = {example: index for index, example in enumerate(decoded.ids)}
    return decoded, [_examples(own.train, position, decoded, config) for own in parts]


def _examples(train: Part, position: Mapping[str, int], decoded: Decoded, config: Config) -> FoldExamples:
    data = config.data
    kept = np.array([index for index, example in enumerate(train.ids) if example in position], np.int64)
    readable = Part(train.source, train.indices[kept])
    check_batch_size(data.batch_size, len(readable))
    positions = np.array([position[example] for example in readable.ids], np.int64)
    classes = classes_of(readable) if data.sampling == 'balanced' else None
    return FoldExamples(
        positions=positions,
        labels=readable.labels,
        order=make_order(len(positions), data.batch_size, config.seed, config.augment.repeats, classes),
        weights=readable.weights,
    )
