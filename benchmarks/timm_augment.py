"""timm's augmentation, an image at a time in worker processes: what `benchmarks.augment` compares with.

Nothing here imports JAX, so that the workers are as light as they can be.
"""

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.golden.reference import import_timm

CLASSES = 1000


class Pictures:
    """Decoded pictures behind timm's transform for training; a data set for torch's DataLoader."""

    def __init__(self, images: np.ndarray, side: int, standard: bool, crop: dict[str, Any]) -> None:
        """Args: images: uint8; side: of the result; standard: not only crop and flip; crop: scale, ratio, flip."""
        self._images, self._side, self._standard, self._crop = images, side, standard, crop

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._images)

    def __getitem__(self, index: int) -> Any:
        """A normalised picture and its class."""
        from PIL import Image

        return self._transform(Image.fromarray(self._images[index])), index % CLASSES

    @functools.cached_property
    def _transform(self) -> Callable[[Any], Any]:
        import_timm()
        from PIL import Image
        from timm.data import auto_augment, create_transform

        kept = auto_augment.LEVEL_TO_ARG['PosterizeIncreasing']
        # At the largest magnitude timm asks for no bits at all, which Pillow 13 refuses.
        auto_augment.LEVEL_TO_ARG['PosterizeIncreasing'] = lambda *level: (max(1, *kept(*level)),)
        transform = create_transform(
            self._side,
            is_training=True,
            scale=self._crop['crop_scale'],
            ratio=self._crop['crop_ratio'],
            hflip=self._crop['horizontal_flip'],
            color_jitter=None,
            auto_augment='rand-m9-n2-mstd0.5-inc1' if self._standard else None,
            interpolation='bicubic',
            re_prob=0.25 if self._standard else 0.0,
            re_mode='pixel',
        )
        for step in transform.transforms:
            if isinstance(step, auto_augment.RandAugment):
                for operation in step.ops:
                    # As ours; the crop's bicubic filter would be theirs too.
                    operation.kwargs['resample'] = Image.Resampling.BILINEAR
        return transform


def make_batches(
    images: np.ndarray, side: int, batch: int, standard: bool, crop: dict[str, Any]
) -> Callable[[int], Iterator[Any]]:
    """A function from an epoch to its batches of pictures and soft labels, with as many workers as there are cores."""
    import torch

    import_timm()
    from timm.data import Mixup

    loader = torch.utils.data.DataLoader(
        Pictures(images, side, standard, crop),  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        shuffle=True,
        multiprocessing_context='spawn',
    )
    mix = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=CLASSES)

    def batches(_: int) -> Iterator[Any]:
        for pictures, labels in loader:
            if standard:
                yield mix(pictures, labels)
            else:
                yield pictures, torch.nn.functional.one_hot(labels, CLASSES).float()

    return batches
