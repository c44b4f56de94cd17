"""Facts about the weights in Google's buckets, for `make_published`: BiT and Vision Transformers."""

from __future__ import annotations

from collections.abc import Iterator

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.variant import HALF
from tests.pretrained.published_facts import (
    APACHE,
    IMAGENET21K_CLASSES,
    IMAGENET_CLASSES,
    Facts,
    of_url,
    squashed,
)

_BIT_SOURCE = 'google-research/big_transfer 140de6e'
_VIT_SOURCE = 'google-research/vision_transformer c6de1e5'

_TI16 = 'Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0'
_S32 = 'S_32-i21k-300ep-lr_0.001-aug_none-wd_0.1-do_0.0-sd_0.0'
_S32_LIGHT = 'S_32-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0'
_S16 = 'S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0'
_B32 = 'B_32-i21k-300ep-lr_0.001-aug_light1-wd_0.1-do_0.0-sd_0.0'
_B32_MEDIUM = 'B_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.03-do_0.0-sd_0.0'
_B16 = 'B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0'
_B8 = 'B_8-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0'
_L16 = 'L_16-i21k-300ep-lr_0.001-aug_strong1-wd_0.1-do_0.0-sd_0.0'
_L16_MEDIUM = 'L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1'
_S16_1K = 'S_16-i1k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0'
_B32_1K = 'B_32-i1k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.1-sd_0.1'
_B16_1K = 'B_16-i1k-300ep-lr_0.001-aug_strong2-wd_0.1-do_0.1-sd_0.1'

# Pretrained file, learning rate and size of the fine-tuned one, top-1 in the repository's README at 384.
_AUGREG = (
    (_TI16, 0.03, 384, 78.22),
    (_TI16, 0.03, 224, None),
    (_S32, 0.01, 384, 79.58),
    (_S32_LIGHT, 0.03, 384, None),
    (_S32_LIGHT, 0.03, 224, None),
    (_S16, 0.03, 384, 83.73),
    (_S16, 0.03, 224, None),
    (_B32, 0.01, 384, 83.59),
    (_B32, 0.03, 384, None),
    (_B32_MEDIUM, 0.03, 224, None),
    (_B16, 0.03, 384, 85.49),
    (_B16, 0.01, 384, None),
    (_B16, 0.01, 224, None),
    (_B8, 0.01, 224, None),
    (_L16, 0.01, 384, 85.59),
    (_L16_MEDIUM, 0.01, 384, None),
    (_L16_MEDIUM, 0.01, 224, None),
    (_S16_1K, 0.01, 384, None),
    (_S16_1K, 0.01, 224, None),
    (_B32_1K, 0.01, 384, None),
    (_B32_1K, 0.01, 224, None),
    (_B16_1K, 0.01, 384, None),
    (_B16_1K, 0.01, 224, None),
)


def google() -> Iterator[Facts]:
    """BiT, AugReg, the first Vision Transformers."""
    yield from _bit()
    yield from _augreg()
    yield from _original_vit()


def _bit() -> Iterator[Facts]:
    common = {'naming': 'google', 'licence': APACHE}
    folder = 'gs://bit_models'
    for size in ('50x1', '50x3', '101x1', '101x3', '152x2', '152x4'):
        for kind, classes, side, about in (
            ('S-R{}', IMAGENET_CLASSES, 224, 'BiT-S: ImageNet-1k'),
            ('M-R{}', IMAGENET21K_CLASSES, 224, 'BiT-M: ImageNet-21k'),
            ('M-R{}-ILSVRC2012', IMAGENET_CLASSES, 480, 'BiT-M: ImageNet-21k, then ImageNet-1k'),
        ):
            yield of_url(
                f'{folder}/BiT-{kind.format(size)}.npz',
                architecture=f'bit_r{size}',
                num_classes=classes,
                preprocessing=squashed(side),
                about=about,
                source=_BIT_SOURCE,
                **common,
            )
    # Distillation was evaluated on the central 224 of the shorter side 256.
    for file, architecture, how, top1, about in (
        ('R50x1_224', 'bit_r50x1', _central(224), 82.8, 'ImageNet-1k, distilled from BiT-M R152x2'),
        ('R50x1_160', 'bit_r50x1', _central(160), 80.5, 'ImageNet-1k, distilled from BiT-M R152x2'),
        ('R152x2_T_224', 'bit_r152x2', _central(224), None, 'BiT-M R152x2 on ImageNet-1k, the teacher'),
        ('R152x2_T_384', 'bit_r152x2', squashed(384), None, 'BiT-M R152x2 on ImageNet-1k, the teacher'),
    ):
        assumed = '; preprocessing as for 224, assumed' if file.endswith('160') else ''
        yield of_url(
            f'{folder}/distill/{file}.npz',
            architecture=architecture,
            num_classes=IMAGENET_CLASSES,
            preprocessing=how,
            accuracy=top1,
            accuracy_size=how.image_size if top1 else None,
            about=about,
            source=f'{_BIT_SOURCE}; google-research/big_vision 2f3f493 (preprocessing){assumed}',
            **common,
        )


def _central(size: int) -> ImagePreprocessor:
    return ImagePreprocessor(size, HALF, HALF, interpolation='bilinear', crop_fraction=0.875)


def _vit(url: str, classes: int, size: int, **facts: object) -> Facts:
    model = url.rpartition('/')[2].removeprefix('ViT-')
    kind, _, patch = model.partition('-')[0].removesuffix('.npz').partition('_')
    options = {'gelu': 'tanh', **facts.pop('options', {})}  # type: ignore[dict-item]
    return of_url(
        url,
        architecture=f'vit_{kind.lower()}{patch}',
        options=options,
        naming='vit_jax',
        num_classes=classes,
        preprocessing=squashed(size),
        licence=APACHE,
        **{'source': _VIT_SOURCE, **facts},
    )


def _augreg() -> Iterator[Facts]:
    folder = 'gs://vit_models/augreg'
    for pretrained in dict.fromkeys(name for name, *_ in _AUGREG if '-i21k-' in name):
        yield _vit(f'{folder}/{pretrained}.npz', IMAGENET21K_CLASSES, 224, about='AugReg: ImageNet-21k')
    for pretrained, rate, size, top1 in _AUGREG:
        yield _vit(
            f'{folder}/{pretrained}--imagenet2012-steps_20k-lr_{rate}-res_{size}.npz',
            IMAGENET_CLASSES,
            size,
            accuracy=top1,
            accuracy_size=size if top1 else None,
            about='AugReg: ' + ('ImageNet-21k, then ImageNet-1k' if '-i21k-' in pretrained else 'ImageNet-1k'),
        )


def _original_vit() -> Iterator[Facts]:
    names_unseen = f'{_VIT_SOURCE}; list of files from memory [M]'
    for model, dim in (('B_16', 768), ('B_32', 768), ('L_16', 1024), ('L_32', 1024), ('H_14', 1280)):
        yield _vit(
            f'gs://vit_models/imagenet21k/ViT-{model}.npz',
            0,
            224,
            options={'pre_logits': True},
            # The head is in the file, all zero.
            extra_values=(dim + 1) * IMAGENET21K_CLASSES,
            about='ImageNet-21k, with the layer before the head; the head is zero',
            source=names_unseen,
        )
    for model in ('B_16', 'B_32', 'L_16', 'L_32'):
        yield _vit(
            f'gs://vit_models/imagenet21k+imagenet2012/ViT-{model}.npz',
            IMAGENET_CLASSES,
            384,
            about='ImageNet-21k, then ImageNet-1k',
            source=names_unseen,
        )
    for model in ('B_16', 'B_32'):
        yield _vit(
            f'gs://vit_models/sam/ViT-{model}.npz',
            IMAGENET_CLASSES,
            224,
            about='ImageNet-1k with sharpness-aware minimisation',
        )
