"""Writes the fixtures of BiT: `python -m tests.golden.make_bit`."""

import functools
import pathlib
import tempfile

import numpy as np
import torch
import transformers

from tests.golden import reference

timm = reference.import_timm()

DEPTHS, CHANNELS, GROUPS, CLASSES = (1, 2, 1, 1), (32, 64, 32, 64), 4, 5
STAGES = {'stem': 'stem', **{f'stages.{index}': f'stage{index + 1}' for index in range(4)}, 'norm': 'norm'}
HF_STAGES = {'bit.embedder': 'stem', 'bit.norm': 'norm'}
HF_STAGES |= {f'bit.encoder.stages.{index}': f'stage{index + 1}' for index in range(4)}


def timm_bit():
    """A small network as timm makes its BiTs."""
    layers = timm.layers
    return timm.models.resnetv2.ResNetV2(
        DEPTHS,
        CHANNELS,
        num_classes=CLASSES,
        stem_chs=8,
        stem_type='fixed',
        conv_layer=functools.partial(layers.StdConv2d, eps=1e-8),
        norm_layer=functools.partial(layers.GroupNormAct, num_groups=GROUPS),
    )


def huggingface_bit():
    """A small BitForImageClassification."""
    config = transformers.BitConfig(
        embedding_size=8, hidden_sizes=list(CHANNELS), depths=list(DEPTHS), num_groups=GROUPS, num_labels=CLASSES
    )
    return transformers.BitForImageClassification(config)


def google_arrays(model):
    """timm's tensors under the names of Google's npz files, kernels (h, w, in, out)."""
    state = reference.state(model)
    letters = dict(zip('123', 'abc', strict=True))

    def kernel(weight):
        return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))

    arrays = {
        'resnet/root_block/standardized_conv2d/kernel': kernel(state['stem.conv.weight']),
        'resnet/group_norm/gamma': state['norm.weight'],
        'resnet/group_norm/beta': state['norm.bias'],
        'resnet/head/conv2d/kernel': kernel(state['head.fc.weight']),
        'resnet/head/conv2d/bias': state['head.fc.bias'],
    }
    for name, value in state.items():
        if name.startswith('stages.'):
            _, stage, _, block, layer, *leaf = name.split('.')
            unit = f'resnet/block{int(stage) + 1}/unit{int(block) + 1:02}'
            if layer == 'downsample':
                arrays[f'{unit}/a/proj/standardized_conv2d/kernel'] = kernel(value)
            elif layer.startswith('conv'):
                arrays[f'{unit}/{letters[layer[-1]]}/standardized_conv2d/kernel'] = kernel(value)
            else:
                leaf = {'weight': 'gamma', 'bias': 'beta'}[leaf[0]]
                arrays[f'{unit}/{letters[layer[-1]]}/group_norm/{leaf}'] = value
    return arrays


def google_reference(image):
    """What timm says once its own reader of such files has read ours."""
    arrays = google_arrays(reference.randomise(timm_bit(), seed=2))
    model = timm_bit()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = pathlib.Path(folder) / 'bit.npz'
        np.savez(path, **arrays)
        model.load_pretrained(str(path))
    assert all(np.array_equal(value, arrays[name]) for name, value in google_arrays(model).items())
    said = reference.reference(model, image, STAGES)
    plain = {name: value for name, value in said.items() if not name.startswith('state/')}
    return plain | {f'state/{name}': value for name, value in arrays.items()}


def main():
    """Writes all of them."""
    # Quarters compress well.
    image = (4 * reference.random_image(2, 37, 30)).round() / 4
    reference.write('bit_timm', reference.reference(reference.randomise(timm_bit()), image, STAGES))

    def forward(model, image):
        return model(image).logits

    model = reference.randomise(huggingface_bit())
    reference.write('bit_huggingface', reference.reference(model, image, HF_STAGES, forward=forward))
    reference.write('bit_google', google_reference(image))


if __name__ == '__main__':
    main()
