"""What a line of the metrics says."""

import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.train.logs.log_values import in_float32, log_values

ROW = {'loss': 1.0, 'accuracy': 0.5, 'gradient_norm': 2.0, 'finite': 1.0, 'learning_rate/head': 0.1}


def test_means_over_the_steps_and_the_last_learning_rate():
    other = {'loss': 3.0, 'accuracy': 0.0, 'gradient_norm': 4.0, 'finite': 1.0, 'learning_rate/head': 0.3}
    assert log_values([ROW, other], 16, 4.0) == {
        'train/loss': 2.0,
        'train/accuracy': 0.25,
        'gradient_norm': 3.0,
        'learning_rate/head': 0.3,
        'images_per_second': 8.0,
        'finite': True,
    }


def test_losses_of_heads_and_the_distance_of_the_source_where_there_are_any():
    row = ROW | {'loss/kind': 5.0, 'source_distance': 0.0}
    values = log_values([row, row], 1, 1.0)
    assert values.keys() - log_values([ROW], 1, 1.0).keys() == {'train/loss/kind', 'source_distance'}
    assert values['train/loss/kind'] == 5.0


@pytest.mark.parametrize('at', [0, 1, 2])
def test_one_step_that_is_not_finite_is_enough(at):
    rows = [ROW | {'finite': float(number != at)} for number in range(3)]
    assert not log_values(rows, 1, 1.0)['finite']


def test_variables_are_saved_in_float32():
    wide = in_float32({'a': jnp.full(2, 1.5, jnp.bfloat16), 'b': np.arange(2), 'c': np.ones(1, np.float32)})
    assert [leaf.dtype for leaf in wide.values()] == [np.float32, np.int64, np.float32]
    assert wide['a'].tolist() == [1.5, 1.5]
