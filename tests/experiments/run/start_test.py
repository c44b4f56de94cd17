"""Where a run starts: the weights of a configuration, and the shapes alone of the very same network."""

import jax
import pytest

from jtransfer.config import replace
from jtransfer.experiments.run import start
from jtransfer.experiments.run.start import LastModel, abstract_model, make_model


@pytest.mark.parametrize(('family', 'strategy'), [('resnet', 'fine_tune'), ('vit', 'lora')])
def test_shapes_alone_are_those_of_the_network_with_its_weights(tiny_config, checkpoints, family, strategy):
    settings = {'model.checkpoint': checkpoints[family], 'transfer.strategy': strategy, 'model.dropout': 0.5}
    config = tiny_config(**settings)
    real, planned = make_model(config, ('0', '1', '2')), abstract_model(config, 3)
    assert real.network == planned.network
    assert (real.class_names, real.preprocessing) == (planned.class_names, planned.preprocessing)
    assert jax.eval_shape(lambda: real.variables) == planned.variables


def test_a_model_is_loaded_where_it_is_not_the_one_that_was_asked_for_last(tiny_config, monkeypatch):
    loaded = []
    monkeypatch.setattr(start, 'make_model', lambda *asked: loaded.append(asked) or make_model(*asked))
    config, names = tiny_config(), ('a', 'b')
    last, shapes = LastModel(), LastModel(drawn=False)
    first = last(config, names)
    assert last(replace(config, 'optim.learning_rate', 0.5), names) is first
    assert last(replace(config, 'transfer.strategy', 'fine_tune'), names) is first
    same = shapes(config, names)
    assert shapes(replace(config, 'seed', 1), names) is same
    loaded.clear()
    for field, value in (('seed', 1), ('model.dropout', 0.5), ('transfer.strategy', 'scratch')):
        config = replace(config, field, value)
        assert last(config, names) is last(config, names)
    assert last(config, (*names, 'c')).class_names == (*names, 'c')
    assert len(loaded) == 4
    last.let_go()
    assert last(config, (*names, 'c')) is last(config, (*names, 'c'))
    assert len(loaded) == 5
