"""Published names of MobileNetV2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jtransfer.models.mobilenet_v2.network import MobileNetV2
from jtransfer.models.variant import HALF
from jtransfer.pretrained.load.layouts import SAME, Layout, Transposed
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import batch_norm, conv, dense

_PARTS = ('expand', 'depthwise', 'project')
# Keras holds a depthwise kernel as (h, w, channel, 1).
_KERAS_DEPTHWISE = Transposed((0, 1, 3, 2))
# What was trained with TensorFlow pads a strided convolution below and on the right, and has another epsilon.
_TENSORFLOW = {'padding': 'tensorflow', 'eps': 1e-3}
_COUNTERS = (r'.*\.num_batches_tracked',)


def _blocks(backbone: MobileNetV2) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Stage (from 0), block in it, and the names of its parts."""
    for stage, (depth, expansion) in enumerate(zip(backbone.depths, backbone.expansions, strict=True)):
        for block in range(depth):
            yield stage, block, _PARTS if expansion > 1 else _PARTS[1:]


def _conv_norm(conv_name: str, norm_name: str, ours: str) -> tuple[Rule, ...]:
    return (*conv(conv_name, f'backbone/{ours}/conv'), *batch_norm(norm_name, f'backbone/{ours}/bn'))


def _timm(backbone: MobileNetV2) -> NameMap:
    rules = [*_conv_norm('conv_stem', 'bn1', 'stem')]
    for stage, block, parts in _blocks(backbone):
        convs = ('conv_pw', 'conv_dw', 'conv_pwl') if 'expand' in parts else ('conv_dw', 'conv_pw')
        for number, (name, part) in enumerate(zip(convs, parts, strict=True), start=1):
            theirs = f'blocks.{stage}.{block}'
            rules += _conv_norm(f'{theirs}.{name}', f'{theirs}.bn{number}', f'stage{stage + 1}/block{block}/{part}')
    rules += [*_conv_norm('conv_head', 'bn2', 'top'), *dense('classifier', 'head')]
    return NameMap('timm', tuple(rules), wrappers=('module.',), ignored=_COUNTERS, batch_counters=True)


def _torchvision(backbone: MobileNetV2) -> NameMap:
    rules = [*_conv_norm('features.0.0', 'features.0.1', 'stem')]
    number = 0
    for number, (stage, block, parts) in enumerate(_blocks(backbone), start=1):
        for index, part in enumerate(parts):
            theirs = f'features.{number}.conv.{index}'
            # The last convolution and its normalisation are not wrapped in a module of their own.
            names = (
                (theirs, f'features.{number}.conv.{index + 1}')
                if part == 'project'
                else (
                    f'{theirs}.0',
                    f'{theirs}.1',
                )
            )
            rules += _conv_norm(*names, f'stage{stage + 1}/block{block}/{part}')
    top = f'features.{number + 1}'
    rules += [*_conv_norm(f'{top}.0', f'{top}.1', 'top'), *dense('classifier.1', 'head')]
    return NameMap(
        'torchvision',
        tuple(rules),
        wrappers=('module.',),
        ignored=_COUNTERS,
        batch_counters=True,
        preprocessing={'interpolation': 'bilinear'},
    )


def _huggingface(backbone: MobileNetV2) -> NameMap:
    base = 'mobilenet_v2.'
    convs = {'expand': 'expand_1x1', 'depthwise': 'conv_3x3', 'project': 'reduce_1x1'}

    def rules_of(theirs: str, ours: str) -> tuple[Rule, ...]:
        return _conv_norm(f'{base}{theirs}.convolution', f'{base}{theirs}.normalization', ours)

    rules = [*rules_of('conv_stem.first_conv', 'stem')]
    for number, (stage, block, parts) in enumerate(_blocks(backbone)):
        theirs = f'layer.{number - 1}' if number else 'conv_stem'
        for part in parts:
            rules += rules_of(f'{theirs}.{convs[part]}', f'stage{stage + 1}/block{block}/{part}')
    rules += [*rules_of('conv_1x1', 'top'), *dense('classifier', 'head')]
    return NameMap(
        'huggingface',
        tuple(rules),
        base=base,
        ignored=_COUNTERS,
        batch_counters=True,
        options=_TENSORFLOW,
        preprocessing={'mean': HALF, 'std': HALF, 'interpolation': 'bilinear', 'crop_rounding': 'floor'},
    )


def _keras(backbone: MobileNetV2) -> NameMap:
    def rules_of(theirs: str, norm: str, ours: str, kernel: str = 'kernel', layout: Layout = SAME) -> tuple[Rule, ...]:
        return (
            Rule(f'{theirs}/{kernel}', f'params/backbone/{ours}/conv/kernel', layout),
            Rule(f'{norm}/gamma', f'params/backbone/{ours}/bn/scale'),
            Rule(f'{norm}/beta', f'params/backbone/{ours}/bn/bias'),
            Rule(f'{norm}/moving_mean', f'batch_stats/backbone/{ours}/bn/mean'),
            Rule(f'{norm}/moving_variance', f'batch_stats/backbone/{ours}/bn/var'),
        )

    rules = [*rules_of('Conv1', 'bn_Conv1', 'stem')]
    for number, (stage, block, parts) in enumerate(_blocks(backbone)):
        for part in parts:
            theirs = f'block_{number}_{part}' if number else f'expanded_conv_{part}'
            depthwise = ('depthwise_kernel', _KERAS_DEPTHWISE) if part == 'depthwise' else ()
            rules += rules_of(theirs, f'{theirs}_BN', f'stage{stage + 1}/block{block}/{part}', *depthwise)
    rules += [
        *rules_of('Conv_1', 'Conv_1_bn', 'top'),
        Rule('predictions/kernel', 'params/head/kernel'),
        Rule('predictions/bias', 'params/head/bias'),
    ]
    return NameMap(
        'keras',
        tuple(rules),
        # Teachable Machine's files carry their user's own classifier.
        ignored=(r'dense_.*',),
        options=_TENSORFLOW,
        # x / 127.5 - 1; Keras leaves the framing to its user, who mostly shows the whole picture.
        preprocessing={'mean': HALF, 'std': HALF, 'interpolation': 'bilinear', 'crop_fraction': 1.0},
    )


def namings(backbone: MobileNetV2) -> Sequence[NameMap]:
    """The namings of timm, torchvision, transformers (TensorFlow's padding and eps 1e-3) and Keras (likewise)."""
    return _timm(backbone), _torchvision(backbone), _huggingface(backbone), _keras(backbone)
