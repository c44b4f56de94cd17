"""Which network a Hugging Face `config.json` describes, and how its `preprocessor_config.json` frames pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jtransfer.pretrained.names.convnet_config as convnet_config
import jtransfer.pretrained.names.resnet_config as resnet_config
import jtransfer.pretrained.names.vit_config as vit_config
from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.preprocessing import Preprocessing

_READERS = {
    kind: reader.options_from_config for reader in (resnet_config, convnet_config, vit_config) for kind in reader.TYPES
}
# Pillow's numbers.
_RESAMPLE = {2: 'bilinear', 3: 'bicubic'}
# transformers' processor of ResNet and ConvNeXt squashes pictures from this size on, and crops smaller ones.
_SQUASHED = 384


def described(
    config: dict[str, Any], processor: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any], Preprocessing]:
    """The variant, its options, and its preprocessing.

    Args:
        config: the parsed config.json; `model_type` decides.
        processor: the parsed preprocessor_config.json. None: as the variant's usual weights expect, at the size that
            the configuration states.

    Raises:
        UserError: no variant is of that type and these sizes, or pictures are framed in a way that cannot be had here.
    """
    kind = config['model_type']
    if kind not in tuple(_READERS):
        raise UserError(f"config.json: model_type '{kind}' is none of {', '.join(_READERS)}")
    try:
        name, options = _READERS[kind](config)
    except KeyError as error:
        raise UserError(f"config.json: model_type '{kind}' needs the field {error}") from None
    usual = models.describe(name).preprocessing
    size = config.get('image_size') or config.get('vision_config', {}).get('image_size')
    if isinstance(size, int):
        usual = dataclasses.replace(usual, image_size=size)
    return name, options, usual if processor is None else framing(processor, usual)


def framing(processor: Mapping[str, Any], usual: Preprocessing) -> Preprocessing:
    """What a preprocessor_config.json says, as `Preprocessing`.

    Args:
        processor: its contents.
        usual: for what it leaves out.

    Raises:
        UserError: sizes or a filter that cannot be had here.
    """
    resample = processor.get('resample', None)
    if resample is not None and resample not in _RESAMPLE:
        raise UserError(f'preprocessor_config.json: resample={resample!r} must be 2 (bilinear) or 3 (bicubic)')
    plain = processor.get('do_normalize') is False
    shared = dataclasses.replace(
        usual,
        mean=(0.0, 0.0, 0.0) if plain else tuple(processor.get('image_mean') or usual.mean),
        std=(1.0, 1.0, 1.0) if plain else tuple(processor.get('image_std') or usual.std),
        interpolation=_RESAMPLE[resample] if resample is not None else usual.interpolation,
    )
    if processor.get('do_resize') is False or 'size' not in processor:
        return shared
    height, width, shortest = _sides(processor['size'])
    if shortest and (fraction := processor.get('crop_pct')):
        squash = shortest >= _SQUASHED
        return dataclasses.replace(
            shared, image_size=shortest, image_width=0, squash=squash, crop_fraction=1.0 if squash else fraction
        )
    if processor.get('do_center_crop') and 'crop_size' in processor:
        crop_height, crop_width, crop = _sides(processor['crop_size'])
        cropped, resized = crop or crop_height, shortest or height
        if resized and cropped and crop_width in (0, cropped) and width in (0, height):
            return dataclasses.replace(
                shared,
                image_size=cropped,
                image_width=0,
                squash=not shortest,
                crop_fraction=min(1.0, cropped / resized),
            )
    elif not processor.get('do_center_crop') and (height or shortest):
        side, across = height or shortest, width or shortest
        return dataclasses.replace(
            shared, image_size=side, image_width=0 if across == side else across, squash=bool(height), crop_fraction=1.0
        )
    raise UserError(
        f'preprocessor_config.json: size={processor["size"]!r} with crop_size={processor.get("crop_size")!r} cannot be '
        'had here; load_model(…, preprocessing=…) says how pictures must look'
    )


def _sides(size: Any) -> tuple[int, int, int]:
    """Height and width, and the shortest edge; what is not given is 0. A number alone is a square."""
    if isinstance(size, int):
        return size, size, 0
    if isinstance(size, Mapping):
        return int(size.get('height', 0)), int(size.get('width', 0)), int(size.get('shortest_edge', 0))
    raise UserError(f'preprocessor_config.json: size={size!r} is neither a number nor edges by name')
