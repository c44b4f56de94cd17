"""What every kind of input must be able to say, and what is said where it cannot."""

import dataclasses
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jtransfer as jt
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.feature import FeaturePreprocessor
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.kinds import preprocessor_from
from jtransfer.inputs.prepare import batched, nbytes
from tests import waves
from tests.waves import NOTES, SETTINGS, Tones, Waves, save


@pytest.fixture(scope='module', autouse=True)
def _known():
    with pytest.MonkeyPatch.context() as patch:
        waves.add(patch)
        yield


KINDS = [
    (ImagePreprocessor(16, image_width=24), {'image': np.zeros((20, 30, 3), np.uint8)}),
    (FeaturePreprocessor((4, 4, 8), 'stage2'), {'feature': np.ones((4, 4, 8), np.float32)}),
    (Waves(), {'wave': np.ones((24, 1), np.float64)}),
]


@pytest.mark.parametrize(('preprocessor', 'example'), KINDS)
def test_the_contract_of_every_kind(preprocessor, example):
    assert preprocessor_from(json.loads(json.dumps(preprocessor.to_dict()))) == preprocessor
    assert hash(preprocessor) == hash(dataclasses.replace(preprocessor))
    assert preprocessor.example(example) is example
    for augment in (None, jt.Config().augment):
        hold = pickle.loads(pickle.dumps(preprocessor.prepare(augment)))
        held = hold(example)
        assert {name: (np.shape(leaf), np.asarray(leaf).dtype) for name, leaf in held.items()} == {
            name: (leaf.shape, leaf.dtype) for name, leaf in hold.spec.items()
        }
        assert nbytes(hold.spec) == sum(np.asarray(leaf).nbytes for leaf in held.values())
        assert preprocessor.held_spec(augment) == hold.spec
        batch = {name: jnp.asarray(leaf)[None] for name, leaf in held.items()}
        shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), preprocessor.device(batch))
        assert shapes == {name: (leaf.shape, leaf.dtype) for name, leaf in batched(preprocessor.spec()).items()}
        low = preprocessor.device(batch, jnp.bfloat16)
        assert {leaf.dtype for leaf in low.values()} == {jnp.dtype(jnp.bfloat16)}
    (only,) = preprocessor.views().split({name: np.asarray(leaf)[None] for name, leaf in held.items()})
    assert only.keys() >= preprocessor.spec().keys()
    assert preprocessor.views().name == 'none'
    assert '\n' not in preprocessor.summary()


def test_whole_numbers_stay_whole_on_the_device():
    tokens = Waves().device({'tokens': jnp.arange(3)}, jnp.bfloat16)['tokens']
    assert tokens.dtype == jnp.int32


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (
            np.zeros((23, 1)),
            r'tone: its wave is float64 of shape \(23, 1\), and .* reads float32 of shape \(24, 1',
        ),
        (np.zeros((24, 1), complex), 'tone: its wave is complex128'),
        (None, 'tone: its wave is object'),
    ],
)
def test_an_example_that_does_not_fit_is_named(value, message):
    with pytest.raises(UserError, match=message):
        Waves().prepare()({'id': 'tone', 'wave': value})


class Pair(Preprocessor):
    kind, reads = 'pair', ('one', 'other')

    def spec(self):
        return {}


def test_of_several_fields_all_are_handed_over():
    with pytest.raises(UserError, match='reads one, other: hand over mappings of these fields'):
        Pair().example(np.zeros(3))
    with pytest.raises(UserError, match='an image is a uint8 array'):
        ImagePreprocessor(8).example(np.zeros((8, 8, 3)))


def test_what_is_of_images_alone_is_refused(nowhere):
    save()
    for settings, message in (
        ({'horizontal_flip': 0.5}, r'augment: horizontal_flip is for images, and this network reads wave 24×1'),
        ({'sizes': (8,)}, r'augment.sizes=8 is a side of images, and this network reads wave 24×1'),
        ({'flips': True}, r'evaluate.flips, .* are views of images, and this network reads wave 24×1'),
        ({'image_size': 32}, r'image_size=.* is for images, and this network reads wave 24×1'),
    ):
        with pytest.raises(UserError, match=message):
            jt.fine_tune('ear.safetensors', Tones(), **SETTINGS, **settings, run_dir='run')
    images = jt.ArraySource(np.zeros((60, 8, 8, 3), np.uint8), np.arange(60) % 3, NOTES)
    with pytest.raises(UserError, match='array/0: the network reads wave, and the source has image'):
        jt.fine_tune('ear.safetensors', images, **SETTINGS, run_dir='run')
    assert not (nowhere / 'run').exists()
