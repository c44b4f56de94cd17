"""Writes the fixtures of ConvNeXt: `python -m tests.golden.make_convnext`."""

import re

import torch
import transformers

from tests.golden import reference

timm = reference.import_timm()

STAGES = {'stem': 'stem', **{f'stages.{index}': f'stage{index + 1}' for index in range(4)}, 'head.norm': 'norm'}
DEPTHS = (1, 2, 1, 1)
WIDTHS = (4, 6, 5, 8)


def timm_convnext(**kwargs):
    """timm's ConvNeXt, tiny."""
    model = timm.models.convnext.ConvNeXt(num_classes=5, depths=DEPTHS, dims=WIDTHS, **kwargs)
    return reference.randomise(model)


def as_facebook(arrays, model):
    """A reference of timm's under the names of the authors' files; timm's own reader of those says whether it is."""
    names = {
        '.blocks.': '.',
        'stem.': 'downsample_layers.0.',
        'conv_dw': 'dwconv',
        'mlp.fc': 'pwconv',
        'mlp.grn.weight': 'grn.gamma',
        'mlp.grn.bias': 'grn.beta',
        'head.norm': 'norm',
        'head.fc': 'head',
    }
    others, state = {}, {}
    for name, value in arrays.items():
        if not name.startswith('state/'):
            others[name] = value
            continue
        name = re.sub(r'stages\.(\d)\.downsample', r'downsample_layers.\1', name.removeprefix('state/'))
        for timms, facebooks in names.items():
            name = name.replace(timms, facebooks)
        state[name] = value.reshape(1, 1, 1, -1) if '.grn.' in name else value
    read = timm.models.convnext.checkpoint_filter_fn({k: torch.from_numpy(v) for k, v in state.items()}, model)
    assert {k: v.tolist() for k, v in read.items()} == {k: v.tolist() for k, v in model.state_dict().items()}
    return others | {f'state/{name}': value for name, value in state.items()}


def huggingface_arrays(version, image):
    """What transformers' ConvNext or ConvNextV2 says, tiny."""
    config = getattr(transformers, f'{version}Config')(depths=DEPTHS, hidden_sizes=WIDTHS, num_labels=5)
    model = reference.randomise(getattr(transformers, f'{version}ForImageClassification')(config))
    base = version.lower()
    stages = {f'{base}.encoder.stages.{index}': f'stage{index + 1}' for index in range(4)}
    stages |= {f'{base}.embeddings': 'stem', f'{base}.layernorm': 'norm'}
    return reference.reference(model, image, stages, forward=lambda model, image: model(image).logits)


def timm_arrays(model, image):
    """A reference without the two axes of length one that the norm of timm's pooled features keeps."""
    arrays = reference.reference(model, image, STAGES)
    return arrays | {'feature/norm': arrays['feature/norm'].reshape(len(image), -1)}


def main():
    """Writes them all."""
    # 69×37 pixels are 17×9 patches, then 8×4, 4×2 and 2×1: something is cut off on the way. Eighths compress well.
    image = (8 * reference.random_image(2, 69, 37)).round() / 8
    second = {'use_grn': True, 'ls_init_value': None}
    for case, kwargs in {
        'convnext_dense': {},
        'convnext_conv_mlp': {'conv_mlp': True},
        'convnext_v2': second,
    }.items():
        reference.write(case, timm_arrays(timm_convnext(**kwargs), image))
    for case, kwargs in {'convnext_facebook': {}, 'convnext_facebook_v2': second}.items():
        model = timm_convnext(**kwargs)
        reference.write(case, as_facebook(timm_arrays(model, image), model))
    for case, version in {'convnext_hf': 'ConvNext', 'convnext_hf_v2': 'ConvNextV2'}.items():
        reference.write(case, huggingface_arrays(version, image))


if __name__ == '__main__':
    main()
