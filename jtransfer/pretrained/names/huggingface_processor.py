"""What a Hugging Face `preprocessor_config.json` does to a picture, as `ImagePreprocessor`.

What the file leaves out is what its class does by default, and what the class does not read but the file states is
refused: nothing is taken for granted, and nothing passed over. The references are the classes of transformers 4.57
that compute with Pillow; those whose names end in `Fast` frame pictures alike and resize them with torchvision, which
differs from Pillow by rounding.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.inputs.image import MAX_SIDE, ImagePreprocessor
from jtransfer.models.variant import HALF
from jtransfer.models.vit.variants import CLIP_MEAN, CLIP_STD
from jtransfer.pretrained.fields import COUNT, FLAG, NUMBER, TEXT, check_fields, is_number, is_whole
from jtransfer.text.outside import clipped

# Pillow's numbers of its filters.
_RESAMPLE = {2: 'bilinear', 3: 'bicubic'}
# ConvNextImageProcessor squashes pictures from this size on, and crops smaller ones.
_SQUASHED = 384
_BYTE = 255
REMEDY = (
    "state how pictures must look with model.preprocessing (load_model's preprocessing), `squash=True` for instance"
)


@dataclasses.dataclass(frozen=True)
class _Class:
    """An image processor of transformers.

    Attributes:
        size: of the resized picture, by default.
        resample: the filter, by default.
        crop: side of the centre crop, by default. 0: the class never crops.
        norm: mean and standard deviation, by default.
        crop_pct: share that the crop keeps, by default. 0: the class knows none.
    """

    size: Mapping[str, int]
    resample: int
    crop: int = 0
    norm: tuple[tuple[float, ...], tuple[float, ...]] = (HALF, HALF)
    crop_pct: float = 0.0


_SQUARE = {'height': 224, 'width': 224}
_CLIP = _Class({'shortest_edge': 224}, 3, crop=224, norm=(CLIP_MEAN, CLIP_STD))
_CLASSES = {
    'BitImageProcessor': _CLIP,
    'CLIPImageProcessor': _CLIP,
    'ConvNextImageProcessor': _Class({'shortest_edge': 384}, 2, crop_pct=224 / 256),
    'DeiTImageProcessor': _Class({'height': 256, 'width': 256}, 3, crop=224),
    'MobileNetV2ImageProcessor': _Class({'shortest_edge': 256}, 2, crop=224),
    'SiglipImageProcessor': _Class(_SQUARE, 3),
    'ViTImageProcessor': _Class(_SQUARE, 2),
}
# The class of a network's type, for a file that names none.
_OF_TYPE = {
    'bit': 'BitImageProcessor',
    'clip': 'CLIPImageProcessor',
    'clip_vision_model': 'CLIPImageProcessor',
    'convnext': 'ConvNextImageProcessor',
    'convnextv2': 'ConvNextImageProcessor',
    'deit': 'DeiTImageProcessor',
    'dinov2': 'BitImageProcessor',
    'dinov2_with_registers': 'BitImageProcessor',
    'mobilenet_v2': 'MobileNetV2ImageProcessor',
    'resnet': 'ConvNextImageProcessor',
    'siglip': 'SiglipImageProcessor',
    'siglip_vision_model': 'SiglipImageProcessor',
    'vit': 'ViTImageProcessor',
    'vit_mae': 'ViTImageProcessor',
}
# Pictures are decoded to RGB in any case; labels that are pictures are nobody's here.
_STEPS = ('do_resize', 'do_rescale', 'do_normalize', 'do_convert_rgb', 'do_reduce_labels')
_CROP = ('do_center_crop', 'crop_size')
# What is computed with; sizes and constants come in several forms, which their readers know.
_FIELDS = {
    **dict.fromkeys((*_STEPS, 'do_center_crop'), FLAG),
    'crop_pct': NUMBER,
    'feature_extractor_type': TEXT,
    'image_processor_type': TEXT,
    'resample': COUNT,
    'rescale_factor': NUMBER,
}
# What else says something of pixels, by which no class above is moved.
_OTHER_STEPS = ('offset', 'rescale_offset', 'pad_size', 'max_size', 'size_divisor', 'use_square_size')


def framing(processor: Mapping[str, Any], kind: str) -> ImagePreprocessor:
    """What a preprocessor_config.json says.

    Args:
        processor: its contents.
        kind: `model_type` of the network it belongs to, which has a class of its own where the file names none.

    Raises:
        UserError: a class or a step that is not had here; the message names it, and what can be done.
    """
    check_fields(processor, _FIELDS, 'preprocessor_config.json')
    name, known = _class_of(processor, kind)
    stated = {field: value for field, value in processor.items() if value is not None}
    _check_steps(stated, name, known)
    resample = stated.get('resample', known.resample)
    if resample not in _RESAMPLE:
        raise _refused(f'resample={resample!r} must be 2 (bilinear) or 3 (bicubic)')
    mean, std = _constants(stated, known)
    try:
        framed = _geometry(stated, known)
        return dataclasses.replace(framed, mean=mean, std=std, interpolation=_RESAMPLE[resample], crop_rounding='floor')
    except UserError as error:
        if str(error).startswith('preprocessing'):
            raise _refused(str(error)) from None
        raise


def _class_of(processor: Mapping[str, Any], kind: str) -> tuple[str, _Class]:
    stated = processor.get('image_processor_type') or processor.get('feature_extractor_type') or _OF_TYPE[kind]
    name = str(stated).replace('FeatureExtractor', 'ImageProcessor').removesuffix('Fast').removesuffix('Pil')
    # Before it had one of its own.
    name = name.replace('ConvNeXtImageProcessor', 'ConvNextImageProcessor')
    if name not in _CLASSES:
        raise _refused(f"what a '{stated}' does to pictures is not had here; {', '.join(_CLASSES)} are")
    return name, _CLASSES[name]


def _check_steps(stated: Mapping[str, Any], name: str, known: _Class) -> None:
    """Raises `UserError` for a step that is stated, and that the class does not take."""
    taken = {*_STEPS, *(_CROP if known.crop else ()), *(('crop_pct',) if known.crop_pct else ())}
    for field, value in stated.items():
        step = field.startswith('do_') or field in (*_CROP, 'crop_pct', *_OTHER_STEPS)
        # The size of a crop that is not made is no step.
        idle = not value or (field == 'crop_size' and not stated.get('do_center_crop'))
        if step and field not in taken and not idle:
            raise _refused(f'{clipped(field)}={clipped(repr(value))} is not what a {name} does')
    if not stated.get('do_resize', True):
        raise _refused('do_resize=False: a network here sees pictures of one size')


def _geometry(stated: Mapping[str, Any], known: _Class) -> ImagePreprocessor:
    """Size, crop and squash."""
    size = stated.get('size', known.size)
    shortest_by_number = 'shortest_edge' in known.size
    height, width, shortest = _sides('size', size, shortest=shortest_by_number)
    if known.crop_pct:
        fraction = stated.get('crop_pct', known.crop_pct)
        if not shortest:
            raise _refused(f'size={size!r} must be a shortest_edge for this class')
        if shortest >= _SQUASHED:
            return ImagePreprocessor(shortest, squash=True)
        return ImagePreprocessor(shortest, crop_fraction=float(fraction))
    resized = (shortest, shortest) if shortest else (height, width)
    if not known.crop or not stated.get('do_center_crop', True):
        if shortest:
            raise _refused(f'size={size!r} without a crop leaves pictures of several shapes')
        return _shaped(resized, 1.0, squash=True)
    crop_size = stated.get('crop_size', known.crop)
    crop_height, crop_width, _ = _sides('crop_size', crop_size)
    crop = crop_height, crop_width
    if shortest and crop_height != crop_width:
        raise _refused(f'size={size!r} with crop_size={crop_size!r}: of a shortest edge only a square is cut here')
    if any(kept > whole for kept, whole in zip(crop, resized, strict=True)):
        raise _refused(f'crop_size={crop_size!r} is more than size={size!r}, which would be padded with black')
    fraction = _fraction(crop, resized)
    if fraction is None:
        raise _refused(f'size={size!r} with crop_size={crop_size!r}: both sides must lose the same share')
    return _shaped(crop, fraction, squash=not shortest)


def _shaped(shape: tuple[int, int], fraction: float, squash: bool) -> ImagePreprocessor:
    height, width = shape
    return ImagePreprocessor(height, image_width=0 if width == height else width, crop_fraction=fraction, squash=squash)


def _fraction(crop: tuple[int, int], resized: tuple[int, int]) -> float | None:
    """The share that gives floor(crop / share) = resized on both sides, if there is one."""
    for kept, whole in zip(crop, resized, strict=True):
        # The quotient of the quotient may be less by rounding.
        for share in (kept / whole, math.nextafter(kept / whole, 0)):
            if all(math.floor(one / share) == other for one, other in zip(crop, resized, strict=True)):
                return share
    return None


def _constants(stated: Mapping[str, Any], known: _Class) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation for values in [0, 1], into which a factor other than 1 / 255 goes."""
    factor = float(stated.get('rescale_factor', 1 / _BYTE)) if stated.get('do_rescale', True) else 1.0
    if factor <= 0:
        raise _refused(f'rescale_factor={factor!r} must be above 0')
    mean, std = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if stated.get('do_normalize', True):
        mean, std = (
            _channels(field, stated.get(field, usual))
            for field, usual in zip(('image_mean', 'image_std'), known.norm, strict=True)
        )
    # (x · f - m) / s = (x / 255 - m / 255f) / (s / 255f)
    scale = _BYTE * factor
    return tuple(value / scale for value in mean), tuple(value / scale for value in std)


def _channels(field: str, value: Any) -> tuple[float, float, float]:
    """One number a channel; a number alone is for all of them."""
    values = [value] * 3 if isinstance(value, int | float) else value
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(is_number, values)):
        raise _refused(f'{field}={clipped(repr(value))} must be three numbers, or one for all channels')
    red, green, blue = (float(one) for one in values)
    return red, green, blue


def _sides(field: str, size: Any, *, shortest: bool = False) -> tuple[int, int, int]:
    """Height and width, or the shortest edge; what is not given is 0.

    Args:
        field: for the message.
        size: a number, two, or edges by name.
        shortest: whether a number alone is the shortest edge, and not the side of a square.
    """
    if is_whole(size, 1, MAX_SIDE):
        return (0, 0, size) if shortest else (size, size, 0)
    if isinstance(size, list | tuple) and len(size) == 2:
        size = {'height': size[0], 'width': size[1]}
    if isinstance(size, Mapping):
        edges = {edge: value for edge, value in size.items() if value is not None}
        if all(is_whole(value, 1, MAX_SIDE) for value in edges.values()):
            if set(edges) == {'height', 'width'}:
                return edges['height'], edges['width'], 0
            if set(edges) == {'shortest_edge'} and field == 'size':
                return 0, 0, edges['shortest_edge']
    forms = 'a number, height and width' + (', or shortest_edge' if field == 'size' else '')
    raise _refused(f'{field}={clipped(repr(size))} must be {forms}, each from 1 to {MAX_SIDE:,} pixels')


def _refused(what: str) -> UserError:
    return UserError(f'preprocessor_config.json: {what}; {REMEDY}')
