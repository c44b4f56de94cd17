"""BiT of every naming against what timm and transformers said: tests/golden/make_bit.py."""

import dataclasses

import numpy as np
import pytest

from jtransfer.models.bit.network import BiT
from jtransfer.models.network import Network
from jtransfer.pretrained.load.namemap import choose
from jtransfer.pretrained.names.bit import namings
from tests.golden import check

NAMES = ('google', 'timm', 'huggingface')
BACKBONE = BiT((1, 2, 1, 1), widths=(8, 16, 8, 16), stem_width=8, norm_groups=4)


def case(name, **fields):
    network = Network(dataclasses.replace(BACKBONE, **fields), {'': 5})
    return network, check.naming_called(name, 'bit', network), check.golden(f'bit_{name}')


@pytest.mark.parametrize('name', NAMES)
def test_evaluation_is_the_reference(name):
    shares = check.evaluation(*case(name))
    assert set(shares) == {'logits', *BACKBONE.stages}


@pytest.mark.parametrize('name', NAMES)
def test_the_names_go_both_ways(name):
    check.round_trip(*case(name))


@pytest.mark.parametrize('name', NAMES)
def test_a_file_is_recognised_by_its_names(name):
    network, naming, arrays = case(name)
    assert choose(namings(network.backbone), list(check.state(arrays)), 'file').name == naming.name


def test_numbered_convolutions_are_the_same():
    network, naming, arrays = case('google')
    given = check.state(arrays)
    numbered = {
        name.replace('standardized_conv2d', f'standardized_conv2d_{index}'): value
        for index, (name, value) in enumerate(given.items())
    }
    assert set(numbered) != set(given)
    wanted = check.shapes(network, arrays['image'])
    plain, found = naming.to_ours(given, wanted), naming.to_ours(numbered, wanted)
    assert not found.unknown
    assert set(found.values) == set(plain.values)
    for path, value in plain.values.items():
        np.testing.assert_array_equal(found.values[path], value)


def test_a_file_of_the_bare_backbone_lacks_the_base():
    network, naming, arrays = case('huggingface')
    wanted = check.shapes(network, arrays['image'])
    bare = {name.removeprefix('bit.'): value for name, value in check.state(arrays).items() if name.startswith('bit.')}
    found = naming.to_ours(bare, wanted)
    assert not found.unknown
    assert set(found.values) == {path for path in wanted if '/backbone/' in path}


@pytest.mark.parametrize('fields', [{'standardise_eps': 1e-2}, {'norm_groups': 8}])
def test_other_numerics_would_be_noticed(fields):
    with pytest.raises(AssertionError, match='differs'):
        check.evaluation(*case('timm', **fields))
