"""The catalogue against timm, torchvision and transformers themselves: facts, counts, and the names in the files.

Nothing is downloaded: the references are built without weights, on torch's meta device.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jtransfer import models
from jtransfer.inputs.image_pixels import evaluation_pixels, normalise
from jtransfer.pretrained.catalogue.entries import Entry, entries
from jtransfer.pretrained.names import namings
from jtransfer.pretrained.timm.names import architecture_of, preprocessing_of
from jtransfer.rules import flatten

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')

ALL = list(entries().values())
OF_TIMM = [entry for entry in ALL if entry.name.startswith('timm/')]
OF_TORCHVISION = [entry for entry in ALL if entry.name.startswith('torchvision/')]
OF_HUB = [entry for entry in ALL if entry.naming.startswith('huggingface')]


@functools.cache
def library(name):
    """A reference, imported when a test that was not deselected needs it."""
    from tests.golden import reference

    if name == 'transformers':
        reference.import_torchvision()
        return pytest.importorskip('transformers')
    return {'timm': reference.import_timm, 'torchvision': reference.import_torchvision}[name]()


def timm_name(entry: Entry) -> str:
    return entry.name.removeprefix('timm/').partition('.')[0]


@pytest.mark.parametrize('entry', OF_TIMM, ids=lambda entry: entry.name)
def test_facts_are_those_of_timm(entry):
    timm = library('timm')
    config = timm.get_pretrained_cfg(entry.name.removeprefix('timm/')).to_dict()
    assert (entry.architecture, entry.options) == architecture_of(config['architecture'])
    assert entry.preprocessing == preprocessing_of(config)
    assert entry.preprocessing == preprocessing_of({'architecture': config['architecture'], 'pretrained_cfg': config})
    # timm's own resolution of what its configuration means.
    tested = config['tag'].startswith('tv2_')
    data = timm.data.resolve_data_config(pretrained_cfg=config, use_test_size=tested)
    how = entry.preprocessing
    assert data['input_size'] == (3, how.image_size, how.image_size)
    assert (data['crop_pct'], data['interpolation']) == (how.crop_fraction, how.interpolation)
    assert (data['mean'], data['std']) == (how.mean, how.std)
    assert data['crop_mode'] == ('squash' if how.squash else 'center')
    assert (entry.num_classes, entry.licence, entry.repo) == (
        config['num_classes'],
        config['license'],
        config['hf_hub_id'],
    )


@functools.cache
def timm_shapes(name: str, classes: int) -> dict[str, tuple[int, ...]]:
    with torch.device('meta'):
        model = library('timm').create_model(name, num_classes=classes)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def our_paths(entry: Entry) -> dict[str, tuple[int, ...]]:
    """Shapes of the network's tensors by path."""
    network, size = our_network(entry), entry.preprocessing.image_size
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))
    return {path: leaf.shape for path, leaf in flatten(variables).items()}


def our_network(entry: Entry) -> models.Network:
    return models.create(
        entry.architecture,
        num_classes=entry.num_classes,
        image_size=entry.preprocessing.image_size,
        options=entry.options,
    )


def check_names(entry: Entry, shapes: dict[str, tuple[int, ...]]) -> None:
    """Every tensor of the file has its place, and every tensor of ours is in the file."""
    [naming] = [
        naming
        for naming in namings(models.describe(entry.architecture).family, our_network(entry).backbone)
        if naming.name == entry.naming
    ]
    assert [name for name in shapes if not naming.explains([name])] == []
    ours, found = our_paths(entry), {}
    for name in shapes:
        place = naming._find(naming._unwrapped(name))
        found |= dict.fromkeys(place[1] if place else [], name)
    missing = set(ours) - set(found) - set(naming.constants)
    assert missing == set()
    assert set(found) - set(ours) == set()


# One entry of each network: names and counts do not depend on the weights.
def distinct(chosen: list[Entry]) -> list[Entry]:
    return list({(e.architecture, repr(e.options), e.num_classes, e.preprocessing.shape): e for e in chosen}.values())


@pytest.mark.parametrize('entry', distinct(OF_TIMM), ids=lambda entry: entry.name)
def test_names_and_counts_are_those_of_timm(entry):
    shapes = timm_shapes(timm_name(entry), entry.num_classes)
    check_names(entry, shapes)
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    parameters = [shape for name, shape in shapes.items() if not name.endswith(buffers)]
    expected = sum(torch.Size(shape).numel() for shape in parameters)
    if timm_shapes_differ(entry, shapes):
        return
    assert entry.parameters == expected


def timm_shapes_differ(entry: Entry, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether timm builds the architecture for pictures of another size than the weights are for."""
    positions, patch = shapes.get('pos_embed'), models.describe(entry.architecture).kwargs.get('patch')
    if positions is None:
        return False
    network = our_network(entry)
    side = entry.preprocessing.image_size // entry.options.get('patch', patch)
    return positions[1] != side**2 + network.backbone.prefix_positions


@pytest.mark.parametrize('entry', distinct(OF_TORCHVISION), ids=lambda entry: entry.name)
def test_names_and_counts_are_those_of_torchvision(entry):
    name, _, tag = entry.name.removeprefix('torchvision/').partition('.')
    torchvision = library('torchvision')
    weights = torchvision.models.get_model_weights(name)[tag]
    assert entry.parameters == weights.meta['num_params']
    assert (entry.file, entry.accuracy) == (weights.url, weights.meta['_metrics']['ImageNet-1K']['acc@1'])
    keywords = {'init_weights': False, 'aux_logits': True} if name == 'googlenet' else {}
    with torch.device('meta'):
        model = getattr(torchvision.models, name)(**keywords)
    check_names(entry, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})


@pytest.mark.parametrize('entry', OF_TORCHVISION, ids=lambda entry: entry.name)
def test_preprocessing_is_that_of_torchvision(entry):
    name, _, tag = entry.name.removeprefix('torchvision/').partition('.')
    picture = np.random.default_rng(0).integers(0, 256, (261, 377, 3), dtype=np.uint8)
    weights = library('torchvision').models.get_model_weights(name)[tag]
    theirs = weights.transforms()(Image.fromarray(picture))
    if name == 'googlenet':  # what its transform_input makes of it
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        theirs = (theirs * std + mean - 0.5) / 0.5
    pixels = jnp.asarray(evaluation_pixels(picture, entry.preprocessing)[None])
    ours = normalise(pixels, entry.preprocessing)[0]
    np.testing.assert_allclose(ours, theirs.permute(1, 2, 0).numpy(), atol=2e-6)


# Sizes of transformers' networks, by ours.
_SIZES = {
    'ti': (192, 12, 3, 768),
    's': (384, 12, 6, 1536),
    'b': (768, 12, 12, 3072),
    'l': (1024, 24, 16, 4096),
    'h': (1280, 32, 16, 5120),
    'g': (1536, 40, 24, 6144),
    'so400m': (1152, 27, 16, 4304),
}


def hub_model(entry: Entry) -> torch.nn.Module:
    """The class that the repository's file is of, without weights."""
    t = library('transformers')
    kind = entry.repo.partition('/')[2].partition('-')[0]
    if kind == 'resnet':
        depths = models.describe(entry.architecture).kwargs['depths']
        basic = models.describe(entry.architecture).kwargs['block'] == 'basic'
        sizes = [64, 128, 256, 512] if basic else [256, 512, 1024, 2048]
        layer = 'basic' if basic else 'bottleneck'
        config = t.ResNetConfig(depths=list(depths), hidden_sizes=sizes, layer_type=layer, num_labels=1000)
        return t.ResNetForImageClassification(config)
    if kind == 'bit':
        return t.BitForImageClassification(t.BitConfig(num_labels=1000))
    size = entry.architecture.partition('_')[2].partition('_')[0].rstrip('0123456789')
    patch = models.describe(entry.architecture).kwargs['patch']
    hidden, layers, heads, mlp = _SIZES[size]
    own = {'hidden_size': hidden, 'num_hidden_layers': layers, 'num_attention_heads': heads, 'patch_size': patch}
    own['image_size'] = entry.preprocessing.image_size
    if 'dinov2' in entry.repo:
        own = {**own, 'image_size': 518, 'use_swiglu_ffn': size == 'g', 'num_labels': 1000}
        if 'registers' in entry.repo:
            return t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**own))
        config = t.Dinov2Config(**own)
        return t.Dinov2ForImageClassification(config) if entry.num_classes else t.Dinov2Model(config)
    own['intermediate_size'] = mlp
    if kind == 'clip':
        text = {} if size == 'b' else {'hidden_size': 768, 'num_attention_heads': 12, 'intermediate_size': 3072}
        return t.CLIPModel(t.CLIPConfig(vision_config=own, text_config=text, projection_dim=entry.num_classes))
    if kind in ('siglip', 'siglip2'):
        many = kind == 'siglip2' or 'i18n' in entry.repo or 'multilingual' in entry.repo
        words = 256_000 if kind == 'siglip2' else 250_000 if many else 32_000
        same = ('hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size')
        text = {**{key: own[key] for key in same}, 'vocab_size': words, 'max_position_embeddings': 64}
        return t.SiglipModel(t.SiglipConfig(vision_config=own, text_config={**text, 'projection_size': hidden}))
    if 'mae' in entry.repo:
        return t.ViTMAEForPreTraining(t.ViTMAEConfig(**own))
    if 'distilled' in entry.repo:
        return t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(**own, num_labels=1000))
    config = t.ViTConfig(**own, num_labels=1000)
    return t.ViTForImageClassification(config) if entry.num_classes else t.ViTModel(config)


@pytest.mark.parametrize('entry', OF_HUB, ids=lambda entry: entry.name)
def test_names_and_sizes_are_those_of_transformers(entry):
    with torch.device('meta'):
        model = hub_model(entry)
    check_names(entry, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    values = sum(tensor.numel() for tensor in model.state_dict().values() if tensor.is_floating_point())
    # Our position embeddings are of the resolution of the preprocessing, which differs for DINOv2.
    assert entry.bytes == pytest.approx(4 * values, rel=0.05 if 'dinov2' in entry.repo else 1e-4)
