"""Shapes are known without memory, and sizes that contradict each other are one line."""

import jax
import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.shapes import variable_shapes


def test_shapes_are_those_of_the_variables():
    network = models.create('resnet_tiny', num_classes=3)
    shapes = variable_shapes(network, ImagePreprocessor(16, image_width=24).spec())
    made = network.init(jax.random.key(0), jax.numpy.zeros((1, 16, 24, 3)))
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(lambda leaf: leaf.shape, made)


def test_who_changes_the_shapes_changes_no_one_elses():
    network = models.create('resnet_tiny', num_classes=3)
    shapes = variable_shapes(network, ImagePreprocessor(16).spec())
    shapes['params'].clear()
    assert variable_shapes(models.create('resnet_tiny', num_classes=3), ImagePreprocessor(16).spec())['params']
    other = variable_shapes(models.create('resnet_tiny', num_classes=5), ImagePreprocessor(16).spec())
    assert other['params']['head']['bias'].shape == (5,)


def test_a_large_image_takes_no_memory():
    spec = ImagePreprocessor(8192).for_channels(1024).spec()
    shapes = variable_shapes(models.create('resnet_tiny', num_classes=3), spec)
    assert shapes['params']['backbone']['stem']['conv']['kernel'].shape[2] == 1024


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('resnet_tiny', {'widths': [8]}, 'cannot be built'),
        ('vit_tiny_test', {'dim': 2**16, 'heads': 1, 'mlp_hidden': 2**16}, 'parameters; at most 4,294,967,296'),
    ],
)
def test_sizes_that_do_not_go_together(name, options, message):
    network = models.create(name, num_classes=3, options=options)
    with pytest.raises(UserError, match=message) as caught:
        variable_shapes(network, ImagePreprocessor(32).spec())
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 400
