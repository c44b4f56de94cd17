"""Duplicates by the features of a network."""

import numpy as np
import pytest

from jtransfer.data.duplicates.find import find_duplicates
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.inspect import embedding_duplicates
from jtransfer.experiments.inspect.embedding_duplicates import embedding_pairs
from jtransfer.pretrained.features import extract_features
from jtransfer.pretrained.model import load_model


@pytest.fixture(scope='module')
def model(checkpoints):
    return load_model(checkpoints['resnet'])


@pytest.fixture(scope='module')
def source():
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (40, 44, 3), dtype=np.uint8) for _ in range(7)]
    pictures += [pictures[2], np.clip(pictures[4].astype(int) + 3, 0, 255).astype(np.uint8)]
    return ArraySource(pictures, np.arange(9) % 2, ('a', 'b'))


def test_pairs_are_those_of_the_features(model, source, monkeypatch):
    monkeypatch.setattr(embedding_duplicates, '_ROWS', 4)
    features = extract_features(model, [source[i]['image'] for i in range(9)])['pooled']
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = directions @ directions.T
    threshold = float(np.sort(cosines[np.triu_indices(9, 1)])[-5]) - 1e-5
    pairs = embedding_pairs(source, model, similarity=threshold, batch_size=4)
    expected = [(i, j) for i in range(9) for j in range(i + 1, 9) if cosines[i, j] >= threshold]
    assert [(pair.first, pair.second) for pair in pairs] == expected
    assert len(pairs) == 5
    for pair in pairs:
        assert pair.kind == 'embedding'
        assert pair.distance == pytest.approx(1 - cosines[pair.first, pair.second], abs=1e-5)


def test_a_similarity_of_one_finds_the_same_picture(model, source):
    pairs = embedding_pairs(source, model, similarity=1.0)
    assert (2, 7) in [(pair.first, pair.second) for pair in pairs]
    assert all(0 <= pair.distance < 1e-5 for pair in pairs)


def test_they_add_to_what_hashes_find(model, source):
    found = find_duplicates(source, further=lambda part: embedding_pairs(part, model, similarity=0.01))
    kinds = {(pair.first, pair.second): pair.kind for pair in found.pairs}
    assert kinds.pop((2, 7)) == 'exact'
    assert kinds.pop((4, 8)) == 'near'
    assert list(kinds.values()) == ['embedding'] * 34


@pytest.mark.parametrize('similarity', [0.0, 1.1])
def test_a_similarity_out_of_range(model, source, similarity):
    with pytest.raises(UserError, match=r'similarity=\S+ must be above 0'):
        embedding_pairs(source, model, similarity=similarity)
