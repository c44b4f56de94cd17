"""Writes the fixtures of the ResNets: `python -m tests.golden.make_resnet`.

`resnet_flax*` come from the Flax networks of transformers, which therefore need JAX; jtransfer has no part in any.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers
from flax import traverse_util
from torch.nn import functional

from tests.golden import reference

timm = reference.import_timm()

STAGES = {f'layer{index}': f'stage{index}' for index in range(1, 5)}
HF_STAGES = {'resnet.embedder.pooler': 'stem'}
HF_STAGES |= {f'resnet.encoder.stages.{index}': f'stage{index + 1}' for index in range(4)}


class PaddedBlock(torch.nn.Module):
    """Two 3×3 convolutions; a shortcut of every second place, with channels of zeros around (He et al., option A)."""

    def __init__(self, width_in, width, stride):
        super().__init__()
        self.stride, self.more = stride, width - width_in
        self.conv1 = torch.nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        self.conv2 = torch.nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(width)

    def forward(self, x):
        """(batch, channel, h, w)."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        front, back = self.more // 2, self.more - self.more // 2
        shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, back))
        return functional.relu(y + shortcut)


class CifarResNet(torch.nn.Module):
    """Section 4.2 of He et al., 2016, with the names of akamaster/pytorch_resnet_cifar10."""

    def __init__(self, depth, widths, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(widths[0])
        before = widths[0]
        for stage, width in enumerate(widths, start=1):
            blocks = []
            for block in range(depth):
                blocks.append(PaddedBlock(before, width, 2 if stage > 1 and block == 0 else 1))
                before = width
            self.add_module(f'layer{stage}', torch.nn.Sequential(*blocks))
        self.linear = torch.nn.Linear(before, classes)

    def forward(self, x):
        """Logits (batch, class) of images (batch, 3, h, w)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return self.linear(x.mean((2, 3)))


def timm_arrays(block, image, layers=(1, 1, 1, 2), channels=(4, 6, 5, 6), **kwargs):
    """A small ResNet of timm's; odd sides on the way, so that padding shows."""
    blocks = {'basic': timm.models.resnet.BasicBlock, 'bottleneck': timm.models.resnet.Bottleneck}
    model = timm.models.resnet.ResNet(blocks[block], layers, num_classes=5, channels=channels, **kwargs)
    return reference.reference(reference.randomise(model), image, STAGES, train=True)


def huggingface_config(layer_type, hidden_sizes):
    """Of a small network."""
    return transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=hidden_sizes, depths=[1, 1, 1, 2], layer_type=layer_type, num_labels=5
    )


def huggingface_arrays(image):
    """ResNetForImageClassification."""
    model = transformers.ResNetForImageClassification(huggingface_config('bottleneck', [16, 24, 32, 40]))

    def forward(model, image):
        return model(image).logits

    return reference.reference(reference.randomise(model), image, HF_STAGES, train=True, forward=forward)


def flax_arrays(layer_type, hidden_sizes, image):
    """FlaxResNetForImageClassification, its variables under the names of a flattened `flax_model.msgpack`."""
    model = transformers.FlaxResNetForImageClassification(huggingface_config(layer_type, hidden_sizes))
    random = np.random.default_rng(1)
    variables = {}
    for name, value in sorted(traverse_util.flatten_dict(model.params, sep='/').items()):
        shape, leaf = value.shape, name.rpartition('/')[2]
        drawn = random.standard_normal(shape)
        if leaf == 'kernel':
            drawn *= np.prod(shape[:-1]) ** -0.5
        else:
            drawn = {'scale': 1, 'var': 1, 'bias': 0, 'mean': 0}[leaf] + 0.2 * np.clip(drawn, -2, 2)
        variables[name] = drawn.astype(np.float32)
    nested = traverse_util.unflatten_dict({k: jnp.asarray(v) for k, v in variables.items()}, sep='/')
    with jax.default_matmul_precision('highest'):
        outputs = model(image.numpy(), params=nested, output_hidden_states=True)
    arrays = {'image': reference.to_numpy(image)} | {f'state/{name}': value for name, value in variables.items()}
    for index, feature in enumerate(outputs.hidden_states):
        name = f'stage{index}' if index else 'stem'
        arrays[f'feature/{name}'] = np.asarray(feature).transpose(0, 2, 3, 1)
    return arrays | {'logits': np.asarray(outputs.logits)}


def main():
    """Writes all of them."""
    # Quarters compress well.
    image = (4 * reference.random_image(4, 35, 30)).round() / 4
    write = reference.write
    write('resnet_basic', timm_arrays('basic', image))
    write('resnet_bottleneck', timm_arrays('bottleneck', image))
    # int(4 · 32 / 64) · 4 = 8 inner channels for 4, in four groups.
    write('resnet_groups', timm_arrays('bottleneck', image, channels=(4, 6, 8, 4), cardinality=4, base_width=32))
    deep = {'stem_type': 'deep', 'stem_width': 4, 'avg_down': True}
    write('resnet_deep_basic', timm_arrays('basic', image, **deep))
    write('resnet_deep', timm_arrays('bottleneck', image, **deep))

    cifar = reference.randomise(CifarResNet(2, (4, 6, 10), 5))
    stages = {f'layer{index}': f'stage{index}' for index in range(1, 4)}
    write('resnet_cifar', reference.reference(cifar, reference.random_image(4, 11, 9), stages, train=True))

    write('resnet_huggingface', huggingface_arrays(image))
    write('resnet_flax', flax_arrays('bottleneck', [16, 24, 32, 40], image))
    write('resnet_flax_basic', flax_arrays('basic', [8, 6, 8, 10], image))


if __name__ == '__main__':
    main()
