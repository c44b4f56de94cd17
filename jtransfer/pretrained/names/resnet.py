"""Published names of ResNets."""

from __future__ import annotations

from collections.abc import Sequence

from jtransfer.models.resnet.network import ResNet
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import batch_norm, conv, dense

_STEM, _BLOCK = 'backbone/stem', 'backbone/stage{s}/block{b}'
_COUNTERS = (r'.*\.num_batches_tracked',)

_LAYERS = (
    *conv('layer{s}.{b}.conv{c}', f'{_BLOCK}/conv{{c}}'),
    *batch_norm('layer{s}.{b}.bn{c}', f'{_BLOCK}/bn{{c}}'),
)
_PLAIN_STEM = (*conv('conv1', f'{_STEM}/conv'), *batch_norm('bn1', f'{_STEM}/bn'))
# timm counts the normalisations and ReLUs between the convolutions.
_DEEP_STEM = (
    *conv('conv1.0', f'{_STEM}/conv'),
    *batch_norm('conv1.1', f'{_STEM}/bn'),
    *conv('conv1.3', f'{_STEM}/conv2'),
    *batch_norm('conv1.4', f'{_STEM}/bn2'),
    *conv('conv1.6', f'{_STEM}/conv3'),
    *batch_norm('bn1', f'{_STEM}/bn3'),
)


def _downsample(conv_index: int) -> tuple[Rule, ...]:
    theirs, ours = 'layer{s}.{b}.downsample', f'{_BLOCK}/downsample'
    return (
        *conv(f'{theirs}.{conv_index}', f'{ours}/conv'),
        *batch_norm(f'{theirs}.{conv_index + 1}', f'{ours}/bn'),
    )


def _torch(name: str, *rules: Rule) -> NameMap:
    return NameMap(name, rules, wrappers=('module.',), ignored=_COUNTERS, batch_counters=True)


def _timm(backbone: ResNet) -> NameMap:
    """timm's names, which are torchvision's."""
    stem = _DEEP_STEM if backbone.stem == 'deep' else _PLAIN_STEM
    # The average pool stands before the convolution of a shortcut.
    downsample = _downsample(1 if backbone.shortcut == 'pool' else 0)
    return _torch('timm', *stem, *_LAYERS, *downsample, *dense('fc', 'head'))


# github.com/akamaster/pytorch_resnet_cifar10, whose shortcuts have no parameters.
_AKAMASTER = _torch('akamaster', *_PLAIN_STEM, *_LAYERS, *dense('linear', 'head'))

# As the library's own weights (microsoft/resnet-50) state it.
_TRANSFORMERS = {'interpolation': 'bicubic', 'crop_rounding': 'floor'}

_EMBEDDER, _LAYER = 'resnet.embedder.embedder', 'resnet.encoder.stages.{s}.layers.{b}'
_OUR_LAYER = 'backbone/stage{s+1}/block{b}'
_HUGGINGFACE = NameMap(
    'huggingface',
    (
        *conv(f'{_EMBEDDER}.convolution', f'{_STEM}/conv'),
        *batch_norm(f'{_EMBEDDER}.normalization', f'{_STEM}/bn'),
        *conv(f'{_LAYER}.layer.{{c}}.convolution', f'{_OUR_LAYER}/conv{{c+1}}'),
        *batch_norm(f'{_LAYER}.layer.{{c}}.normalization', f'{_OUR_LAYER}/bn{{c+1}}'),
        *conv(f'{_LAYER}.shortcut.convolution', f'{_OUR_LAYER}/downsample/conv'),
        *batch_norm(f'{_LAYER}.shortcut.normalization', f'{_OUR_LAYER}/downsample/bn'),
        *dense('classifier.1', 'head'),
    ),
    base='resnet.',
    ignored=_COUNTERS,
    batch_counters=True,
    preprocessing=_TRANSFORMERS,
)


def _huggingface_flax(backbone: ResNet) -> NameMap:
    """The flattened `flax_model.msgpack`, whose layouts are ours."""
    embedder, layer = 'resnet/embedder/embedder', 'resnet/encoder/stages/{s}/layers/{b}'
    number = 'layer_{c}' if backbone.block == 'basic' else '{c}'

    def unit(theirs: str, conv: str, bn: str) -> tuple[Rule, ...]:
        norm = f'{theirs}/normalization'
        return (
            Rule(f'params/{theirs}/convolution/kernel', f'params/{conv}/kernel'),
            *(Rule(f'params/{norm}/{leaf}', f'params/{bn}/{leaf}') for leaf in ('scale', 'bias')),
            *(Rule(f'batch_stats/{norm}/{leaf}', f'batch_stats/{bn}/{leaf}') for leaf in ('mean', 'var')),
        )

    return NameMap(
        'huggingface_flax',
        (
            *unit(embedder, f'{_STEM}/conv', f'{_STEM}/bn'),
            *unit(f'{layer}/layer/{number}', f'{_OUR_LAYER}/conv{{c+1}}', f'{_OUR_LAYER}/bn{{c+1}}'),
            *unit(f'{layer}/shortcut', f'{_OUR_LAYER}/downsample/conv', f'{_OUR_LAYER}/downsample/bn'),
            Rule('params/classifier/1/kernel', 'params/head/kernel'),
            Rule('params/classifier/1/bias', 'params/head/bias'),
        ),
        preprocessing=_TRANSFORMERS,
    )


def namings(backbone: ResNet) -> Sequence[NameMap]:
    """The namings in which a ResNet of this form is published, the most usual first.

    `timm` (which is torchvision's), `huggingface`, `huggingface_flax` (the flattened msgpack file) and, where the
    shortcuts are padded, `akamaster` alone.
    """
    if backbone.shortcut == 'pad':
        return (_AKAMASTER,)
    if backbone.stem == 'deep' or backbone.shortcut == 'pool':
        return (_timm(backbone),)
    return (_timm(backbone), _HUGGINGFACE, _huggingface_flax(backbone))
