"""Settings of optimiser and loss: what is refused, in one line that says what would be right."""

import pytest

from jtransfer.config import optim
from jtransfer.config.optim import LOSSES, OPTIMIZERS, SCHEDULES, Loss, Optim
from jtransfer.errors import UserError


def test_every_name_is_valid():
    for name in OPTIMIZERS:
        Optim(name).check('optim.')
    for schedule in SCHEDULES:
        Optim(schedule=schedule).check('optim.')
    for name in LOSSES:
        Loss(name).check('loss.')


def test_a_loss_of_somebodys_own_is_a_name_too(monkeypatch):
    monkeypatch.setattr(optim, '_FURTHER', {})
    with pytest.raises(UserError, match=r"loss.name='poisson' is not one of auto, .*symmetric_cross_entropy\."):
        Loss('poisson').check('loss.')
    optim.add_losses(['poisson', 'mse'])
    Loss('poisson').check('loss.')
    assert list(optim._FURTHER) == ['poisson']


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (Optim('adam'), "Did you mean 'adamw'"),
        (Optim(schedule='onecycle'), "Did you mean 'one_cycle'"),
        (Optim(learning_rate=0.0), 'learning_rate=0.0 must be above 0'),
        (Optim(sam_rho=-0.1), 'sam_rho=-0.1 must be at least 0'),
        (Optim(final_learning_rate_scale=2.0), 'final_learning_rate_scale=2.0 must be at most 1'),
        (Optim(momentum=1.0), 'momentum=1.0 must be at least 0 and below 1'),
        (Optim(step_milestones=(0.7, 0.3)), 'must be rising shares of the run'),
        (Optim(step_milestones=(0.5, 1.0)), 'must be rising shares of the run'),
        (Optim(step_factor=0.0), 'step_factor=0.0 must be above 0 and at most 1'),
        (Optim(accumulate_steps=0), 'accumulate_steps=0 must be at least 1'),
    ],
)
def test_an_optimiser_that_cannot_be_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        given.check('optim.')


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        (Loss('cross_entropi'), "Did you mean 'cross_entropy'"),
        (Loss(focal_gamma=-1.0), 'focal_gamma=-1.0 must be at least 0'),
        (Loss(huber_delta=0.0), 'huber_delta=0.0 must be above 0'),
        (Loss(binary_threshold=1.0), 'binary_threshold=1.0 must be at least 0 and below 1'),
        (Loss(generalized_q=0.0), 'generalized_q=0.0 must be above 0 and at most 1'),
        (Loss(class_weights=(1.0, -1.0)), 'class_weights: each=-1.0 must be at least 0'),
        (Loss(class_weights=(0.0, 0.0)), 'are all zero'),
    ],
)
def test_a_loss_that_cannot_be_is_refused(loss, message):
    with pytest.raises(UserError, match=message):
        loss.check('loss.')
