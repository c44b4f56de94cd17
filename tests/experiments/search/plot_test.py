"""The plot of a search."""

import numpy as np
import pytest
from PIL import Image

from jtransfer.experiments.search.plot import plot
from jtransfer.experiments.search.space import Dimension
from jtransfer.experiments.search.study import TrialRecord
from jtransfer.tasks.metrics.figure import Figure

DIMENSIONS = (
    Dimension('optim.learning_rate', 'log', 1e-5, 1e-2),
    Dimension('model.name', 'choice', choices=('$a_', 'b' * 30)),  # matplotlib must not read a value as a formula
    Dimension('optim.weight_decay', 'uniform', 0.0, 0.1),
    Dimension('data.batch_size', 'int', 8.0, 64.0),
)
VALUES = (1e-3, '$a_', 0.05, 32)


ACCURACY = Figure('accuracy', None, 'share')


def trial(number, state, score, fields):
    return TrialRecord(number, state, score, fields, 1.0, '', '')


def pixels(path):
    return np.asarray(Image.open(path).convert('RGB')).astype(int)


def some(space, states=('complete', 'pruned', 'complete', 'failed', 'lost')):
    fields = {each.field: value for each, value in zip(DIMENSIONS, VALUES, strict=True) if each in space}
    scores = [0.5, 0.25, 0.75, None, None]
    rows = [trial(n, state, score, fields) for n, (state, score) in enumerate(zip(states, scores, strict=True))]
    return [*rows, trial(5, 'lost', None, {})]  # stopped before anything was drawn


@pytest.mark.parametrize(('fields', 'rows'), [(1, 2), (3, 2), (4, 3)])
@pytest.mark.parametrize('unit', ['share', 'index'])
def test_it_is_a_picture_with_a_panel_a_field(tmp_path, fields, rows, unit):
    space = DIMENSIONS[:fields]
    path = tmp_path / 'new' / 'search.png'
    plot(path, some(space), space, Figure('score', None, unit))
    picture = pixels(path)
    assert picture.shape[0] == pytest.approx(150 * 2.9 * rows, abs=2)
    assert ((picture[..., 2] - picture[..., 0]) > 60).sum() > 100  # blue dots
    assert ((picture[..., 0] - picture[..., 2]) > 100).sum() > 100  # the line and the ring
    assert [each.name for each in path.parent.iterdir()] == ['search.png']


def test_without_a_complete_trial_there_is_a_picture_too(tmp_path):
    plot(tmp_path / 'a.png', some(DIMENSIONS, ('failed', 'pruned', 'lost', 'failed', 'lost'))[1:], DIMENSIONS, ACCURACY)
    plot(tmp_path / 'b.png', [], DIMENSIONS, ACCURACY)
    with Image.open(tmp_path / 'b.png') as image:
        assert image.size[0] > 900
