"""Whole files as the references write them: loaded, used, exported, and read back by the reference."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.models.first_kernel import fit_channels
from jtransfer.pretrained.export import export_model
from jtransfer.pretrained.model import load_model
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')
TOLERANCE = 1e-4


def reference():
    from tests.golden import reference

    return reference


def logits_of(model, image):
    """Ours on a torch image (NCHW), or the pooled features where there is no head."""
    with jax.default_matmul_precision('highest'):
        (values,) = jax.jit(model.network.apply)(
            model.variables, jnp.asarray(image.numpy().transpose(0, 2, 3, 1))
        ).values()
    return values


def agree(model, theirs, image, forward=lambda net, image: net(image)):
    with torch.no_grad():
        expected = forward(theirs.eval(), image).numpy()
    check.close(logits_of(model, image), expected, TOLERANCE, 'logits')


def same_state(ours, theirs):
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor, err_msg=name)


TIMM = {
    'resnet50': ('resnet50', 64),
    'resnet18d': ('resnet18d', 64),
    'resnetv2_50x1_bit': ('bit_r50x1', 64),
    'vit_tiny_patch16_224': ('vit_ti16', 224),
    'deit_tiny_distilled_patch16_224': ('deit_ti16_distilled', 224),
    'deit3_small_patch16_224': ('deit3_s16', 224),
    'convnext_atto': ('convnext_atto', 64),
    'mobilenetv2_050': ('mobilenetv2_050', 64),
}


@pytest.mark.parametrize('name', TIMM)
def test_a_folder_of_timm_and_back(tmp_path, name):
    """Loaded by its config.json alone; the export loads into timm strictly and is the very same state."""
    from safetensors.torch import load_file

    timm = reference().import_timm()
    from timm.models._hub import save_for_hf

    theirs = reference().randomise(timm.create_model(name, num_classes=7), spread=0.1)
    save_for_hf(theirs, tmp_path / 'theirs', safe_serialization=True)
    model = load_model(tmp_path / 'theirs')
    architecture, side = TIMM[name]
    assert model.architecture == architecture
    config = json.loads((tmp_path / 'theirs' / 'config.json').read_text())['pretrained_cfg']
    assert model.preprocessing.mean == tuple(config['mean'])
    assert model.preprocessing.crop_fraction == config['crop_pct']
    assert model.preprocessing.interpolation == config['interpolation']
    agree(model, theirs, reference().random_image(1, side, side))

    export_model(model, tmp_path / 'ours.safetensors')
    ours = load_file(tmp_path / 'ours.safetensors')
    again = timm.create_model(name, num_classes=7)
    again.load_state_dict(ours, strict=True)
    same_state({k: v.numpy() for k, v in ours.items()}, {k: v.numpy() for k, v in theirs.state_dict().items()})


def test_a_trained_network_goes_back_to_timm(tmp_path):
    """A new head and moved weights: timm computes what we compute."""
    timm = reference().import_timm()
    from safetensors.torch import load_file, save_file

    save_file(timm.create_model('resnet18', num_classes=9).state_dict(), tmp_path / 'w.safetensors')
    model = load_model(tmp_path / 'w.safetensors', architecture='resnet18', num_classes=3, head_init='normal')
    random = np.random.default_rng(0)
    moved = jax.tree.map(lambda x: x + random.normal(0, 0.01, x.shape).astype('f4') ** 2, model.variables)
    import dataclasses

    model = dataclasses.replace(model, variables=moved)
    export_model(model, tmp_path / 'trained.safetensors', 'timm')
    theirs = timm.create_model('resnet18', num_classes=3)
    theirs.load_state_dict(load_file(tmp_path / 'trained.safetensors'), strict=True)
    agree(model, theirs, reference().random_image(2, 64, 64))


def hugging_face_names():
    return ['vit_ti16', 'deit_ti16_distilled', 'resnet18', 'convnext_tiny', 'mobilenetv2_035', 'dinov2_s14']


def hugging_face():
    """Networks of transformers at the size of one of ours."""
    # transformers asks torchvision, which has to have been imported with its missing part left out.
    reference().import_torchvision()
    import transformers as t

    tiny = {'hidden_size': 192, 'num_hidden_layers': 12, 'num_attention_heads': 3, 'intermediate_size': 768}
    return {
        'vit_ti16': t.ViTForImageClassification(t.ViTConfig(**tiny, num_labels=5)),
        'deit_ti16_distilled': t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(**tiny, num_labels=5)),
        'resnet18': t.ResNetForImageClassification(
            t.ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type='basic', num_labels=5)
        ),
        'convnext_tiny': t.ConvNextForImageClassification(t.ConvNextConfig(num_labels=5)),
        'mobilenetv2_035': t.MobileNetV2ForImageClassification(
            t.MobileNetV2Config(depth_multiplier=0.35, num_labels=5)
        ),
        'dinov2_s14': t.Dinov2Model(
            t.Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518)
        ),
    }


@pytest.mark.parametrize('architecture', hugging_face_names())
def test_a_folder_of_transformers_and_back(tmp_path, architecture):
    theirs = reference().randomise(hugging_face()[architecture], spread=0.1)
    theirs.save_pretrained(tmp_path / 'theirs')
    bare = architecture == 'dinov2_s14'
    model = load_model(tmp_path / 'theirs', image_size=56 if bare else 0)
    assert model.architecture == architecture
    image = reference().random_image(1, *((56, 56) if bare else (224, 224)))

    def forward(net, image):
        return net(image).pooler_output if bare else net(image).logits

    agree(model, theirs, image, forward)
    if bare:
        return  # its position embeddings were resized: another file
    export_model(model, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text((tmp_path / 'theirs' / 'config.json').read_text())
    again, said = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not said['missing_keys']
    assert not said['unexpected_keys']
    state = {name: value.numpy() for name, value in again.state_dict().items()}
    same_state(state, {name: value.numpy() for name, value in theirs.state_dict().items()})


def test_a_torchvision_file_with_auxiliary_heads(tmp_path):
    """As torchvision publishes it: a .pth file, whose untrained auxiliary heads the plain network has no place for."""
    torchvision = reference().import_torchvision()
    theirs = torchvision.models.googlenet(weights=None, init_weights=False, num_classes=6, transform_input=False)
    reference().randomise(theirs, spread=0.1)
    torch.save(theirs.state_dict(), tmp_path / 'googlenet.pth')
    image = reference().random_image(1, 96, 96)
    model = load_model(tmp_path / 'googlenet.pth', architecture='googlenet')
    assert any(name.startswith('aux1') for name in model.load_report.ignored)
    agree(model, theirs, image)
    whole = load_model(tmp_path / 'googlenet.pth', architecture='googlenet_aux')
    assert not [name for name in whole.load_report.ignored if 'num_batches_tracked' not in name]
    agree(whole, theirs, image)
    fresh = load_model(tmp_path / 'googlenet.pth', architecture='googlenet_aux', num_classes=2)
    assert 're-initialised the head, 2 outputs (the stored head, 6 outputs, is ignored)' in fresh.load_report.summary()
    assert {path for path in fresh.load_report.re_initialised if path.startswith('batch_stats/head/')}
    bare = load_model(tmp_path / 'googlenet.pth', architecture='googlenet_aux', num_classes=0)
    assert set(bare.variables['params']) == {'backbone'}


@pytest.mark.parametrize('channels', [1, 2, 4, 6, 7])
def test_other_image_channels_are_fitted_as_timm_fits_them(channels):
    reference().import_timm()
    from timm.models._manipulate import adapt_input_conv

    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    theirs = adapt_input_conv(channels, weight.clone()).numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(fit_channels(weight.numpy().transpose(2, 3, 1, 0), channels), theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ('name', 'settings'),
    [
        ('ViTImageProcessor', {}),
        ('DeiTImageProcessor', {}),
        ('BitImageProcessor', {'size': {'shortest_edge': 256}}),
        ('ConvNextImageProcessor', {'size': {'shortest_edge': 224}, 'crop_pct': 0.875, 'resample': 3}),
        ('ConvNextImageProcessor', {'size': {'shortest_edge': 384}, 'resample': 3}),
        ('CLIPImageProcessor', {}),
        ('SiglipImageProcessor', {}),
    ],
)
def test_pictures_are_framed_as_the_processors_of_transformers_frame_them(tmp_path, name, settings):
    """From the preprocessor_config.json that the library writes; a difference in normalisation would show at once."""
    # transformers asks torchvision, which has to have been imported with its missing part left out.
    reference().import_torchvision()
    import transformers
    from PIL import Image

    from jtransfer.inputs.image_pixels import evaluation_pixels, normalise
    from jtransfer.pretrained.names.huggingface_processor import framing

    processor = getattr(transformers, name)(**settings)
    processor.save_pretrained(tmp_path)
    said = json.loads((tmp_path / 'preprocessor_config.json').read_text())
    preprocessing = framing(said, 'vit')  # the file names its class
    # Margins that are odd too.
    for height, width in ((262, 377), (377, 262), (300, 300)):
        picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        theirs = np.asarray(processor(Image.fromarray(picture), return_tensors='np')['pixel_values'])[0]
        pixels = jnp.asarray(evaluation_pixels(picture, preprocessing)[None])
        ours = np.asarray(normalise(pixels, preprocessing)[0])
        assert ours.shape == (*theirs.shape[1:], 3)
        difference = np.abs(ours - theirs.transpose(1, 2, 0))
        assert difference.max() < 2e-6
