"""What evaluation and prediction are asked to do otherwise than the run: checked under the names of the arguments."""

import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.predict.settings import PredictionSettings


def test_what_is_empty_is_left_as_the_run_had_it():
    assert PredictionSettings().of_data() == {}
    assert PredictionSettings().of_evaluate() == {}
    given = PredictionSettings(batch_size=4, flips=False, crops=5, scales=('1', '1.5'), pixel_range=('0', '4095', ''))
    assert given.of_evaluate() == {'batch_size': 4, 'flips': False, 'crops': 5, 'scales': (1.0, 1.5)}
    assert given.of_data() == {'pixel_range': (0.0, 4095.0)}


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'crops': 3}, r'^crops=3 must be 1 \(the centre\) or 5'),
        ({'batch_size': -1}, '^batch_size=-1 must be at least 1'),
        ({'batch_size': 'x'}, "^batch_size='x' is not of type int"),
        ({'scales': (1.0, 1.0)}, 'must not have the same scale twice'),
        ({'scales': ('1', 'x')}, '^scales=1,x must be numbers'),
        ({'max_pixels': -5}, '^max_pixels=-5 must be at least 1'),
        ({'pixel_range': (5.0, 1.0)}, r'^pixel_range=5,1 must be two numbers'),
    ],
)
def test_what_cannot_be_is_one_line(settings, message):
    given = PredictionSettings(**settings)
    with pytest.raises(UserError, match=message):
        assert {**given.of_data(), **given.of_evaluate()}
