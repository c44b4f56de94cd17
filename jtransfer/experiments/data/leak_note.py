"""What a single run says of copies of its held-out images among those it trains on.

Nothing is decoded for it. Identical files are told by the digests that the store of decoded images knows them by. Other
copies are told by the pixels that are in memory anyway, or in the store: the training images are kept whole where
augmentation crops them, and of those the part counts that evaluation would see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from jtransfer.config import Config
from jtransfer.data.decode.memory import Decoded
from jtransfer.data.duplicates import perceptual_hash as ph
from jtransfer.data.duplicates.copies import Fingerprints, find_copies, fingerprints
from jtransfer.data.part import Part
from jtransfer.experiments.data.read import Examples
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.image import IMAGE, ImagePreprocessor
from jtransfer.inputs.image_held import ASPECT, ImageViews
from jtransfer.inputs.image_pixels import resized_shape
from jtransfer.text.outside import printable

# Of a training part, and of pairs: a few seconds. `data.duplicates=report` looks at any number.
MOST, MOST_PAIRS = 20_000, 20_000_000
_COLOURS = 3


def leaks(
    train: Decoded | Part, held_out: Mapping[str, Examples], preprocessing: Preprocessor, config: Config
) -> tuple[dict[str, int], tuple[str, ...]]:
    """How many images of every held-out part have a copy in the training part, and lines that say so.

    Nothing is looked for, and nothing said, where `data.duplicates` says what is to become of duplicates, or where
    images are streamed. Where there are more than `MOST` (or `MOST_PAIRS`), fewer than 32 pixels a side, or other
    channels than three, identical files alone are told.

    Args:
        train: the training part, as it was read.
        held_out: the parts that are scored, as they were read, by name.
        preprocessing: of the network.
        config: of the run.
    """
    counts: dict[str, int] = {}
    lines: list[str] = []
    if config.data.duplicates != 'auto' or not isinstance(train, Decoded):
        return counts, ()
    first_of = {digest: index for index, digest in reversed([*enumerate(train.digests)])}
    trained: Fingerprints | None = None
    for name, examples in held_out.items():
        held = examples.held
        if not isinstance(held, Decoded):
            continue
        found = {index: first_of[digest] for index, digest in enumerate(held.digests) if digest in first_of}
        if len(held) * len(train) <= MOST_PAIRS and _fit(train) and _large(examples):
            trained = trained or fingerprints(train.inputs[IMAGE], _boxes(train, preprocessing, config))
            alike = find_copies(fingerprints(_centres(held, examples)), trained, config.data.duplicate_distance)
            found = {**dict(alike), **found}
        elif not (first_of and held.digests):
            continue
        pairs = sorted(found.items())
        counts[name] = len(pairs)
        if pairs:
            first, second = pairs[0]
            has = 'image has a copy' if len(pairs) == 1 else 'images have copies'
            lines.append(
                f'{len(pairs):,} {name} {has} in the training part (first: {printable(held.ids[first])} = '
                f'{printable(train.ids[second])}); data.duplicates=group keeps them on one side of a hold-out'
            )
    return counts, tuple(lines)


def _fit(train: Decoded) -> bool:
    if IMAGE not in train.inputs:
        return False
    count, height, width, channels = train.inputs[IMAGE].shape
    return count <= MOST and min(height, width) >= ph.THUMBNAIL and channels == _COLOURS


def _large(examples: Examples) -> bool:
    return isinstance(examples.views, ImageViews) and min(examples.views.sizes[0].shape) >= ph.THUMBNAIL


def _boxes(train: Decoded, preprocessing: Preprocessor, config: Config) -> np.ndarray | None:
    """What evaluation sees of pictures that are kept whole, to the pixel: (left, top, width, height) in shares."""
    if not config.augment.crops or not isinstance(preprocessing, ImagePreprocessor):
        return None
    height, width = preprocessing.shape
    boxes = []
    for aspect in np.asarray(train.inputs[ASPECT]).tolist():
        down, across = resized = resized_shape((1.0, aspect), preprocessing)
        top, left = preprocessing.crop_start(resized)
        boxes.append((left / across, top / down, width / across, height / down))
    return np.array(boxes)


def _centres(held: Decoded, examples: Examples) -> Iterator[np.ndarray]:
    """The central view of every picture, in the first of its sizes."""
    views = examples.views
    assert isinstance(views, ImageViews)
    for index in range(len(held)):
        own = views.split({IMAGE: held.inputs[IMAGE][index][None]})
        *_, centre = (view for view, _ in zip(own, range(views.crops), strict=False))
        yield centre[IMAGE][0]
