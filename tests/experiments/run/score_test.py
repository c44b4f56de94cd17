"""Scoring: decoded and streamed examples give the same numbers, of one view of each picture or the mean of several."""

import numpy as np
import pytest
from scipy.special import softmax

from jtransfer import config as config_lib
from jtransfer.data.decode.memory import Decoded
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.evaluate.forward import make_forward
from jtransfer.evaluate.views import make_views
from jtransfer.experiments.data import read as reading
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.run.score import score
from jtransfer.inputs.image_held import ImageViews, view_pixels
from jtransfer.inputs.image_pixels import evaluation_pixels
from jtransfer.pretrained.model import load_model

pytestmark = pytest.mark.usefixtures('compile_once')


def test_memory_and_stream_score_alike(tiny_config, checkpoints):
    config = tiny_config()
    parts = load_parts(config.data, 0)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    scores = [
        score(model, read_examples(parts.test, model.preprocessing, c), c)
        for c in (
            config,
            tiny_config(**{'data.placement': 'stream'}),
            tiny_config(**{'data.placement': 'host'}),
            tiny_config(**{'data.cache': False}),
            tiny_config(**{'evaluate.batch_size': 4}),
        )
    ]
    for other in scores[1:]:
        np.testing.assert_allclose(other.logits[''], scores[0].logits[''], atol=1e-6)
        assert other.ids == scores[0].ids == parts.test.ids
        assert other.metrics.top1 == scores[0].metrics.top1


def test_reading_many_images_shows_how_far_it_is(tiny_config, checkpoints, monkeypatch, capfd):
    model = load_model(checkpoints['resnet'])
    part = load_parts(tiny_config().data, 0).test
    read_examples(part, model.preprocessing, tiny_config(**{'train.progress': True}))
    assert 'reading images' not in capfd.readouterr().err
    monkeypatch.setattr(reading, 'MANY', 10)
    read_examples(part, model.preprocessing, tiny_config(**{'train.progress': True}))
    assert 'reading images 15/15' in capfd.readouterr().err
    read_examples(part, model.preprocessing, tiny_config())
    assert 'reading images' not in capfd.readouterr().err


def by_hand(model, part, views):
    """The mean probability of every view, each by the plain forward pass on the pictures of the part."""
    forward = make_forward(model.network, model.preprocessing)
    pictures = [part[index]['image'] for index in range(len(part))]
    probabilities = []
    for size in views.sizes:
        for crop in range(views.crops):
            pixels = np.stack([view_pixels(picture, size, views.crops)[crop] for picture in pictures])
            for view in (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))[: 1 + views.flips]:
                probabilities.append(
                    softmax(np.asarray(forward(model.variables, {'image': view})[''], np.float64), axis=1)
                )
    return np.mean(probabilities, axis=0), len(probabilities)


@pytest.mark.parametrize(
    ('settings', 'count'),
    [
        ({'flips': True}, 2),
        ({'crops': 5}, 5),
        ({'scales': (1.0, 0.5)}, 2),
        ({'scales': (1.5,)}, 1),
        ({'flips': True, 'crops': 5, 'scales': (1.0, 1.5)}, 20),
    ],
)
def test_views_are_averaged_as_by_hand(tiny_config, checkpoints, settings, count):
    config = tiny_config(**{f'evaluate.{name}': value for name, value in settings.items()})
    parts = load_parts(config.data, 0)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    expected, passes = by_hand(model, parts.test, views)
    assert passes == count
    assert len(parts.test) % config.evaluate.batch_size  # the last batch is padded
    plain = score(model, read_examples(parts.test, model.preprocessing, config), config)
    assert np.abs(softmax(plain.logits[''], axis=1) - expected).max() > 1e-4
    for placement in ('device', 'host', 'stream'):
        where = config_lib.replace(config, 'data.placement', placement)
        examples = read_examples(parts.test, model.preprocessing, where, views)
        assert isinstance(examples.held, Decoded) == (placement != 'stream')
        scores = score(model, examples, where)
        np.testing.assert_allclose(softmax(scores.logits[''], axis=1), expected, rtol=2e-5)
        assert scores.ids == parts.test.ids
        assert scores.metrics.test_time_augmentation == views.name != plain.metrics.test_time_augmentation
        truth = -np.log(expected[np.arange(len(expected)), scores.labels['']]).mean()
        assert scores.metrics.loss == pytest.approx(truth, rel=1e-5)


def test_without_views_nothing_changes(tiny_config, checkpoints):
    config = tiny_config()
    parts = load_parts(config.data, 0)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    examples = read_examples(parts.test, model.preprocessing, config)
    pixels = np.stack([evaluation_pixels(parts.test[i]['image'], model.preprocessing) for i in range(len(parts.test))])
    np.testing.assert_array_equal(examples.held.inputs['image'], pixels)
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    again = read_examples(parts.test, model.preprocessing, config, views)
    first, second = (score(model, read, config).logits[''] for read in (examples, again))
    np.testing.assert_array_equal(first, second)
    forward = make_forward(model.network, model.preprocessing)
    np.testing.assert_array_equal(first[:8], forward(model.variables, {'image': pixels[:8]})[''])


@pytest.mark.parametrize('placement', ['device', 'stream'])
def test_crops_that_are_alike_in_every_picture_are_refused(tiny_config, checkpoints, placement):
    config = tiny_config(**{'data.placement': placement})
    preprocessing = load_model(checkpoints['resnet']).preprocessing
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 24, 3), dtype=np.uint8)
    views = ImageViews(preprocessing, crops=5)
    for square, refused in ((images[:, :, :20], True), (images, False)):
        part = Part(ArraySource(square, [0, 1, 0, 1], ('a', 'b')), np.arange(4))
        if refused:
            with pytest.raises(UserError, match=r'evaluate\.crops=5: .* all crops are the same; leave') as raised:
                read_examples(part, preprocessing, config, views)
            assert '\n' not in str(raised.value)
        else:
            assert len(read_examples(part, preprocessing, config, views).ids) == 4
