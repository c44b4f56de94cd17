"""Folders of ours, loaded strictly by timm and transformers: the same logits, classes, preprocessing and sizes."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.pretrained.export import export_model, export_notes
from jtransfer.pretrained.model import load_model
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')
NAMES = ('10', '2', '1')
# Of BiT, whose standardised kernels are the least exact.
TOLERANCE = 1e-4


def reference():
    from tests.golden import reference

    return reference


def trained(architecture, **settings):
    """A network whose every parameter has moved, and its logits on an image."""
    model = load_model(architecture=architecture, class_names=NAMES, **settings)
    random = np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(leaf + random.normal(0, 0.05, leaf.shape).astype('f4'))  # noqa: E731
    params = jax.tree.map(draw, model.variables['params'])
    model = dataclasses.replace(model, variables={**model.variables, 'params': params})
    fixed = hasattr(model.network.backbone, 'patch')
    side = model.preprocessing.shape if fixed else (64, 64)
    image = torch.randn(1, model.preprocessing.channels, *side, generator=torch.Generator().manual_seed(0))
    with jax.default_matmul_precision('highest'):
        logits = jax.jit(model.network.apply)(model.variables, jnp.asarray(image.numpy().transpose(0, 2, 3, 1)))['']
    return model, image, np.asarray(logits)


TIMM = [
    ('resnet18', {}),
    ('resnet18d', {'input_channels': 1}),
    ('bit_r50x1', {}),
    ('convnext_atto', {}),
    ('mobilenetv2_035', {'options': {'padding': 'tensorflow', 'eps': 1e-3}}),
    ('vit_mini', {}),
    ('vit_ti16', {'image_size': 96}),
    ('vit_tiny_test', {'image_size': (16, 32), 'options': {'gelu': 'quick', 'pool': 'avg_norm'}}),
    ('deit_ti16_distilled', {'image_size': 64}),
    ('deit3_s16', {'image_size': 32}),
    ('dinov2_s14', {'image_size': 224}),
    ('dinov2_s14_reg4', {'image_size': 56}),
    ('clip_b32', {'image_size': 64}),
    ('siglip_b32', {'image_size': 64}),
]


@pytest.mark.parametrize(('architecture', 'settings'), TIMM)
def test_timm_loads_the_folder(tmp_path, architecture, settings):
    timm = reference().import_timm()
    model, image, logits = trained(architecture, **settings)
    export_model(model, tmp_path / 'out', 'timm')
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    name = f'local-dir:{tmp_path / "out"}'
    theirs = timm.create_model(name, pretrained=True).eval()  # strictly
    check.close(logits, theirs(image).detach().numpy(), TOLERANCE, architecture)
    assert theirs.pretrained_cfg['label_names'] == list(NAMES)
    assert tuple(theirs.pretrained_cfg['input_size'])[1:] == model.preprocessing.shape
    ours, found = model.preprocessing, timm.data.resolve_model_data_config(theirs)
    assert (tuple(found['mean']), tuple(found['std'])) == (ours.mean, ours.std)
    assert (found['crop_pct'], found['interpolation']) == (ours.crop_fraction, ours.interpolation)
    assert found['crop_mode'] == ('squash' if ours.squash else 'center')
    # Another number of classes leaves the head out, which timm must find for that.
    other = timm.create_model(name, pretrained=True, num_classes=5)
    assert other(image).shape == (1, 5)
    if 'image_size' in settings:
        assert [note for note in export_notes(model, 'timm', folder=True) if 'position embeddings' in note]
        assert config['model_args']['img_size'] in (settings['image_size'], list(ours.shape))


HUGGING_FACE = [
    ('huggingface', 'resnet18', {}),
    ('huggingface', 'resnet26', {'input_channels': 1}),
    ('huggingface', 'bit_r50x1', {}),
    ('huggingface', 'convnext_tiny', {}),
    ('huggingface', 'convnextv2_tiny', {}),
    ('huggingface', 'mobilenetv2_035', {}),
    ('huggingface', 'mobilenetv2_140', {'options': {'padding': 'tensorflow', 'eps': 1e-3}}),
    ('huggingface', 'vit_ti16', {'image_size': 96}),
    ('huggingface', 'vit_tiny_test', {'image_size': (16, 32), 'options': {'gelu': 'tanh', 'eps': 1e-12}}),
    ('huggingface_deit', 'deit_ti16_distilled', {'image_size': 64}),
    ('huggingface_deit', 'deit_ti16_distilled', {'image_size': 64, 'options': {'pool': 'class'}}),
    ('huggingface_dinov2', 'dinov2_s14', {'image_size': 224, 'options': {'pool': 'token_avg'}}),
    ('huggingface_siglip', 'siglip_b32', {'image_size': 64, 'options': {'pool': 'avg'}}),
]


@pytest.mark.parametrize(('naming', 'architecture', 'settings'), HUGGING_FACE)
def test_transformers_loads_the_folder(tmp_path, naming, architecture, settings):
    reference().import_torchvision()
    import transformers

    model, image, logits = trained(architecture, **settings)
    export_model(model, tmp_path / 'out', naming)
    load = transformers.AutoModelForImageClassification.from_pretrained
    theirs, said = load(tmp_path / 'out', output_loading_info=True)
    assert not [name for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys') for name in said[kind]]
    check.close(logits, theirs.eval()(image).logits.detach().numpy(), TOLERANCE, architecture)
    assert theirs.config.id2label == dict(enumerate(NAMES))
    if 'image_size' in settings:
        assert [note for note in export_notes(model, naming, folder=True) if 'position embeddings' in note]


@pytest.mark.parametrize('bare', ['huggingface_dinov2', 'huggingface_clip', 'huggingface_siglip'])
def test_transformers_loads_a_network_without_a_head(tmp_path, bare):
    reference().import_torchvision()
    import transformers

    kind = bare.removeprefix('huggingface_')
    name = {'dinov2': 'dinov2_s14', 'clip': 'clip_b32', 'siglip': 'siglip_b32'}[kind]
    side = 56 if kind == 'dinov2' else 64
    model = load_model(architecture=name, num_classes=0, image_size=side, seed=1)
    export_model(model, tmp_path / 'out', bare)
    theirs, said = transformers.AutoModel.from_pretrained(tmp_path / 'out', output_loading_info=True)
    assert not [key for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys') for key in said[kind]]
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    ours = model.network.apply(model.variables, jnp.asarray(image.numpy().transpose(0, 2, 3, 1)))['pooled']
    check.close(ours, theirs.eval()(image).pooler_output.detach().numpy(), TOLERANCE, bare)


@pytest.mark.parametrize(
    'change', [{}, {'squash': True}, {'squash': True, 'crop_fraction': 1.0}, {'interpolation': 'bilinear'}]
)
def test_the_processor_of_the_folder_makes_the_same_pixels(tmp_path, change):
    reference().import_torchvision()
    import transformers
    from PIL import Image

    from jtransfer.inputs.image import ImagePreprocessor
    from jtransfer.inputs.image_pixels import evaluation_pixels, normalise

    preprocessing = dataclasses.replace(ImagePreprocessor(32, crop_fraction=0.875), **change)
    model = load_model(architecture='vit_tiny_test', class_names=NAMES, preprocessing=preprocessing)
    export_model(model, tmp_path / 'out', 'huggingface')
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / 'out', use_fast=False)
    # Margins of which half is a whole number.
    pixels = np.random.default_rng(0).integers(0, 256, (72, 80, 3), dtype=np.uint8)
    theirs = processor(Image.fromarray(pixels), return_tensors='np')['pixel_values'][0].transpose(1, 2, 0)
    ours = normalise(jnp.asarray(evaluation_pixels(pixels, preprocessing)[None]), preprocessing)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
