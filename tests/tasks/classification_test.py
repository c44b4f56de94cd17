"""Which examples are most wrong; what else a task of one label an image says: base_test and its neighbours."""

import numpy as np

from jtransfer.tasks.classification import most_wrong


def test_most_wrong_is_by_confidence():
    logits = np.float32([[5, 0], [1, 0], [0, 9], [3, 0], [1, 0]])
    labels = np.array([0, 1, 0, 1, 1])
    assert most_wrong(logits, labels, 10).tolist() == [2, 3, 1, 4]
    assert most_wrong(logits, labels, 2).tolist() == [2, 3]
    assert most_wrong(logits, labels, 0).tolist() == []
    assert most_wrong(logits[:1], labels[:1], 5).tolist() == []
    assert most_wrong(logits, np.array([0, 1, -1, 1, 1]), 10).tolist() == [3, 1, 4]
