"""Labelled images that are already in memory, as a source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int32, UInt8

from jtransfer.data.source import Example, check_source
from jtransfer.errors import UserError


class ArraySource:
    """A source over arrays; see `jtransfer.data.source.Source`.

    Attributes:
        class_names: in label order.
        labels: class number of every image.
        ids: name of every image.
    """

    def __init__(
        self,
        images: UInt8[np.ndarray, 'n h w 3'] | UInt8[np.ndarray, 'n h w'] | Sequence[np.ndarray],
        labels: Int[np.ndarray, ' n'] | Sequence[int],
        class_names: Sequence[str],
        ids: Sequence[str] | None = None,
        name: str = 'array',
    ) -> None:
        """Checks everything; copies no image.

        Args:
            images: uint8, RGB or grey (height x width, or one channel); pictures of several sizes as a sequence.
            labels: class numbers, 0 to number of classes - 1.
            class_names: in label order.
            ids: unique names. None: `NAME/0`, `NAME/1`, …
            name: names the source in errors and ids.

        Raises:
            UserError: lengths that differ, images that are not uint8 RGB or grey, labels outside the range, a class
                without examples, fewer than two classes.
        """
        self.class_names = tuple(str(c) for c in class_names)
        self.ids: Sequence[str] = tuple(f'{name}/{i}' for i in range(len(images))) if ids is None else tuple(ids)
        if not len(images) == len(labels) == len(self.ids):
            raise UserError(f'{name}: {len(images)} images, {len(labels)} labels and {len(self.ids)} ids do not match')
        numbers = np.asarray(labels)
        if len(numbers) and not np.issubdtype(numbers.dtype, np.integer):
            raise UserError(f'{name}: labels are {numbers.dtype}, but must be integers from 0')
        # Before the conversion to int32, which would wrap a label of 2**32 to 0.
        self.labels: Int32[np.ndarray, ' n'] = np.clip(numbers, -1, 2**31 - 1).astype(np.int32)
        self._images = images
        for image in images if not isinstance(images, np.ndarray) else images[:1]:
            _check_image(image, name)
        check_source(self, name)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        """The example at an index, as RGB."""
        image = np.asarray(self._images[index])
        image = image[..., None] if image.ndim == 2 else image
        rgb = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
        return {'image': rgb, 'label': int(self.labels[index]), 'id': self.ids[index]}


def _check_image(image: np.ndarray, name: str) -> None:
    if image.dtype != np.uint8:
        raise UserError(f'{name}: images are {image.dtype}, but must be uint8 with values 0 to 255')
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or 0 in image.shape:
        raise UserError(f'{name}: an image has shape {image.shape}, but must be height x width (x 1 or 3)')
