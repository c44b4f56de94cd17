"""From a file's JSON to a kind of input."""

import pytest

from jtransfer.errors import UserError
from jtransfer.inputs import kinds
from jtransfer.inputs.kinds import add_input, preprocessor_from
from tests import waves
from tests.waves import Waves


@pytest.fixture(scope='module', autouse=True)
def _known():
    with pytest.MonkeyPatch.context() as patch:
        waves.add(patch)
        yield


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'kind': 'smell'}, r"preprocessing: kind='smell' must be one of image, feature, wave"),
        ({'kind': 3}, 'preprocessing: kind=3 must be one of'),
        ({'kind': 'wave', 'depth': 2}, "unknown field 'depth'; known: length"),
        ({'kind': 'feature', 'shape': [4]}, 'preprocessing: start is missing'),
        ({'kind': 'feature', 'shape': [0], 'start': 'stage2'}, r'whole numbers above 0 .* not shape=\(0,\)'),
        ({'kind': 'feature', 'shape': 4, 'start': 'stage2'}, 'cannot be'),
        ({'image_size': 0}, 'image_size=0 must be at least 1'),
    ],
)
def test_what_no_file_can_mean_is_one_line(values, message):
    with pytest.raises(UserError, match=message) as raised:
        preprocessor_from(values)
    assert '\n' not in str(raised.value)


def test_a_kind_has_one_meaning():
    class Other(Waves):
        pass

    with pytest.raises(UserError, match="a kind of input 'wave' already"):
        add_input(Other)
    add_input(kinds._KINDS['wave'])
