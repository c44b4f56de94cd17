"""Scoring: decoded and streamed examples give the same numbers."""

import numpy as np
import pytest

from jtransfer.data.parts import load_parts
from jtransfer.experiments import scoring
from jtransfer.experiments.scoring import fits_budget, read_examples, score
from jtransfer.preprocessing import training_pixels
from jtransfer.pretrained.model import load_model

pytestmark = pytest.mark.usefixtures('compile_once')


def test_memory_and_stream_score_alike(tiny_config, checkpoints):
    config = tiny_config()
    parts = load_parts(config.data, 0)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init='normal')
    scores = [
        score(model, read_examples(parts.test, model.preprocessing, c), c)
        for c in (config, tiny_config(**{'data.placement': 'stream'}), tiny_config(**{'evaluate.batch_size': 4}))
    ]
    for other in scores[1:]:
        np.testing.assert_allclose(other.logits, scores[0].logits, atol=1e-6)
        assert other.ids == scores[0].ids == parts.test.ids
        assert other.metrics.top1 == scores[0].metrics.top1


def test_auto_keeps_what_fits_the_budget(tiny_config, checkpoints):
    config = tiny_config()
    part = load_parts(config.data, 0).train
    pixels = training_pixels(load_model(checkpoints['resnet']).preprocessing, crops=True)
    assert fits_budget(part, pixels, config)
    large = tiny_config(**{'data.device_budget_mib': 1})
    many = type(part)(part.source, np.zeros(1200, np.int64))  # 1200 × 18 × 18 × 3 bytes
    assert not fits_budget(many, pixels, large)
    assert fits_budget(many, pixels, tiny_config(**{'data.device_budget_mib': 1, 'data.placement': 'device'}))
    assert not fits_budget(part, pixels, tiny_config(**{'data.placement': 'stream'}))


def test_reading_many_images_shows_how_far_it_is(tiny_config, checkpoints, monkeypatch, capfd):
    model = load_model(checkpoints['resnet'])
    part = load_parts(tiny_config().data, 0).test
    read_examples(part, model.preprocessing, tiny_config(**{'train.progress': True}))
    assert 'reading images' not in capfd.readouterr().err
    monkeypatch.setattr(scoring, 'MANY', 10)
    read_examples(part, model.preprocessing, tiny_config(**{'train.progress': True}))
    assert 'reading images 15/15' in capfd.readouterr().err
    read_examples(part, model.preprocessing, tiny_config())
    assert 'reading images' not in capfd.readouterr().err
