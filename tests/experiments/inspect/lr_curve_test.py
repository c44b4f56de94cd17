"""The curve of a range test: its suggestions are where they belong."""

import numpy as np
import pytest

from jtransfer.experiments.inspect.lr_curve import longest_fall, smooth, suggest

RATES = np.geomspace(1e-7, 10, 100)


@pytest.mark.parametrize('decay', [0.0, 0.9, 0.98])
def test_smoothing_is_the_normalised_weighted_mean_of_the_past(decay):
    losses = np.random.default_rng(0).uniform(1, 3, 40)
    weights = [decay ** np.arange(step, -1, -1.0) for step in range(40)]
    expected = [np.average(losses[: step + 1], weights=w) for step, w in enumerate(weights)]
    np.testing.assert_allclose(smooth(losses, decay), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ('curve', 'ends'),
    [
        ([5, 4, 3, 2, 1], (0, 4)),
        ([1, 2, 3], (0, 0)),
        ([1, 2, 5, 4, 3, 9], (2, 4)),
        ([9, 8, 1, 7, 6, 5, 1, 2], (0, 6)),  # over the bump
        ([3, 2, 9, 8, 7, 6, 1, 4], (2, 6)),
        ([2, 2, 2], (0, 0)),
    ],
)
def test_the_longest_fall_of_curves_made_by_hand(curve, ends):
    assert longest_fall(np.array(curve, float)) == ends


def unsmoothed(smoothed, decay=0.98):
    """The losses whose smoothed curve is the given one."""
    weights = 1 - decay ** np.arange(1.0, len(smoothed) + 1)
    averages = smoothed * weights
    return (averages - decay * np.concatenate([[0.0], averages[:-1]])) / (1 - decay)


def test_suggestions_of_a_curve_made_by_hand():
    # Flat over steps 0 to 40, a line down to step 70 that is steeper from 60 on, and up again.
    smoothed = np.interp(np.arange(100), [0, 40, 60, 70, 99], [2.3, 2.3, 2.0, 1.2, 4.0])
    smoothed[:40] += 1e-3 * np.arange(40)  # rises a little, and so is no part of the fall
    found = suggest(RATES, unsmoothed(smoothed))
    np.testing.assert_allclose(smooth(unsmoothed(smoothed)), smoothed, rtol=1e-9)
    assert found.valley_ends == pytest.approx((RATES[39], RATES[70]))
    assert found.valley == pytest.approx(np.exp(np.interp(39 + 31 * 2 / 3, np.arange(100), np.log(RATES))))
    assert RATES[60] <= found.steepest <= RATES[70]
    assert found.minimum == pytest.approx(RATES[70] / 10)


@pytest.mark.parametrize('seed', range(5))
def test_noise_without_a_fall_gives_no_suggestion(seed):
    noise = np.random.default_rng(seed).normal(0, 0.3, 100)
    assert suggest(RATES, 2.3 + noise) is None
    rising = np.linspace(0, 2, 100)
    assert suggest(RATES, 2.3 + noise + rising) is None
    falling = np.concatenate([np.zeros(50), np.linspace(0, -2, 40), np.linspace(-2, 2, 10)])
    assert 1e-4 < suggest(RATES, 2.3 + noise + falling).valley < 1
