"""Which loss each task is trained with: the configured one where it fits, else the usual one of the task's kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jtransfer.config.optim import Loss
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, labelled
from jtransfer.tasks.labels import Labels
from jtransfer.tasks.losses import BINARY


def task_losses(loss: Loss, tasks: Sequence[Task], labels: Labels | None = None) -> dict[str, Loss]:
    """The loss of each task by its name.

    Options that are for another loss or for classes alone (`binary_threshold`, class weights) are those of the tasks
    that they fit, as long as they fit one.

    Args:
        loss: as configured.
        tasks: what is to be learnt.
        labels: of the training part, by which `loss.class_balance` weighs the classes; nothing else may be among them.
            None: classes weigh alike, where only shapes and costs count.

    Raises:
        UserError: a loss or an option that fits none of the tasks, or class weights that could be of several.
    """
    losses = {task.kind: task.losses for task in sorted(tasks, key=lambda task: task.kind)}
    if loss.name != 'auto' and not any(loss.name in fitting for fitting in losses.values()):
        named = ', '.join(name for fitting in losses.values() for name in fitting)
        raise UserError(f'loss.name={loss.name} does not fit {" and ".join(losses)}: auto does, and {named}')
    names = {task.name: loss.name if loss.name in task.losses else task.losses[0] for task in tasks}
    with_classes = [task.name for task in tasks if task.has_classes]
    _check_weights(loss, tasks, with_classes)
    binary = any(name in BINARY for name in names.values())
    result = {}
    for task in tasks:
        name = names[task.name]
        own = dataclasses.replace(loss, name=name)
        if len(tasks) > 1 and binary and name not in BINARY:
            own = dataclasses.replace(own, binary_threshold=0.0)
        if task.name not in with_classes:
            own = dataclasses.replace(own, class_weights=(), class_balance='none')
        elif loss.class_balance != 'none':
            own = dataclasses.replace(own, class_weights=_balanced(loss, task, labels), class_balance='none')
        result[task.name] = own
    return result


def _check_weights(loss: Loss, tasks: Sequence[Task], with_classes: Sequence[str]) -> None:
    weighs = {'class_weights': bool(loss.class_weights), 'class_balance': loss.class_balance != 'none'}
    for field, given in weighs.items():
        if given and not with_classes:
            raise UserError(f'loss.{field} weighs classes, and {tasks[0].kind} has none: leave it out')
    if loss.class_weights and len(with_classes) > 1:
        raise UserError(
            f'loss.class_weights could be of {" or ".join(with_classes)}; loss.class_balance weighs the classes of each'
        )


def _balanced(loss: Loss, task: Task, labels: Labels | None) -> tuple[float, ...]:
    if labels is None:
        return ()
    from jtransfer.tasks.class_balance import class_weights

    values = labels[task.name]
    return class_weights(values[labelled(values)], len(task.class_names), loss.class_balance, loss.class_balance_beta)
