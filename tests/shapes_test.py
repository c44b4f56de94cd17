"""The shapes that signatures state are checked while the tests run."""

import jaxtyping
import numpy as np
import pytest

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import evaluation_pixels
from jtransfer.train import step
from tests.conftest import stating_shapes


def test_a_wrong_shape_is_an_error():
    with pytest.raises(jaxtyping.TypeCheckError):
        evaluation_pixels(np.zeros((8, 8), np.uint8), ImagePreprocessor(8))


def test_every_room_that_states_shapes_is_among_them():
    rooms = {module.split('.')[1] for module in stating_shapes()}
    assert {'adapters', 'augment', 'evaluate', 'models', 'tasks', 'train', 'transfer'} <= rooms
    assert 'data' not in rooms
    assert step.__name__ in stating_shapes()
