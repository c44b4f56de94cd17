"""The picture of an augmentation: the draws of training's first epochs, with the labels they are trained with."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Augment
from jtransfer.data.decode.memory import decode_part
from jtransfer.data.feed.batches import training_batch
from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.inspect import augment
from jtransfer.experiments.run.start import abstract_model
from jtransfer.inputs.image_held import TrainingImage


def _with(config, **settings):
    return dataclasses.replace(config, augment=Augment(**settings))


def test_the_draws_are_those_of_the_first_epochs(tiny_config):
    config = _with(tiny_config(), crop_scale=(0.3, 1.0), horizontal_flip=0.5, operations=('rotate(20)',))
    found = augment.draw(config, images=4, draws=2)
    assert found.images.shape[:2] == (4, 2)
    parts = load_parts(config.data, config.seed)
    model = abstract_model(config, parts.num_classes)
    decoded = decode_part(parts.train, TrainingImage(model.preprocessing, crops=True))
    batch = training_batch(decoded, 0, 4, config.seed)
    function = make_augment(config.augment, model.preprocessing)
    for epoch in range(2):
        keys = example_keys(config.seed, jnp.full(4, epoch, jnp.int32), jnp.asarray(batch['id']))
        images = function(
            keys, jnp.asarray(batch['inputs']['image']), aspects=jnp.asarray(batch['inputs']['aspect'])
        ).images
        np.testing.assert_array_equal(np.rint(images), found.images[:, epoch])
    assert found.names == tuple(parts.class_names[label] for label in batch['labels'][''])
    assert [step.split('(')[0] for step in found.steps] == ['random_resized_crop', 'horizontal_flip', 'rotate']


def test_mixed_labels_stand_below(tiny_config):
    config = _with(tiny_config(), operations=('cutmix(mode=element)',))
    found = augment.draw(config, images=6, draws=3)
    texts = [text for row in found.labels for text in row]
    mixed = [text for text in texts if '+' in text]
    assert mixed
    for text in mixed:
        shares = [float(part.split()[0]) for part in text.split('+')]
        assert sum(shares) == pytest.approx(1, abs=0.011)


def test_the_picture_is_written_and_said(tiny_config, tmp_path):
    lines = []
    path = augment.show(
        _with(tiny_config(), operations=('invert(1)',)),
        str(tmp_path / 'new' / 'grid.png'),
        images=2,
        draws=3,
        say=lines.append,
    )
    assert '3 classes (ant, bee, cat); images: 21 to train on' in lines[0]
    assert lines[2:] == ['invert(probability=1.0)']
    with Image.open(path) as image:
        assert image.format == 'PNG'
        assert image.width > image.height
        # Both the picture and its negative are there.
        assert np.asarray(image.convert('L')).std() > 20


def test_without_augmentation_it_says_so(tiny_config, tmp_path):
    lines = []
    config = _with(tiny_config(run_dir=str(tmp_path / 'bees')))
    assert augment.show(config, images=1, draws=1, say=lines.append) == tmp_path / 'bees-augment.png'
    assert lines[2:] == ['nothing: images are as evaluation sees them']


def test_what_cannot_be_is_told_first(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r'must be named \.png'):
        augment.show(tiny_config(), str(tmp_path / 'grid.jpg'))
    with pytest.raises(UserError, match='images=0 must be at least 1'):
        augment.draw(tiny_config(), images=0, draws=1)
    with pytest.raises(UserError, match='there is no operation'):
        augment.draw(_with(tiny_config(), operations=('spin',)), images=1, draws=1)
