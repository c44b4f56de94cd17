"""Facts about hub repositories in the format of the library transformers, for `make_published`."""

from __future__ import annotations

from collections.abc import Iterator

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.variant import HALF
from jtransfer.models.vit.variants import CLIP_MEAN, CLIP_STD
from tests.pretrained.published_facts import APACHE, IMAGENET_CLASSES, Facts, cropped, of_hub, squashed

_EPS = 1e-12  # of transformers' ViT, DeiT and MAE
UNSEEN = 'list of files not seen [M]'
_HUB_PAGE = 'hub page'


def huggingface() -> Iterator[Facts]:
    """All of them but SigLIP."""
    yield from _hub_vit()
    yield from _hub_deit()
    yield from _hub_dinov2()
    yield from _hub_clip()
    yield from _hub_convolutional()
    for size in ('base', 'large', 'huge'):
        # With the decoder, counted in transformers 4.57.6.
        values = {'base': 111_907_840, 'large': 329_541_888, 'huge': 657_074_508}[size]
        yield of_hub(
            f'facebook/vit-mae-{size}',
            'pytorch_model.bin',
            architecture=f'mae_{size[0]}{14 if size == "huge" else 16}',
            options={'eps': _EPS},
            naming='huggingface',
            bytes=4 * values,
            preprocessing=cropped(224),
            licence='cc-by-nc-4.0',
            about='MAE on ImageNet-1k, no labels; the hub calls the licence apache-2.0, the authors cc-by-nc-4.0',
            source=f'facebookresearch/mae efb2a80 (licence, preprocessing); {_HUB_PAGE if size == "large" else UNSEEN}',
        )


def _hub_vit() -> Iterator[Facts]:
    safe, pickled = 'model.safetensors', 'pytorch_model.bin'
    for size, patch, kind, file in (
        ('base', 16, '224', safe),
        ('base', 16, '384', safe),
        ('base', 32, '384', safe),
        ('base', 16, '224-in21k', safe),
        ('base', 32, '224-in21k', pickled),
        ('large', 16, '224', pickled),
        ('large', 16, '384', pickled),
        ('large', 32, '384', pickled),
        ('large', 16, '224-in21k', pickled),
        ('large', 32, '224-in21k', pickled),
        ('huge', 14, '224-in21k', pickled),
    ):
        headless = kind.endswith('in21k')
        yield of_hub(
            f'google/vit-{size}-patch{patch}-{kind}',
            file,
            architecture=f'vit_{size[0]}{patch}',
            options={'eps': _EPS, **({'pre_logits': True} if headless else {})},
            naming='huggingface',
            num_classes=0 if headless else IMAGENET_CLASSES,
            preprocessing=squashed(int(kind[:3])),
            licence=APACHE,
            about='ImageNet-21k, with the layer before the head' if headless else 'ImageNet-21k, then ImageNet-1k',
            source=UNSEEN if headless and (size, patch) != ('base', 16) else _HUB_PAGE,
        )


def _hub_deit() -> Iterator[Facts]:
    top1 = {'tiny': 72.2, 'small': 79.9, 'base': 81.8, 'tiny-distilled': 74.5, 'small-distilled': 81.2}
    top1 |= {'base-distilled': 83.4, 'base-384': 82.9, 'base-distilled-384': 85.2}
    for size in ('tiny', 'small', 'base'):
        for distilled in ('', '-distilled'):
            for pixels in (224, 384) if size == 'base' else (224,):
                short = 'ti' if size == 'tiny' else size[0]
                yield of_hub(
                    f'facebook/deit-{size}{distilled}-patch16-{pixels}',
                    'pytorch_model.bin',
                    architecture=f'deit_{short}16{distilled.replace("-", "_")}',
                    options={'eps': _EPS},
                    # The hub has those with one head as plain ViTs.
                    naming='huggingface_deit' if distilled else 'huggingface',
                    num_classes=IMAGENET_CLASSES,
                    preprocessing=cropped(pixels),
                    licence=APACHE,
                    accuracy=top1[f'{size}{distilled}{"-384" if pixels == 384 else ""}'],
                    accuracy_size=pixels,
                    about='ImageNet-1k' + (', distilled from a convolutional network' if distilled else ''),
                    source='facebookresearch/deit 7e160fe (accuracy, preprocessing); '
                    + (_HUB_PAGE if size == 'small' and not distilled else UNSEEN),
                )


def _hub_dinov2() -> Iterator[Facts]:
    linear = {'small': 81.1, 'base': 84.5, 'large': 86.3, 'giant': 86.5}
    for size, top1 in linear.items():
        for registers in ('', '-with-registers'):
            yield of_hub(
                f'facebook/dinov2{registers}-{size}',
                architecture=f'dinov2_{size[0]}14{"_reg4" if registers else ""}',
                options={'embed_class': True} if registers else {},
                naming='huggingface_dinov2',
                preprocessing=cropped(224),
                licence=APACHE,
                about='DINOv2 on LVD-142M, no labels; positions for 518 pixels',
                source=UNSEEN if registers or size in ('small', 'large') else _HUB_PAGE,
            )
        yield of_hub(
            f'facebook/dinov2-{size}-imagenet1k-1-layer',
            'pytorch_model.bin',
            architecture=f'dinov2_{size[0]}14',
            options={'pool': 'token_avg'},
            naming='huggingface_dinov2',
            num_classes=IMAGENET_CLASSES,
            preprocessing=cropped(224),
            licence=APACHE,
            accuracy=top1,
            accuracy_size=224,
            about='DINOv2 on LVD-142M, with a linear classifier trained on ImageNet-1k',
            source=f'facebookresearch/dinov2 b8931f7 (accuracy); {_HUB_PAGE if size == "giant" else UNSEEN}',
        )


def _hub_clip() -> Iterator[Facts]:
    # Both towers, counted in transformers 4.57.6.
    for name, architecture, size, width, values in (
        ('base-patch32', 'clip_b32', 224, 512, 151_277_313),
        ('base-patch16', 'clip_b16', 224, 512, 149_620_737),
        ('large-patch14', 'clip_l14', 224, 768, 427_616_513),
        ('large-patch14-336', 'clip_l14', 336, 768, 427_944_193),
    ):
        yield of_hub(
            f'openai/clip-vit-{name}',
            'model.safetensors' if name == 'large-patch14' else 'pytorch_model.bin',
            architecture=architecture,
            naming='huggingface_clip',
            num_classes=width,
            bytes=4 * values,
            preprocessing=ImagePreprocessor(size, CLIP_MEAN, CLIP_STD, interpolation='bicubic'),
            licence='mit',
            about='CLIP on 400 million pairs of OpenAI; the head is the embedding shared with text',
            source=f'openai/CLIP d05afc4 (licence, preprocessing); {UNSEEN}',
        )


def _hub_convolutional() -> Iterator[Facts]:
    for depth in (18, 26, 34, 50, 101, 152):
        seen = depth in (18, 50)
        yield of_hub(
            f'microsoft/resnet-{depth}',
            'model.safetensors' if seen else 'pytorch_model.bin',
            architecture=f'resnet{depth}',
            naming='huggingface',
            num_classes=IMAGENET_CLASSES,
            preprocessing=cropped(224),
            licence=APACHE,
            about='ImageNet-1k; converted from timm, most likely a1_in1k',
            source=f'{_HUB_PAGE if seen else UNSEEN}; preprocessing from memory [M]',
        )
    yield of_hub(
        'google/bit-50',
        'pytorch_model.bin',
        architecture='bit_r50x1',
        naming='huggingface',
        num_classes=IMAGENET_CLASSES,
        preprocessing=ImagePreprocessor(448, HALF, HALF, interpolation='bilinear'),
        licence=APACHE,
        about="ImageNet-21k, then ImageNet-1k; converted from timm's resnetv2_50x1_bit.goog_in21k_ft_in1k",
        source=f"transformers' convert_bit_to_pytorch.py, timm 1.0.31 pretrained_cfg (preprocessing); {UNSEEN}",
    )
