"""The plot of a sweep."""

import numpy as np
import pytest
from PIL import Image

from jtransfer.experiments.sweep.plot import plot
from jtransfer.experiments.sweep.summary import summarise

OVER = ['optim.learning_rate', 'seed']


def record(value, seed, accuracy=None, error=None):
    metrics = {} if accuracy is None else {'test accuracy': accuracy}
    fields = {'optim.learning_rate': value, 'seed': seed}
    run = {'seconds': 2.0, 'run_dir': 'runs/x', 'unit': 'share'}
    return {'fields': fields, 'metrics': metrics, **run, 'error': error}


@pytest.mark.parametrize('groups', [1, 3, 30])
def test_plot_is_a_picture_that_grows_with_the_groups(tmp_path, groups):
    rng = np.random.default_rng(0)
    accuracy = np.clip(0.8 + np.arange(groups)[:, None] / 100 + rng.normal(0, 0.02, (groups, 3)), 0, 1)
    # Dollars and underscores: matplotlib must not read a value as a formula.
    runs = [record(f'$1e-{g}_$', s, float(accuracy[g, s])) for g in range(groups) for s in range(3)]
    path = tmp_path / 'new' / 'summary.png'
    plot(path, summarise(runs, OVER))
    pixels = np.asarray(Image.open(path).convert('RGB')).astype(int)
    assert 900 < pixels.shape[1] < 1400
    assert pixels.shape[0] == pytest.approx(150 * (1.4 + 0.42 * max(groups, 2)), abs=2)
    assert ((pixels[..., 2] - pixels[..., 0]) > 60).sum() > 200  # blue dots
    assert [p.name for p in path.parent.iterdir()] == ['summary.png']


def test_plot_survives_settings_without_a_finished_run(tmp_path):
    runs = [record('1', 0, 0.5), record('2', 0, error='broken')]
    plot(tmp_path / 'a.png', summarise(runs, OVER))
    plot(tmp_path / 'b.png', summarise(runs[-1:], OVER))
    with Image.open(tmp_path / 'b.png') as image:
        assert image.size[0] > 900
