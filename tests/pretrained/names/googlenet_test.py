"""GoogLeNet and its published names against torchvision, from the fixture of tests/golden/make_classic.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer.inputs.image_pixels import normalise
from jtransfer.models import describe
from jtransfer.models.googlenet import blocks as googlenet_blocks
from jtransfer.models.googlenet.network import PUBLISHED, GoogLeNet
from jtransfer.models.network import Network
from tests.golden import check

# The published widths over 16, as in the fixture.
TINY = {
    'stem_widths': (4, 4, 12),
    'blocks': tuple(tuple(tuple(width // 16 for width in block) for block in stage) for stage in PUBLISHED),
    'aux_widths': (8, 6),
    'aux_dropout': 0.0,
}
PLAIN = Network(GoogLeNet(**TINY), {'': 5})
AUX = Network(GoogLeNet(**TINY, aux=True), {'': 5})
# Two dozen normalisations of a handful of values amplify rounding: torch's own float32 is 3e-5 from its float64.
TRAINING = 1e-4
STATES = pytest.mark.parametrize('network', [PLAIN, AUX], ids=['plain', 'aux'])


@pytest.fixture(scope='module')
def arrays():
    """What torchvision said."""
    return check.golden('googlenet_aux')


def naming_of(network):
    """torchvision's."""
    return check.naming_called('torchvision', 'googlenet', network)


def test_evaluation_with_auxiliary_heads(arrays):
    shares = check.evaluation(AUX, naming_of(AUX), arrays)
    assert set(shares) == {'logits', *AUX.stages, 'stage4/a', 'stage4/d'}


def test_evaluation_without_auxiliary_heads(arrays):
    inner = {name: value for name, value in arrays.items() if not name.startswith('feature/stage4/')}
    check.evaluation(PLAIN, naming_of(PLAIN), inner)


@STATES
def test_names_go_there_and_back(arrays, network):
    check.round_trip(network, naming_of(network), arrays)


def test_training_with_auxiliary_heads(arrays):
    naming = naming_of(AUX)
    before = check.variables(AUX, naming, arrays)
    run = jax.jit(functools.partial(AUX.apply, mutable=['batch_stats'], method='training_logits'))
    with jax.default_matmul_precision('highest'):
        (logits, auxiliaries, _), updated = run(before, arrays['image'])
    check.close(logits[''], arrays['train/logits'], TRAINING, 'logits')
    assert [weight for weight, _ in auxiliaries] == [0.3, 0.3]
    for (_, ours), name in zip(auxiliaries, ('aux1', 'aux2'), strict=True):
        check.close(ours[''], arrays[f'train/{name}'], TRAINING, name)
    moved = naming.to_ours(check.state(arrays, 'train/state/'), check.shapes(AUX, arrays['image']))
    assert not moved.unknown
    assert any('head/aux2/' in path for path in moved.values)
    ours = traverse_util.flatten_dict(updated, sep='/')
    start = traverse_util.flatten_dict({'batch_stats': before['batch_stats']}, sep='/')
    assert set(ours) == set(start)
    for path, value in moved.values.items():
        check.close(ours[path], value, TRAINING, path)
        assert np.abs(value - start[path]).max() > 1e-3, path


def test_without_auxiliary_heads_those_of_the_file_are_ignored(arrays):
    converted = naming_of(PLAIN).to_ours(check.state(arrays), check.shapes(PLAIN, arrays['image']))
    assert not converted.unknown
    assert converted.ignored
    assert all(name.startswith(('aux1.', 'aux2.')) for name in converted.ignored)
    assert not any('aux' in path for path in converted.values)


def test_the_reference_took_imagenet_pixels_and_we_take_half(arrays):
    # torchvision had the pixels normalised as for its other networks, and transform_input=True.
    pixels = np.round((arrays['image'] * 0.5 + 0.5) * 255)
    assert set(np.unique(pixels)) == set(range(0, 256, 16))
    ours = normalise(jnp.asarray(pixels, jnp.uint8), describe('googlenet').preprocessing)
    np.testing.assert_allclose(ours, arrays['image'], atol=1e-6)


@pytest.mark.parametrize('epsilon', [1e-5, 1e-2])
def test_another_epsilon_is_noticed(arrays, monkeypatch, epsilon):
    monkeypatch.setattr(googlenet_blocks, 'EPS', epsilon)
    with pytest.raises(AssertionError, match='logits'):
        check.evaluation(PLAIN, naming_of(PLAIN), arrays)
