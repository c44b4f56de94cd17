"""From the lines of `metrics.jsonl` to the charts of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jtransfer.evaluate.charts import WIDE, LineChart, Series, line_chart

_GROUP = 'learning_rate/'
_MOST_GROUPS = 6


def training_charts(lines: Sequence[Mapping[str, Any]]) -> list[LineChart]:
    """The charts of a run: loss, accuracy, learning rate, gradient norm, speed; those that were logged.

    Args:
        lines: parsed lines of `metrics.jsonl`. Each has `step` and some of `train/loss`, `train/accuracy`,
            `validation/loss`, `validation/top1`, `learning_rate/GROUP`, `gradient_norm` and `images_per_second`.

    Returns:
        The charts, in this order.
    """

    def points(key: str) -> list[tuple[float, float]]:
        return [(float(line['step']), float(line[key])) for line in lines if line.get(key) is not None]

    norms = [y for _, y in points('gradient_norm') if y > 0]
    charts = [
        line_chart(
            'Loss',
            [
                Series('train', points('train/loss'), 1),
                Series('validation', points('validation/loss'), 2, markers=True, noisy=False),
            ],
            x_label='step',
            width=WIDE,
        ),
        line_chart(
            'Accuracy',
            [
                Series('train', points('train/accuracy'), 1),
                Series('validation', points('validation/top1'), 2, markers=True, best=True, noisy=False),
            ],
            x_label='step',
            width=WIDE,
            percent=True,
        ),
        line_chart('Learning rate', _learning_rates(lines, points), x_label='step'),
        line_chart(
            'Gradient norm',
            [Series('trainable', points('gradient_norm'), 1)],
            x_label='step',
            logarithmic=bool(norms) and max(norms) > 100 * min(norms),
        ),
        line_chart('Images per second', [Series('training', points('images_per_second'), 1)], x_label='step'),
    ]
    return [chart for chart in charts if chart is not None]


def _learning_rates(lines: Sequence[Mapping[str, Any]], points: Any) -> list[Series]:
    """One series a group; of many groups (layer decay) some, evenly spaced from the fastest to the slowest."""
    names = dict.fromkeys(key for line in lines for key in line if key.startswith(_GROUP))
    groups = sorted(((name, points(name)) for name in names), key=lambda g: -max((y for _, y in g[1]), default=0.0))
    if len(groups) > _MOST_GROUPS:
        last = len(groups) - 1
        groups = [groups[round(i * last / (_MOST_GROUPS - 1))] for i in range(_MOST_GROUPS)]
    return [
        Series(name.removeprefix(_GROUP), values, i + 1, peak=True, noisy=False)
        for i, (name, values) in enumerate(groups)
    ]
