"""Gathers what the HTML page of a run shows."""

from __future__ import annotations

from jtransfer.data.part import Part
from jtransfer.experiments.run.changes import changed_in_words
from jtransfer.experiments.run.result import Result
from jtransfer.experiments.run.score import Scores
from jtransfer.inputs.image import IMAGE
from jtransfer.report.page import PlanRow, WrongExample, write_report
from jtransfer.train.logs.log import read_log


def write_page(result: Result, scores: Scores, part: Part) -> None:
    """Writes `report.html` of a run.

    Args:
        result: the run.
        scores: on the part that is reported.
        part: where the pictures of the most-wrong examples come from.
    """
    config, path = result.config, result.directory.path
    write_report(
        path / 'report.html',
        title=config.name,
        metrics=result.metrics,
        curves=read_log(path / 'metrics.jsonl'),
        plan=plan_rows(result),
        most_wrong=wrong_pictures(scores, part, config.evaluate.most_wrong),
        config_text=(path / 'config.py').read_text(encoding='utf-8', errors='replace'),
        facts={
            'strategy': config.transfer.strategy,
            'started from': config.model.checkpoint if config.transfer.strategy != 'scratch' else 'random weights',
            **({'set aside': '; '.join(result.plan.notes)} if result.plan.notes else {}),
            'architecture': result.model.architecture,
            'data': config.data.source,
            'evaluated on': f'{result.metrics.examples:,} {result.part} images',
            'test-time augmentation': result.metrics.test_time_augmentation,
            **({'changed under way': changes} if (changes := changed_in_words(path)) else {}),
            'training time': f'{result.fit_seconds:.1f} s',
        },
    )


def plan_rows(result: Result) -> list[PlanRow]:
    """The plan as rows of the page."""
    return [
        PlanRow(
            pattern=group.pattern,
            group=group.name,
            tensors=len(group.paths),
            elements=group.elements,
            learning_rate_scale=float(group.learning_rate_scale) if group.trainable else 0.0,
            weight_decay=float(group.weight_decay),
            trainable=group.trainable,
        )
        for group in result.plan.groups
    ]


def wrong_pictures(scores: Scores, part: Part, count: int) -> list[WrongExample]:
    """The examples that the network got most wrong, with their original pictures; of several heads, of each.

    Args:
        scores: on the part.
        part: whose pictures they are.
        count: the most of a task.
    """
    position = {name: index for index, name in enumerate(part.ids)}
    pictures = []
    for task in scores.tasks:
        for wrong in task.worst(scores.logits[task.name], scores.labels[task.name], count):
            name = scores.ids[wrong.index]
            pictures.append(
                WrongExample(
                    image=part[position[name]].get(IMAGE),
                    id=name,
                    label=wrong.label,
                    predicted=wrong.predicted,
                    probability=wrong.probability,
                    note=wrong.note,
                    task=task.name,
                )
            )
    return pictures
