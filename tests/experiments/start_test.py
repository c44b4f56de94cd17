"""Where a run starts: the weights of a configuration, and the shapes alone of the very same network."""

import jax
import pytest

from jtransfer.experiments.start import abstract_model, make_model


@pytest.mark.parametrize(('family', 'strategy'), [('resnet', 'fine_tune'), ('vit', 'lora')])
def test_shapes_alone_are_those_of_the_network_with_its_weights(tiny_config, checkpoints, family, strategy):
    settings = {'model.checkpoint': checkpoints[family], 'transfer.strategy': strategy, 'model.dropout': 0.5}
    config = tiny_config(**settings)
    real, planned = make_model(config, ('0', '1', '2')), abstract_model(config, 3)
    assert real.network == planned.network
    assert (real.class_names, real.preprocessing) == (planned.class_names, planned.preprocessing)
    assert jax.eval_shape(lambda: real.variables) == planned.variables
