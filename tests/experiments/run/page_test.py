"""The most-wrong pictures of a run."""

import numpy as np

from jtransfer.data.part import Part
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.experiments.run.page import wrong_pictures
from jtransfer.experiments.run.score import Scores
from jtransfer.tasks.base import single_label
from jtransfer.tasks.metrics.classification import classification_metrics


def test_the_most_confident_mistakes_come_first_with_their_own_picture():
    images = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    source = ArraySource(images, [0, 1, 0, 1], ('x', 'y'), ids=('a', 'b', 'c', 'd'))
    part = Part(source, np.array([3, 2, 1, 0]))
    logits = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0], [0.0, 2.0]], np.float32)
    ids = ('d', 'c', 'b', 'a')
    labels = np.array([1, 0, 1, 0])
    scores = Scores(
        classification_metrics(logits, labels, ('x', 'y')),
        {'': logits},
        {'': labels},
        ids,
        (single_label(('x', 'y')),),
    )
    pictures = wrong_pictures(scores, part, 2)
    assert [picture.id for picture in pictures] == ['b', 'a']
    np.testing.assert_array_equal(pictures[0].image, images[1])
    assert (pictures[0].label, pictures[0].predicted) == ('y', 'x')
    assert pictures[0].probability > pictures[1].probability > 0.5
