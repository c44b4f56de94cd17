"""Which loss a task gets, and which classes weigh what."""

import dataclasses

import numpy as np
import pytest

from jtransfer.config.optim import Loss
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, kinds, single_label
from jtransfer.tasks.choose_loss import task_losses
from jtransfer.tasks.class_balance import class_weights
from jtransfer.tasks.criterion import make_criterion

ONE = single_label(('a', 'b', 'c'))
KIND = single_label(('a', 'b', 'c'), 'kind')
TAGS = Task('tags', 'multi_label', ('x', 'y'))
AGE = Task('age', 'regression', ('years',))
LABELS = {
    'kind': np.array([0, 0, 0, 1, 2, -1, -1], np.int32),
    'tags': np.array([[0, 1], [1, 1], [0, 1], [1, 1], [np.nan] * 2, [np.nan] * 2, [1, 1]], np.float32),
    'age': np.ones((7, 1), np.float32),
}


@pytest.mark.parametrize(
    ('name', 'tasks', 'expected'),
    [
        ('auto', [ONE], ['cross_entropy']),
        ('focal', [ONE], ['focal']),
        ('binary', [ONE], ['binary']),
        ('auto', [dataclasses.replace(TAGS, name='')], ['binary']),
        ('binary_sum', [dataclasses.replace(TAGS, name='')], ['binary_sum']),
        ('auto', [dataclasses.replace(AGE, name='')], ['mse']),
        ('huber', [dataclasses.replace(AGE, name='')], ['huber']),
        ('auto', [KIND, TAGS, AGE], ['cross_entropy', 'binary', 'mse']),
        ('huber', [KIND, TAGS, AGE], ['cross_entropy', 'binary', 'huber']),
        ('binary', [KIND, TAGS, AGE], ['binary', 'binary', 'mse']),
        ('focal', [KIND, TAGS, AGE], ['focal', 'binary', 'mse']),
    ],
)
def test_the_configured_loss_is_for_the_tasks_that_it_fits(name, tasks, expected):
    losses = task_losses(Loss(name), tasks)
    assert list(losses) == [task.name for task in tasks]
    assert [loss.name for loss in losses.values()] == expected
    make_criterion(tasks, losses, 0.0)


@pytest.mark.parametrize(
    ('loss', 'tasks', 'message'),
    [
        (Loss('mse'), [ONE], 'loss.name=mse does not fit single_label: auto does, and cross_entropy, '),
        (Loss('cross_entropy'), [TAGS], 'loss.name=cross_entropy does not fit multi_label: auto does, and binary, '),
        (Loss('focal'), [TAGS, AGE], 'does not fit multi_label and regression'),
        (Loss(class_balance='inverse'), [AGE], 'loss.class_balance weighs classes, and regression has none'),
        (Loss(class_weights=(1.0,)), [AGE], 'loss.class_weights weighs classes, and regression has none'),
        (Loss(class_weights=(1.0, 2.0)), [KIND, TAGS], 'loss.class_weights could be of kind or tags'),
    ],
)
def test_what_fits_no_task_is_refused_in_one_line(loss, tasks, message):
    with pytest.raises(UserError, match=message) as raised:
        task_losses(loss, tasks)
    assert '\n' not in str(raised.value)


def test_every_kind_has_a_usual_loss():
    assert {task.kind for task in (ONE, TAGS, AGE)} == {*kinds()}
    for task in (ONE, TAGS, AGE):
        assert task_losses(Loss(), [task])[task.name].name == task.losses[0]


def test_classes_are_balanced_by_the_examples_that_have_a_label():
    losses = task_losses(Loss(class_balance='inverse'), [KIND, TAGS, AGE], LABELS)
    assert losses['kind'].class_weights == class_weights(np.array([0, 0, 0, 1, 2]), 3, 'inverse', 0.999)
    assert losses['tags'].class_weights == pytest.approx((10 / 8, 6 / 8))  # 3 and 5 of 5
    assert losses['age'].class_weights == ()
    assert {loss.class_balance for loss in losses.values()} == {'none'}


def test_without_labels_classes_weigh_alike():
    loss = task_losses(Loss(class_balance='effective_number'), [ONE])['']
    assert loss == Loss('cross_entropy')


def test_options_of_one_loss_are_not_for_the_others():
    losses = task_losses(Loss(binary_threshold=0.5, class_weights=(1.0, 2.0)), [TAGS, AGE])
    assert losses['tags'].binary_threshold == 0.5
    assert losses['tags'].class_weights == (1.0, 2.0)
    assert losses['age'] == Loss('mse')
    only = task_losses(Loss(binary_threshold=0.5), [KIND, AGE])
    with pytest.raises(UserError, match=r'loss\.binary_threshold=0\.5 is for loss.name=binary'):
        make_criterion([KIND, AGE], only, 0.0)
