"""VGG and its published names against torchvision and timm, from the fixtures of tests/golden/make_classic.py."""

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models import describe
from jtransfer.models.network import Network
from jtransfer.models.vgg.network import VGG
from jtransfer.pretrained.load.namemap import choose
from jtransfer.pretrained.names import namings
from tests.golden import check

TINY = {'depths': (1, 2), 'widths': (4, 6), 'hidden': 9}
CASES = {
    'vgg_plain': (Network(VGG(**TINY), {'': 5}), 'torchvision'),
    'vgg_norm': (Network(VGG(**TINY, batch_norm=True), {'': 5}), 'torchvision'),
    'vgg_timm': (Network(VGG((1, 2, 1), (4, 6, 5), hidden=9, batch_norm=True), {'': 5}), 'timm'),
}
# Where the convolutions stand in `features`, from the published files.
PLACES = {
    'vgg11': (0, 3, 6, 8, 11, 13, 16, 18),
    'vgg13': (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    'vgg16': (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    'vgg19': (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
    'vgg11_bn': (0, 4, 8, 11, 15, 18, 22, 25),
    'vgg13_bn': (0, 3, 7, 10, 14, 17, 21, 24, 28, 31),
    'vgg16_bn': (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
    'vgg19_bn': (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49),
}


def case(name):
    """Network, naming and what the reference said."""
    network, source = CASES[name]
    return network, check.naming_called(source, 'vgg', network), check.golden(name)


@pytest.mark.parametrize('name', CASES)
def test_evaluation(name):
    network, naming, arrays = case(name)
    shares = check.evaluation(network, naming, arrays)
    assert {'stage1', 'stage2'} < set(shares)


@pytest.mark.parametrize('name', ['vgg_norm', 'vgg_timm'])
def test_training(name):
    check.training(*case(name))


@pytest.mark.parametrize('name', CASES)
def test_names_go_there_and_back(name):
    check.round_trip(*case(name))


@pytest.mark.parametrize('name', CASES)
def test_a_file_is_recognised_by_its_names(name):
    network, naming, arrays = case(name)
    assert choose(namings('vgg', network.backbone), list(check.state(arrays)), name) == naming


def test_both_namings_hold_the_same_network():
    network, timm, arrays = case('vgg_timm')
    torchvision = check.naming_called('torchvision', 'vgg', network)
    shapes = check.shapes(network, arrays['image'])
    ours = timm.to_ours(check.state(arrays), shapes).values
    theirs = torchvision.to_theirs(ours)
    assert theirs['classifier.0.weight'].shape == (9, 5 * 49)
    again = torchvision.to_ours(theirs, shapes)
    assert not again.unknown
    for path, value in ours.items():
        np.testing.assert_array_equal(again.values[path], value)


@pytest.mark.parametrize('name', PLACES)
def test_layers_are_numbered_as_in_the_published_files(name):
    backbone = VGG(**describe(name).kwargs)
    for naming in namings('vgg', backbone):
        convolutions, norms = [], []
        for stage, depth in enumerate(backbone.depths, start=1):
            for layer in range(1, depth + 1):
                convolutions.append(naming.name_of(f'params/backbone/stage{stage}/conv{layer}/kernel'))
                norms.append(naming.name_of(f'batch_stats/backbone/stage{stage}/bn{layer}/mean'))
        assert convolutions == [f'features.{place}.weight' for place in PLACES[name]]
        expected = [f'features.{place + 1}.running_mean' for place in PLACES[name]]
        assert norms == (expected if backbone.batch_norm else [''] * len(norms))


def test_a_file_with_batch_normalisation_does_not_pass_for_one_without():
    network, _ = CASES['vgg_plain']
    names = list(check.state(check.golden('vgg_norm')))
    with pytest.raises(UserError, match=r"no place in the network under the naming 'torchvision'.*features\.1\.weight"):
        choose(namings('vgg', network.backbone), names, 'vgg_bn.pth')


def test_another_kernel_than_the_whole_picture_is_refused():
    network, naming, arrays = case('vgg_timm')
    state = check.state(arrays)
    state['pre_logits.fc1.weight'] = state['pre_logits.fc1.weight'][:, :, :6]
    with pytest.raises(UserError, match=r'pre_logits\.fc1\.weight.*its kernel is not 7×7'):
        naming.to_ours(state, check.shapes(network, arrays['image']))


def test_missing_normalisation_is_noticed():
    network, naming, arrays = case('vgg_norm')
    swapped = {**arrays, 'state/features.1.running_var': arrays['state/features.1.running_var'] + 1e-3}
    with pytest.raises(AssertionError, match='logits'):
        check.evaluation(network, naming, swapped)
