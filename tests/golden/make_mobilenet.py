"""Writes the fixtures of MobileNetV2: `python -m tests.golden.make_mobilenet`."""

import torch
import transformers
from torch.nn import functional

from tests.golden import reference

torchvision = reference.import_torchvision()
timm = reference.import_timm()

# Expansion, channels, blocks and stride of each stage: the published table, much shortened.
SETTING = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2), (6, 32, 1, 1))
# Rows of timm's language for the same.
ROWS = [['ds_r1_k3_s1_c16'], ['ir_r2_k3_s2_e6_c24'], ['ir_r2_k3_s2_e6_c32'], ['ir_r1_k3_s1_e6_c32']]
WIDTH = 0.25
TOP_WIDTH = 24
CLASSES = 5


def randomise(model):
    """Scales and biases so far spread that the ReLU6 is met at both of its ends; of few digits, which compress well."""
    reference.randomise(model, spread=1.0)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_((64 * tensor).round() / 64)
    return model


def torchvision_mobilenet():
    """torchvision's network."""
    setting = [list(row) for row in SETTING]
    model = torchvision.models.MobileNetV2(
        CLASSES, WIDTH, inverted_residual_setting=setting, round_nearest=4, dropout=0.0
    )
    # The last convolution has 1280 channels, whatever the width.
    before = model.features[-1][0].in_channels
    model.features[-1] = torchvision.ops.misc.Conv2dNormActivation(
        before, TOP_WIDTH, kernel_size=1, norm_layer=torch.nn.BatchNorm2d, activation_layer=torch.nn.ReLU6
    )
    model.classifier[1] = torch.nn.Linear(TOP_WIDTH, CLASSES)
    stages = {'features.0': 'stem', 'features.1': 'stage1', 'features.3': 'stage2', 'features.5': 'stage3'}
    return randomise(model), stages | {'features.6': 'stage4', 'features.7': 'top'}


def timm_mobilenet():
    """timm's network."""
    builder = timm.models._efficientnet_builder
    model = timm.models.efficientnet.EfficientNet(
        block_args=builder.decode_arch_def(ROWS),
        num_classes=CLASSES,
        num_features=TOP_WIDTH,
        stem_size=32,
        round_chs_fn=lambda channels: builder.round_channels(channels, WIDTH, divisor=4),
        act_layer=torch.nn.ReLU6,
    )
    stages = {f'blocks.{index}': f'stage{index + 1}' for index in range(4)}
    return randomise(model), stages | {'bn1': 'stem', 'bn2': 'top'}


def huggingface_mobilenet():
    """transformers' network, which has the published table built in; its channels are shrunk to a minimum."""
    config = transformers.MobileNetV2Config(
        depth_multiplier=0.1,
        depth_divisible_by=2,
        min_depth=2,
        finegrained_output=False,
        num_labels=CLASSES,
        classifier_dropout_prob=0.0,
    )
    model = transformers.MobileNetV2ForImageClassification(config)
    stages = {'mobilenet_v2.layer.1': 'stage2', 'mobilenet_v2.layer.14': 'stage6', 'mobilenet_v2.conv_1x1': 'top'}
    return randomise(model), stages


class KerasBlock(torch.nn.Module):
    """A convolution in TensorFlow's 'SAME' padding and a batch normalisation with Keras' epsilon."""

    def __init__(self, before, width, kernel=1, stride=1, groups=1):
        super().__init__()
        self.conv = torch.nn.Conv2d(before, width, kernel, stride, groups=groups, bias=False)
        self.norm = torch.nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x):
        """(batch, channel, h, w)."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        pads = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return self.norm(self.conv(functional.pad(x, pads)))


class KerasMobileNet(torch.nn.Module):
    """The network with the layers that Keras has, by Keras' names."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleDict({'Conv1': KerasBlock(3, 8, 3, 2)})
        before, number = 8, 0
        self.shortcuts = []
        self.blocks = torch.nn.ModuleDict()
        for expansion, channels, blocks, first_stride in SETTING:
            width = int(channels * WIDTH)
            for block in range(blocks):
                name = f'block_{number}' if number else 'expanded_conv'
                inner, stride = before * expansion, 1 if block else first_stride
                if expansion > 1:
                    self.layers[f'{name}_expand'] = KerasBlock(before, inner)
                self.layers[f'{name}_depthwise'] = KerasBlock(inner, inner, 3, stride, inner)
                self.layers[f'{name}_project'] = KerasBlock(inner, width)
                self.shortcuts.append((name, stride == 1 and before == width))
                self.blocks[name] = torch.nn.Identity()
                before, number = width, number + 1
        self.layers['Conv_1'] = KerasBlock(before, TOP_WIDTH)
        self.predictions = torch.nn.Linear(TOP_WIDTH, CLASSES)

    def forward(self, x):
        """Logits (batch, class) of images (batch, 3, h, w)."""
        x = functional.relu6(self.layers['Conv1'](x))
        for name, shortcut in self.shortcuts:
            y = x
            for part in ('expand', 'depthwise', 'project'):
                if f'{name}_{part}' in self.layers:
                    y = self.layers[f'{name}_{part}'](y)
                    y = y if part == 'project' else functional.relu6(y)
            x = self.blocks[name](x + y if shortcut else y)
        return self.predictions(functional.relu6(self.layers['Conv_1'](x)).mean((2, 3)))


def keras_names(arrays):
    """The state under Keras' names, in its layouts."""
    kinds = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean', 'running_var': 'moving_variance'}
    norms = {'Conv1': 'bn_Conv1', 'Conv_1': 'Conv_1_bn'}
    named = {}
    for name, value in arrays.items():
        prefix, _, tensor = name.rpartition('state/')
        if not name.startswith(('state/', 'train/state/')):
            named[name] = value
        elif tensor.startswith('predictions.'):
            place, value = ('kernel', value.T) if value.ndim == 2 else ('bias', value)
            named[f'{prefix}state/predictions/{place}'] = value
        elif not tensor.endswith('num_batches_tracked'):
            _, layer, kind, tensor = tensor.split('.')
            if kind == 'norm':
                place = f'{norms.get(layer, f"{layer}_BN")}/{kinds[tensor]}'
            elif layer.endswith('depthwise'):
                place, value = f'{layer}/depthwise_kernel', value.transpose(2, 3, 0, 1)
            else:
                place, value = f'{layer}/kernel', value.transpose(2, 3, 1, 0)
            named[f'{prefix}state/{place}'] = value
    return named


def main():
    """Writes them all."""
    # Sides 29×22, 15×11, 8×6, 4×3: with stride 2 even ones and odd ones, which TensorFlow pads differently. Eighths
    # compress well.
    image = (8 * reference.random_image(3, 29, 22)).round() / 8
    for case, (model, stages) in {
        'mobilenet_torchvision': torchvision_mobilenet(),
        'mobilenet_timm': timm_mobilenet(),
    }.items():
        reference.write(case, reference.reference(model, image, stages, train=True))
    model, stages = huggingface_mobilenet()
    arrays = reference.reference(model, image, stages, forward=lambda model, image: model(image).logits)
    reference.write('mobilenet_hf', {k: v for k, v in arrays.items() if not k.endswith('num_batches_tracked')})
    model = randomise(KerasMobileNet())
    names = ('expanded_conv', 'block_2', 'block_4', 'block_5')
    stages = {f'blocks.{name}': f'stage{stage}' for stage, name in enumerate(names, start=1)}
    reference.write('mobilenet_keras', keras_names(reference.reference(model, image, stages, train=True)))


if __name__ == '__main__':
    main()
