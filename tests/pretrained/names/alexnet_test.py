"""AlexNet and its published names against torchvision, from the fixture of tests/golden/make_classic.py."""

import pytest

from jtransfer.errors import UserError
from jtransfer.models.alexnet.network import AlexNet
from jtransfer.models.network import Network
from tests.golden import check

NETWORK = Network(AlexNet(widths=(6, 8, 10, 8, 7), hidden=12), {'': 5})


@pytest.fixture(scope='module')
def arrays():
    """What torchvision said."""
    return check.golden('alexnet_small')


@pytest.fixture(scope='module')
def naming():
    """torchvision's."""
    return check.naming_called('torchvision', 'alexnet', NETWORK)


def test_evaluation(arrays, naming):
    shares = check.evaluation(NETWORK, naming, arrays)
    assert set(shares) == {'logits', *NETWORK.stages}


def test_names_go_there_and_back(arrays, naming):
    check.round_trip(NETWORK, naming, arrays)


def test_another_flattening_is_noticed(arrays, naming):
    kernel = arrays['state/classifier.1.weight']
    swapped = kernel.reshape(len(kernel), -1, 6, 6).swapaxes(2, 3).reshape(kernel.shape)
    with pytest.raises(AssertionError, match='logits'):
        check.evaluation(NETWORK, naming, {**arrays, 'state/classifier.1.weight': swapped})


def test_a_first_dense_layer_for_another_grid_is_refused(arrays, naming):
    state = check.state(arrays)
    state['classifier.1.weight'] = state['classifier.1.weight'][:, :-1]
    with pytest.raises(UserError, match=r'classifier\.1\.weight'):
        naming.to_ours(state, check.shapes(NETWORK, arrays['image']))
