"""What is held of an example, and who lacks what."""

import pytest

from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.prepare import field_of, in_words
from tests import waves
from tests.waves import Waves


@pytest.fixture(scope='module', autouse=True)
def _known():
    with pytest.MonkeyPatch.context() as patch:
        waves.add(patch)
        yield


def test_a_missing_field_is_named():
    with pytest.raises(UserError, match=r'^tone: the network reads wave, and the source has image, mask$'):
        Waves().prepare()({'id': 'tone', 'image': 0, 'mask': 0, 'labels': {}})
    with pytest.raises(UserError, match=r'^an example: a survey reads image, and the source has nothing$'):
        field_of({}, 'image', 'a survey')
    assert in_words({**Waves().spec(), **ImagePreprocessor(8).spec()}) == 'wave 24×1, image 8×8×3'
