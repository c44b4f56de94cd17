"""Facts about weights that no installed package states, for `make_published`: the original files of their authors.

A mark [M] in a source means: from memory, not looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.variant import HALF

Facts = dict[str, Any]

APACHE = 'apache-2.0'
IMAGENET_CLASSES = 1000
IMAGENET21K_CLASSES = 21843


def squashed(size: int, interpolation: str = 'bilinear') -> ImagePreprocessor:
    """Both sides resized alike, values in [-1, 1]: Google's evaluation, and Hugging Face's ViT and SigLIP."""
    return ImagePreprocessor(size, HALF, HALF, interpolation=interpolation, squash=True)


def cropped(size: int, crop_fraction: float = 0.875) -> ImagePreprocessor:
    """Bicubic, ImageNet's mean and deviation: DeiT, MAE and DINOv2."""
    return ImagePreprocessor(size, interpolation='bicubic', crop_fraction=crop_fraction)


def of_hub(repo: str, file: str = 'model.safetensors', **facts: Any) -> Facts:
    """A hub repository of the same name."""
    return {'name': repo, 'repo': repo, 'file': file, **facts}


def of_url(url: str, **facts: Any) -> Facts:
    """A file that is asked for by its address."""
    return {'name': url, 'file': url, **facts}


def facebook() -> Iterator[Facts]:
    """Original files of DeiT, DeiT-III, MAE and DINOv2."""
    yield from _deit_files()
    yield from _dinov2_files()
    finetuned = {'base': 83.664, 'large': 85.952, 'huge': 86.928}
    for size, top1 in finetuned.items():
        common = {
            'architecture': f'mae_{size[0]}{14 if size == "huge" else 16}',
            'naming': 'deit',
            'preprocessing': cropped(224),
            'licence': 'cc-by-nc-4.0',
            'source': 'facebookresearch/mae efb2a80',
        }
        folder = 'https://dl.fbaipublicfiles.com/mae'
        yield of_url(f'{folder}/pretrain/mae_pretrain_vit_{size}.pth', about='MAE on ImageNet-1k, no labels', **common)
        yield of_url(
            f'{folder}/finetune/mae_finetuned_vit_{size}.pth',
            options={'pool': 'avg_norm'},
            num_classes=IMAGENET_CLASSES,
            accuracy=top1,
            accuracy_size=224,
            about='MAE on ImageNet-1k, fine-tuned with its labels',
            **common,
        )


def _deit_files() -> Iterator[Facts]:
    for file, architecture, top1 in (
        ('deit_tiny_patch16_224-a1311bcf', 'deit_ti16', 72.2),
        ('deit_small_patch16_224-cd65a155', 'deit_s16', 79.9),
        ('deit_base_patch16_224-b5f2ef4d', 'deit_b16', 81.8),
        ('deit_base_patch16_384-8de9b5d1', 'deit_b16', 82.9),
        ('deit_tiny_distilled_patch16_224-b40b3cf7', 'deit_ti16_distilled', 74.5),
        ('deit_small_distilled_patch16_224-649709d9', 'deit_s16_distilled', 81.2),
        ('deit_base_distilled_patch16_224-df68dfff', 'deit_b16_distilled', 83.4),
        ('deit_base_distilled_patch16_384-d0272ac0', 'deit_b16_distilled', 85.2),
    ):
        size = 384 if '_384' in file else 224
        yield of_url(
            f'https://dl.fbaipublicfiles.com/deit/{file}.pth',
            architecture=architecture,
            naming='deit',
            sha256=file.rpartition('-')[2],
            num_classes=IMAGENET_CLASSES,
            preprocessing=cropped(size),
            licence=APACHE,
            accuracy=top1,
            accuracy_size=size,
            about='ImageNet-1k' + (', distilled from a convolutional network' if 'distilled' in file else ''),
            source='facebookresearch/deit 7e160fe',
        )
    top1s = {'small_224_1k': 81.4, 'medium_224_1k': 83.0, 'base_224_1k': 83.8, 'large_224_1k': 84.9}
    top1s |= {'small_384_1k': 83.4, 'base_384_1k': 85.0, 'large_384_1k': 85.8, 'small_224_21k': 83.1}
    top1s |= {'base_224_21k': 85.7, 'large_224_21k': 87.0, 'base_384_21k': 86.7, 'large_384_21k': 87.7}
    for size in ('small', 'medium', 'base', 'large', 'huge'):
        for pixels in (224, 384) if size in ('small', 'base', 'large') else (224,):
            for data in ('1k', '21k'):
                kind = f'{size}_{pixels}_{data}'
                # As timm's configurations of the same files have it.
                crop = 0.9 if (pixels, data) == (224, '1k') else 1.0
                yield of_url(
                    f'https://dl.fbaipublicfiles.com/deit/deit_3_{kind}{"_v1" if kind == "huge_224_21k" else ""}.pth',
                    architecture=f'deit3_{size[0]}{14 if size == "huge" else 16}',
                    naming='deit',
                    num_classes=IMAGENET_CLASSES,
                    preprocessing=cropped(pixels, crop),
                    licence=APACHE,
                    accuracy=top1s.get(kind),
                    accuracy_size=pixels if kind in top1s else None,
                    about='ImageNet-21k, then ImageNet-1k' if data == '21k' else 'ImageNet-1k',
                    source='facebookresearch/deit 7e160fe; timm 1.0.31 pretrained_cfg (preprocessing)',
                )


def _dinov2_files() -> Iterator[Facts]:
    for size in 'sblg':
        for registers in ('', '_reg4'):
            net = f'dinov2_vit{size}14'
            yield of_url(
                f'https://dl.fbaipublicfiles.com/dinov2/{net}/{net}{registers}_pretrain.pth',
                architecture=f'dinov2_{size}14{registers}',
                options={'embed_class': True} if registers else {},
                naming='dinov2',
                preprocessing=cropped(224),
                licence=APACHE,
                about='DINOv2 on LVD-142M, no labels; positions for 518 pixels',
                source='facebookresearch/dinov2 b8931f7',
            )


def github() -> Iterator[Facts]:
    """ResNets for small pictures, trained on CIFAR-10."""
    for layers, digest, size, error in (
        (20, '12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8', 1_099_231, 8.27),
        (32, 'd509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850', 1_890_043, 7.37),
        (44, '014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4', 2_680_855, 6.90),
    ):
        folder = 'https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models'
        yield of_url(
            f'{folder}/resnet{layers}-{digest[:8]}.th',
            architecture=f'cifar_resnet{layers}',
            naming='akamaster',
            sha256=digest,
            num_classes=10,
            bytes=size,
            preprocessing=ImagePreprocessor(32, interpolation='bicubic'),
            licence='bsd-2-clause',
            about=f'CIFAR-10, test error {error:.2f} %',
            source='README of akamaster/pytorch_resnet_cifar10; digest and size of the file itself',
        )
