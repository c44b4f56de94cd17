"""Training from parts: the best checkpoint by validation, the source model untouched."""

import jax
import numpy as np
import pytest

from jtransfer.data.parts import load_parts
from jtransfer.experiments.training import train_model
from jtransfer.pretrained.model import load_model
from jtransfer.transfer.plan import make_plan

pytestmark = pytest.mark.usefixtures('compile_once')


def test_the_best_state_by_validation_is_returned(tiny_config, checkpoints):
    config = tiny_config(**{'data.validation_fraction': 0.3, 'train.steps': 6, 'train.evaluate_every': 1})
    parts = load_parts(config.data, config.seed)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    before = jax.tree.map(np.array, model.variables)
    began = []
    plan = make_plan(model.variables['params'], config.transfer)
    trained = train_model(model, parts, plan, config, ready=lambda: began.append(True))
    scores = [line['validation/top1'] for line in trained.fit.history]
    assert began == [True]
    assert trained.fit.best_score == max(scores)
    assert trained.fit.chosen_step == 1 + scores.index(max(scores))
    assert trained.examples == len(parts.train)
    assert trained.skipped == ()
    jax.tree.map(np.testing.assert_array_equal, model.variables, before)
