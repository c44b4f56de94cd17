"""Folds side by side: equal to the same folds one after another."""

import dataclasses

import chex
import numpy as np
import pytest

from jtransfer.config import Transfer
from jtransfer.config.optim import Loss
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.rules import flatten
from jtransfer.train.loop import fit, fit_lanes
from tests.tiers import slow
from tests.train.folds import (
    AUGMENT,
    FROZEN,
    LOSS_TOLERANCE,
    OPTIM,
    STATE_TOLERANCE,
    STEPS,
    TRAIN,
    OnceFolds,
    curves,
    feeder,
    feeder_alone,
    folders,
    host,
    training_parts,
    validate_fold,
)


def assert_same_training(together, alone):
    """To what float32 allows, summed in another order."""
    for metric in ('train/loss', 'gradient_norm'):
        np.testing.assert_allclose(curves(together, metric), curves(alone, metric), **LOSS_TOLERANCE)
    np.testing.assert_allclose(curves(together, 'train/accuracy'), curves(alone, 'train/accuracy'), atol=1e-6)
    for one, other in zip(together, alone, strict=True):
        chex.assert_trees_all_close(host(one.state), host(other.state), **STATE_TOLERANCE)
        assert one.starts == other.starts
        assert [line.keys() for line in one.history] == [line.keys() for line in other.history]
    # The folds differ among themselves by far more.
    assert np.ptp(curves(together, 'train/loss'), axis=0).min() > 1e-3


@pytest.mark.parametrize(
    ('folds', 'devices', 'mesh', 'name'),
    [
        (3, 8, (3, 2), 'resnet_tiny'),
        (5, 4, (1, 4), 'dense_norm'),
        (9, 6, (3, 2), 'dense_norm'),
        *slow((4, 8, (4, 2), 'dense_norm'), (8, 8, (8, 1), 'dense_norm'), (5, 8, (5, 1), 'dense_norm')),
    ],
)
def test_side_by_side_trains_as_one_after_another(toy, folds, devices, mesh, name):
    steps = 6
    parts, variables = toy.make(name, FROZEN, OPTIM, augment=AUGMENT, train=TRAIN, steps=steps)
    placement = OnceFolds(folds, devices)
    assert placement.mesh.devices.shape == mesh
    alone_on = toy.placement(1)
    alone = [fit(parts, variables, feeder_alone(part, alone_on), alone_on) for part in training_parts(folds)]
    together = fit_lanes(parts, variables, feeder(folds, placement), placement)
    assert len(together) == folds
    assert_same_training(together, alone)
    frozen = flatten(parts.start(variables).frozen)
    assert frozen
    for result in together:
        assert flatten(result.state.model_state)  # batch normalisation was compared too
        chex.assert_trees_all_equal(host(flatten(result.state.frozen)), host(frozen))
        moved = flatten(result.state.trainable)
        before = flatten(variables['params'])
        assert all(np.abs(before[path] - moved[path]).max() > 1e-3 for path in moved if path.endswith('kernel'))


@pytest.mark.parametrize(
    'transfer',
    [Transfer('lp_ft', first_phase=0.34), *slow(Transfer('gradual', unfreeze_every=3, unfreeze_warmup=2))],
)
def test_planned_phases_and_sizes_side_by_side(toy, transfer):
    augment = dataclasses.replace(AUGMENT, sizes=(12, 16), size_schedule='random')
    parts, variables = toy.make('dense_norm', transfer, OPTIM, augment=augment, train=TRAIN, steps=STEPS)
    placement, alone_on = OnceFolds(4, 8), toy.placement(1)
    together = fit_lanes(parts, variables, feeder(4, placement), placement)
    alone = [fit(parts, variables, feeder_alone(part, alone_on), alone_on) for part in training_parts(4)]
    assert_same_training(together, alone)
    assert len(together[0].starts) == parts.plan.phases > 1
    assert set(curves(together, 'train/image_size').ravel()) == {12, 16}


def test_lanes_with_other_rates_and_decays_train_as_one_after_another(toy):
    def with_numbers(rate, decay, l2_sp):
        optim = dataclasses.replace(OPTIM, learning_rate=rate, weight_decay=decay)
        transfer = dataclasses.replace(FROZEN, l2_sp=l2_sp)
        return toy.make('dense_norm', transfer, optim, augment=AUGMENT, train=TRAIN, steps=6)

    (first, variables), (second, _) = with_numbers(0.05, 0.01, 0.01), with_numbers(0.02, 0.2, 0.3)
    alone_on, placement = toy.placement(1), OnceFolds(2, 4)
    alone = [
        fit(parts, variables, feeder_alone(part, alone_on), alone_on)
        for parts, part in zip((first, second), training_parts(2), strict=True)
    ]
    settings = [first.settings, second.settings]
    together = fit_lanes(first, variables, feeder(2, placement), placement, settings=settings)
    assert_same_training(together, alone)
    rates = curves(together, 'learning_rate/head')
    np.testing.assert_allclose(rates, curves(alone, 'learning_rate/head'), rtol=1e-6)
    np.testing.assert_allclose(rates[0] / rates[1], 2.5, rtol=1e-5)


def test_lanes_of_other_terms_and_too_few_of_them_are_refused(toy):
    parts, variables = toy.make('dense', optim=OPTIM, train=TRAIN, steps=2)
    other, _ = toy.make('dense', optim=dataclasses.replace(OPTIM, weight_decay=0.0), train=TRAIN, steps=2)
    placement = OnceFolds(2, 1)
    for settings, told in (
        ([parts.settings, other.settings], 'settings of lane 1 are of other terms'),
        ([parts.settings], '1 settings for 2 lanes'),
    ):
        with pytest.raises(ValueError, match=told):
            fit_lanes(parts, variables, feeder(2, placement), placement, settings=settings)


def test_phases_that_wait_for_validation_are_refused(toy, tmp_path):
    parts, variables = toy.make('dense', Transfer('gradual'), steps=STEPS)
    placement = OnceFolds(2, 2)
    with pytest.raises(UserError, match=r'set transfer\.unfreeze_every'):
        fit_lanes(
            parts, variables, feeder(2, placement), placement, validate=validate_fold, run_dirs=folders(tmp_path, 2)
        )
    assert not list(tmp_path.iterdir())


def test_class_weights_of_each_training_part_are_refused(toy):
    parts, variables = toy.make('dense', loss=Loss(class_balance='inverse'))
    placement = OnceFolds(2, 2)
    with pytest.raises(UserError, match=r'loss\.class_balance=inverse .* crossval\.side_by_side=false'):
        fit_lanes(parts, variables, feeder(2, placement), placement)


def test_every_diverging_fold_is_named_without_a_run_directory(toy):
    parts, variables = toy.make('dense', optim=OPTIM, train=TRAIN, steps=4)
    variables['params']['head']['kernel'][:] = 3e38
    placement = OnceFolds(2, 2)
    with pytest.raises(TrainingDivergedError, match=r'finite in fold 0 at step 1 and in fold 1 at step 1\. A lower'):
        fit_lanes(parts, variables, feeder(2, placement), placement)
