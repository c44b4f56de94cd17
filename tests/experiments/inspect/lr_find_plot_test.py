"""The picture of a range test."""

import numpy as np
import pytest
from PIL import Image

from jtransfer.experiments.inspect.lr_curve import DIVERGENCE, END, RangeTest, smooth, suggest
from jtransfer.experiments.inspect.lr_find_plot import plot

ORANGE, BLUE = (224, 96, 43), (42, 120, 214)


def found(losses, ending=END):
    rates = np.geomspace(1e-7, 10, len(losses))
    return RangeTest(rates, losses, smooth(losses), ending, suggest(rates, losses))


def falling():
    steps = np.arange(100)
    return 2.3 / (1 + np.exp((steps - 60) / 5)) + np.where(steps > 90, 3.0 ** (steps - 90), 0.1)


def pixels(path, colour):
    picture = np.asarray(Image.open(path).convert('RGB')).astype(int)
    return np.argwhere(np.abs(picture - colour).max(-1) < 12), picture.shape


def test_the_suggestion_stands_in_the_picture_where_its_learning_rate_is(tmp_path):
    test = found(falling(), DIVERGENCE)
    path = tmp_path / 'new' / 'lr_find.png'
    plot(path, test, title='costs $5_$ a step')  # no formula
    assert [p.name for p in path.parent.iterdir()] == ['lr_find.png']
    orange, (_, width, _) = pixels(path, ORANGE)
    blue, _ = pixels(path, BLUE)
    assert width == pytest.approx(150 * 8.2, abs=2)
    # The smoothed curve spans the axis from the lowest rate, so the right end of the orange dot gives its rate.
    dotted = orange[:, 1].max() - 7
    left = np.sort(blue[:, 1])[len(blue) // 100]
    share = (dotted - left) / (0.985 * width - left)
    rate = np.exp(np.log(1e-7) + share * np.log(1e8))
    assert abs(np.log10(rate / test.suggestions.valley)) < 0.5


def test_without_a_suggestion_the_picture_says_so(tmp_path):
    flat = found(np.full(100, 2.3))
    assert flat.suggestions is None
    plot(tmp_path / 'flat.png', flat)
    text, (height, width, _) = pixels(tmp_path / 'flat.png', ORANGE)
    assert len(text) > 200
    assert text[:, 0].max() < 0.25 * height
    assert abs(text[:, 1].mean() / width - 0.53) < 0.05


def test_a_test_that_ended_at_once_can_be_drawn(tmp_path):
    plot(tmp_path / 'short.png', found(np.array([2.3])))
    with Image.open(tmp_path / 'short.png') as image:
        assert image.size[0] > 1000


def test_what_diverges_does_not_flatten_the_fall(tmp_path):
    losses = falling()
    losses[-1] = 1e9
    plot(tmp_path / 'a.png', found(losses))
    curve, (height, _, _) = pixels(tmp_path / 'a.png', BLUE)
    assert np.ptp(curve[:, 0]) > 0.4 * height
