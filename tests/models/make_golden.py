"""Writes tests/models/golden/*.npz: inputs, weights and results of tiny timm networks, under our names.

Run by hand where the `parity` extra is installed: `python tests/models/make_golden.py`. It needs neither JAX nor
jtransfer, so that what it writes is independent of them. Keys: `image`, `params/…`, `batch_stats/…` (our names and
layouts), `feature/STAGE` and `logits` in evaluation mode, and for networks with batch normalisation `train/logits` and
`train/batch_stats/…` after one training-mode forward pass.
"""

import enum
import importlib.machinery
import pathlib
import sys
import types

import numpy as np
import torch


def import_timm():
    """timm without torchvision, whose wheels often do not fit torch's build.

    The names that timm asks for at import time stand empty; its networks use none of them.
    """

    class InterpolationMode(enum.Enum):
        NEAREST, BILINEAR, BICUBIC, BOX, HAMMING, LANCZOS = range(6)

    data_sets = ('CIFAR100', 'CIFAR10', 'MNIST', 'KMNIST', 'FashionMNIST', 'ImageFolder')
    contents = {
        'torchvision': {'__version__': '0.0.0'},
        'torchvision.ops': {},
        'torchvision.ops.misc': {'FrozenBatchNorm2d': type('FrozenBatchNorm2d', (torch.nn.Module,), {})},
        'torchvision.datasets': {name: type(name, (), {}) for name in data_sets},
        'torchvision.transforms': {'ToTensor': type('ToTensor', (), {})},
        'torchvision.transforms.functional': {'InterpolationMode': InterpolationMode},
    }
    for name, attributes in contents.items():
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        vars(module).update(attributes)
        sys.modules[name] = module
        parent, _, child = name.rpartition('.')
        if parent:
            setattr(sys.modules[parent], child, module)
    import timm.layers
    import timm.models.resnet
    import timm.models.vision_transformer

    return timm


def randomise(model, seed):
    """All parameters and statistics random and away from their defaults, which would hide a swapped name."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape):
        return torch.randn(shape, generator=generator)

    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith('num_batches_tracked'):
                continue
            if name.endswith('running_var'):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.ndim == 1:
                scale = name.endswith('weight')
                tensor.copy_(scale + 0.2 * normal(tensor.shape))
            else:
                fan_in = tensor[0].numel() if name.endswith('weight') else 10
                tensor.copy_(normal(tensor.shape) * fan_in**-0.5)


def kernel(tensor):
    """(out, in) to (in, out), (out, in, h, w) to (h, w, in, out)."""
    return tensor.transpose(0, 1) if tensor.ndim == 2 else tensor.permute(2, 3, 1, 0)


def norm(state, theirs, ours):
    """A layer normalisation, or a batch normalisation with its statistics."""
    arrays = {f'params/{ours}/scale': state[f'{theirs}.weight'], f'params/{ours}/bias': state[f'{theirs}.bias']}
    if f'{theirs}.running_mean' in state:
        arrays[f'batch_stats/{ours}/mean'] = state[f'{theirs}.running_mean']
        arrays[f'batch_stats/{ours}/var'] = state[f'{theirs}.running_var']
    return arrays


def dense(state, theirs, ours):
    """A dense layer or a convolution, with its bias if it has one."""
    arrays = {f'params/{ours}/kernel': kernel(state[f'{theirs}.weight'])}
    if f'{theirs}.bias' in state:
        arrays[f'params/{ours}/bias'] = state[f'{theirs}.bias']
    return arrays


def resnet_arrays(state, depths, convolutions):
    """timm's ResNet state under our names."""
    arrays = dense(state, 'conv1', 'backbone/stem/conv') | norm(state, 'bn1', 'backbone/stem/bn')
    arrays |= dense(state, 'fc', 'head')
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            theirs, ours = f'layer{stage}.{block}', f'backbone/stage{stage}/block{block}'
            for index in range(1, convolutions + 1):
                arrays |= dense(state, f'{theirs}.conv{index}', f'{ours}/conv{index}')
                arrays |= norm(state, f'{theirs}.bn{index}', f'{ours}/bn{index}')
            if f'{theirs}.downsample.0.weight' in state:
                arrays |= dense(state, f'{theirs}.downsample.0', f'{ours}/downsample/conv')
                arrays |= norm(state, f'{theirs}.downsample.1', f'{ours}/downsample/bn')
    return arrays


def vit_arrays(state, blocks, heads):
    """timm's VisionTransformer state under our names; the fused q, k, v are rows q | k | v, head by head."""
    arrays = dense(state, 'patch_embed.proj', 'backbone/embed/patch')
    arrays |= {'params/backbone/embed/pos_embed': state['pos_embed']}
    if 'cls_token' in state:
        arrays['params/backbone/embed/cls_token'] = state['cls_token']
    arrays |= norm(state, 'norm', 'backbone/norm') | dense(state, 'head', 'head')
    for index in range(blocks):
        theirs, ours = f'blocks.{index}', f'backbone/block{index}'
        for name in ('norm1', 'norm2'):
            arrays |= norm(state, f'{theirs}.{name}', f'{ours}/{name}')
        for name in ('fc1', 'fc2'):
            arrays |= dense(state, f'{theirs}.mlp.{name}', f'{ours}/mlp/{name}')
        weights, biases = state[f'{theirs}.attn.qkv.weight'].chunk(3), state[f'{theirs}.attn.qkv.bias'].chunk(3)
        for name, weight, bias in zip(('query', 'key', 'value'), weights, biases, strict=True):
            dim = weight.shape[1]
            arrays[f'params/{ours}/attn/{name}/kernel'] = weight.T.reshape(dim, heads, -1)
            arrays[f'params/{ours}/attn/{name}/bias'] = bias.reshape(heads, -1)
        weight = state[f'{theirs}.attn.proj.weight']
        arrays[f'params/{ours}/attn/out/kernel'] = weight.T.reshape(heads, -1, weight.shape[0])
        arrays[f'params/{ours}/attn/out/bias'] = state[f'{theirs}.attn.proj.bias']
    return arrays


def forward(model, image, stages):
    """Logits, and the outputs of the named sub-modules under our stage names, in NHWC."""
    features = {}

    def keep(stage):
        def hook(module, inputs, output):
            features[f'feature/{stage}'] = output.permute(0, 2, 3, 1) if output.ndim == 4 else output

        return hook

    hooks = [model.get_submodule(theirs).register_forward_hook(keep(ours)) for theirs, ours in stages.items()]
    with torch.no_grad():
        logits = model(image)
    for hook in hooks:
        hook.remove()
    return {'logits': logits, **features}


def write(name, model, to_arrays, stages, image):
    """Runs the network and writes its fixture."""
    randomise(model, seed=1)
    arrays = {'image': image.permute(0, 2, 3, 1), **to_arrays(model.state_dict())}
    # A copy: the training-mode pass below writes into the running statistics in place.
    arrays = {key: np.array(value.numpy(), order='C') for key, value in arrays.items()}
    results = forward(model.eval(), image, stages)
    if any(key.startswith('batch_stats') for key in arrays):
        results['train/logits'] = forward(model.train(), image, {})['logits']
        moved = to_arrays(model.state_dict()).items()
        results |= {f'train/{key}': value for key, value in moved if key.startswith('batch_stats')}
    arrays |= {key: np.array(value.numpy(), order='C') for key, value in results.items()}
    path = pathlib.Path(__file__).parent / 'golden' / f'{name}.npz'
    np.savez_compressed(path, **arrays)
    print(f'{path.name}: {path.stat().st_size / 1024:.0f} KiB')


def write_resnet(timm, name, block, depths, stem, image):
    """A ResNet; every stage but the last has one block, sides are odd so that padding shows."""
    resnet = timm.models.resnet
    blocks = {'basic': resnet.BasicBlock, 'bottleneck': resnet.Bottleneck}
    model = resnet.ResNet(blocks[block], list(depths), num_classes=5, channels=(8, 6, 8, 10))
    stages = {'maxpool': 'stem', **{f'layer{index}': f'stage{index}' for index in range(1, 5)}}
    if stem == 'cifar':
        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    convolutions = {'basic': 2, 'bottleneck': 3}[block]
    write(name, model, lambda state: resnet_arrays(state, depths, convolutions), stages, image)


def write_vit(timm, name, image, **kwargs):
    """A ViT on a grid of 3 by 2 patches."""
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=(24, 16), patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=5, **kwargs
    )
    stages = {'blocks.0': 'block0', 'blocks.1': 'block1', 'norm': 'norm'}
    write(name, model, lambda state: vit_arrays(state, 2, 3), stages, image)


def main():
    """All fixtures."""
    timm = import_timm()
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((4, 3, 35, 30), generator=generator)
    write_resnet(timm, 'resnet_basic', 'basic', (1, 1, 1, 2), 'imagenet', image)
    write_resnet(timm, 'resnet_bottleneck', 'bottleneck', (1, 1, 1, 2), 'imagenet', image)
    write_resnet(timm, 'resnet_cifar', 'basic', (1, 1, 1, 1), 'cifar', image[:, :, :9, :8])
    write_vit(timm, 'vit_token', image[:, :, :24, :16])
    tanh = timm.layers.GELUTanh
    write_vit(
        timm,
        'vit_avg',
        image[:, :, :24, :16],
        class_token=False,
        global_pool='avg',
        fc_norm=False,
        act_layer=tanh,
    )
    write_vit(timm, 'vit_token_avg', image[:, :, :24, :16], global_pool='avg', fc_norm=False)


if __name__ == '__main__':
    main()
