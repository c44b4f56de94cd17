"""Pictures that a network takes for the same, by the angle between their features."""

from __future__ import annotations

import numpy as np

from jtransfer.data.duplicates.find import Pair
from jtransfer.data.source import Source
from jtransfer.errors import UserError
from jtransfer.inputs.image import IMAGE
from jtransfer.inputs.prepare import field_of
from jtransfer.pretrained.features import POOLED, extract_features
from jtransfer.pretrained.model import Model

_ROWS = 1024


def embedding_pairs(source: Source, model: Model, *, similarity: float, batch_size: int = 32) -> list[Pair]:
    """Pairs of pictures whose features before the head point the same way, each picture with each.

    Finds what hashes cannot: crops, other frames of a film, a second photograph of the same thing. How near the
    features of mere members of one class come depends on the network: look at the pairs before trusting a threshold.

    Args:
        source: labelled images, all of them readable.
        model: of `load_model`; its preprocessing frames the pictures.
        similarity: least cosine of the angle between the features, in (0, 1].
        batch_size: pictures a forward pass, ≥ 1.

    Returns:
        Pairs of kind `embedding`, in order of their examples; their distance is 1 - cosine.

    Raises:
        UserError: a similarity out of range, no pictures, an unreadable one.
    """
    if not 0 < similarity <= 1:
        raise UserError(f'similarity={similarity} must be above 0 and at most 1')
    pictures = (field_of(source[index], IMAGE, 'finding duplicates') for index in range(len(source.ids)))
    features = extract_features(model, pictures, batch_size=batch_size)[POOLED]
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    pairs = []
    for start in range(0, len(directions), _ROWS):
        # Rounding may lift the cosine of two equal pictures above 1, and their distance below 0.
        cosines = np.minimum(directions[start : start + _ROWS] @ directions[start:].T, 1)
        # A threshold of 1 is for equal features, which float32 does not give a cosine of exactly 1.
        for row, column in np.argwhere(np.triu(cosines >= similarity - 1e-6, 1)):
            pairs.append(Pair(start + int(row), start + int(column), 'embedding', float(1 - cosines[row, column])))
    return pairs
