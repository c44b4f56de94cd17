"""Settings of the training: its length, and what is refused."""

import pytest

from jtransfer.config import Train
from jtransfer.errors import UserError

LENGTH = r'set exactly one of train\.epochs and train\.steps \(the other stays 0\)'


@pytest.mark.parametrize(
    ('train', 'message'),
    [
        (Train(epochs=-1.0), 'train.epochs=-1.0 must be at least 0'),
        (Train(stop_step=-1), 'train.stop_step=-1 must be at least 0'),
        (Train(epochs=1.0, steps=1), LENGTH),
        (Train(placement='pmapp'), "Did you mean 'pmap'"),
        (Train(resume='always'), 'is not one of never, auto, changed'),
        (Train(log_every=0), 'train.log_every=0 must be at least 1'),
    ],
)
def test_what_cannot_be_is_refused(train, message):
    with pytest.raises(UserError, match=message):
        train.check('train.')


def test_a_length_is_asked_of_those_alone_who_train():
    Train().check('train.')
    with pytest.raises(UserError, match=LENGTH):
        Train().check_length('train.')
    Train(steps=1).check_length('train.')
