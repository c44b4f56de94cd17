"""The order of validation results."""

import pytest

from jtransfer.tasks.better import VALIDATED, deciding, rank


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


@pytest.mark.parametrize('name', VALIDATED)
def test_a_validation_is_decided_by_its_score(name):
    assert deciding({'loss': 0.1, name: 0.5, 'score/of a head': 0.9}) == 0.5
