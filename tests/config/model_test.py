"""Settings of the network: what is refused, in one line that says what would be right."""

import pytest

from jtransfer.config import Model
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (Model(dtype='float16'), 'model.dtype=.* is not one of float32, bfloat16'),
        (Model(head_init='ones'), 'model.head_init=.* is not one of zeros, normal'),
        (Model(image_size=-1), 'model.image_size=-1 must be at least 0'),
        (Model(image_width=8), 'model.image_width needs model.image_size, the height'),
        (Model(input_channels=2), r'model.input_channels=2 must be 3, 1 \(grey\) or 0'),
        (Model(drop_path=1.0), 'model.drop_path=1.0 must be at least 0 and below 1'),
        (Model(options='gelu'), 'is not of the form name=value'),
        (Model(checkpoint_classes='a,b'), 'a checkpoint.s head: name model.checkpoint too'),
    ],
)
def test_what_cannot_be_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        model.check('model.')
