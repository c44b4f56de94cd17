"""The order of validation results."""

import pytest

from jtransfer.better import rank


@pytest.mark.parametrize(
    ('better', 'worse'),
    [
        ((0.9, 5.0), (0.8, 0.1)),
        ((1.0, 0.2), (1.0, 0.9)),
        ((0.5, 1.0), (0.5, None)),
        ((0.5, 1.0), (0.5, float('nan'))),
        ((-3.0, 9.0), (float('nan'), 0.0)),
        ((-3.0, 9.0), (None, None)),
    ],
)
def test_the_score_decides_and_of_equal_scores_the_lower_loss(better, worse):
    assert rank(*better) > rank(*worse)


def test_without_losses_equal_scores_are_equal():
    assert rank(0.5, None) == rank(0.5, None) == rank(0.5, float('nan'))
