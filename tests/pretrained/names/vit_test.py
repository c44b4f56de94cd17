"""Vision Transformers and their published names, from the fixtures of make_vit.py and make_vit_original.py."""

import dataclasses

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models.network import Network
from jtransfer.models.vit.network import ViT
from jtransfer.pretrained.load.namemap import choose
from jtransfer.pretrained.names import namings
from tests.golden import check

TINY = {'patch': 5, 'dim': 24, 'blocks': 2, 'heads': 3}
TIMM = {**TINY, 'mlp_ratio': 2}
TIMM_MAP = {**TIMM, 'class_token': False, 'pool': 'map', 'gelu': 'tanh'}
HF = {**TINY, 'mlp_hidden': 40, 'eps': 1e-12}
HF_DINOV2 = {**TINY, 'mlp_ratio': 3, 'layer_scale': 1.0}
HF_SIGLIP = {**HF, 'class_token': False, 'gelu': 'tanh', 'eps': 1e-6}
CLIP = {'pre_norm': True, 'patch_bias': False, 'gelu': 'quick', 'eps': 1e-5}
GATED = {'mlp_hidden': 36, 'swiglu': True, 'layer_scale': 1.0}


@dataclasses.dataclass
class Case:
    """What a fixture holds: the naming it follows, the network's options and its number of classes."""

    naming: str
    options: dict
    classes: int = 5

    def network(self, **changes):
        return Network(ViT(**{**self.options, **changes}), {'': self.classes} if self.classes else {})


CASES = {
    'vit_timm_token': Case('timm', TIMM),
    'vit_timm_avg': Case('timm', {**TIMM, 'pool': 'avg_norm'}),
    'vit_timm_distilled': Case('timm', {**TIMM, 'distilled': True}),
    'vit_timm_reg': Case('timm', {**TIMM, 'reg_tokens': 4, 'embed_class': False, 'layer_scale': 1.0}),
    'vit_timm_swiglu': Case('timm', {**TINY, **GATED, 'qkv_bias': False}),
    'vit_timm_clip': Case('timm', {**TIMM, **CLIP}),
    'vit_timm_siglip': Case('timm', {**TIMM_MAP, 'truncate': True}),
    'vit_deit3': Case('deit', {**TIMM, 'embed_class': False, 'layer_scale': 1.0}),
    'vit_dinov2': Case('dinov2', {**TINY, **GATED, 'reg_tokens': 4}, 0),
    'vit_openai_clip': Case('openai_clip', {**TIMM, **CLIP}),
    'vit_jax': Case('vit_jax', {**TIMM, 'gelu': 'tanh'}),
    'vit_big_vision': Case('big_vision', TIMM_MAP, 0),
    'vit_big_vision_scan': Case('big_vision_scan', TIMM_MAP, 0),
    'vit_hf': Case('huggingface', HF),
    'vit_hf_pooler': Case('huggingface', {**HF, 'pre_logits': True}, 0),
    'vit_hf_mae': Case('huggingface', HF, 0),
    'vit_hf_deit': Case('huggingface_deit', {**HF, 'distilled': True}),
    'vit_hf_deit_class': Case('huggingface_deit', {**HF, 'distilled': True, 'pool': 'class'}),
    'vit_hf_dinov2': Case('huggingface_dinov2', {**HF_DINOV2, 'mlp_hidden': 48, 'swiglu': True, 'pool': 'token_avg'}),
    'vit_hf_dinov2_reg': Case('huggingface_dinov2', {**HF_DINOV2, 'reg_tokens': 4}, 0),
    'vit_hf_clip': Case('huggingface_clip', {**HF, **CLIP}),
    'vit_hf_siglip': Case('huggingface_siglip', {**HF_SIGLIP, 'pool': 'map'}, 0),
    'vit_hf_siglip_avg': Case('huggingface_siglip', {**HF_SIGLIP, 'pool': 'avg'}),
    'vit_flax': Case('huggingface_flax', HF),
    'vit_flax_dinov2': Case('huggingface_flax_dinov2', HF_DINOV2, 0),
    'vit_flax_clip': Case('huggingface_flax_clip', {**HF, **CLIP}, 0),
}
# Files of the bare backbone lack a prefix that the naming writes.
BARE = {'vit_hf_pooler': 'vit.', 'vit_hf_dinov2_reg': 'dinov2_with_registers.', 'vit_flax_dinov2': 'dinov2/'}


def naming_of(name, network=None):
    case = CASES[name]
    return check.naming_called(case.naming, 'vit', network or case.network())


@pytest.mark.parametrize('name', CASES)
def test_outputs_are_those_of_the_source(name):
    shares = check.evaluation(CASES[name].network(), naming_of(name), check.golden(name), tolerance=5e-6)
    assert {'block0', 'block1'} < set(shares)


@pytest.mark.parametrize('name', CASES)
def test_the_naming_is_recognised(name):
    names = list(check.state(check.golden(name)))
    assert choose(namings('vit', CASES[name].network().backbone), names, name).name == CASES[name].naming


@pytest.mark.parametrize('name', sorted(set(CASES) - set(BARE)))
def test_names_go_there_and_back(name):
    check.round_trip(CASES[name].network(), naming_of(name), check.golden(name))


@pytest.mark.parametrize(('name', 'base'), BARE.items())
def test_a_bare_backbone_is_written_with_its_prefix(name, base):
    arrays = check.golden(name)
    naming = naming_of(name)
    shapes = check.shapes(CASES[name].network(), arrays['image'])
    exported = naming.to_theirs(naming.to_ours(check.state(arrays), shapes).values)
    kept = {n: value for n, value in check.state(arrays).items() if not n.endswith('mask_token')}
    assert set(exported) == {base + n for n in kept}
    for n, value in kept.items():
        np.testing.assert_array_equal(exported[base + n], value)


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('vit_timm_token', {'gelu': 'tanh'}),
        ('vit_timm_token', {'eps': 1e-5}),
        ('vit_timm_token', {'pool': 'avg'}),
        ('vit_timm_avg', {'pool': 'avg'}),
        ('vit_timm_distilled', {'heads': 2}),
        ('vit_openai_clip', {'gelu': 'erf'}),
        ('vit_jax', {'gelu': 'erf'}),
        ('vit_hf_siglip', {'gelu': 'erf'}),
    ],
)
def test_another_detail_of_the_network_is_noticed(name, change):
    naming, network = naming_of(name), CASES[name].network(**change)
    with pytest.raises(AssertionError, match='differs by'):
        check.evaluation(network, naming, check.golden(name), tolerance=5e-6)


@pytest.mark.parametrize(
    ('name', 'swap'),
    [
        ('vit_hf', ('vit.encoder.layer.0.attention.attention.query', 'vit.encoder.layer.0.attention.attention.key')),
        ('vit_timm_reg', ('blocks.1.ls1', 'blocks.1.ls2')),
        ('vit_timm_distilled', ('head', 'head_dist')),
    ],
)
def test_swapped_tensors_are_noticed(name, swap):
    arrays = check.golden(name)
    one, other = (f'state/{n}.' for n in swap)
    swapped = {
        n.replace(one, other) if n.startswith(one) else n.replace(other, one) if n.startswith(other) else n: value
        for n, value in arrays.items()
    }
    naming, network = naming_of(name), CASES[name].network()
    with pytest.raises(AssertionError, match='differs by'):
        check.evaluation(network, naming, swapped, tolerance=5e-6)


@pytest.mark.parametrize(
    ('name', 'wrapper'),
    [
        ('vit_timm_token', 'module.'),
        ('vit_jax', 'opt/target/'),
        ('vit_big_vision', 'params/'),
        ('vit_big_vision', 'params/img/'),
        ('vit_big_vision_scan', 'params/img/'),
        ('vit_flax', 'params/'),
        ('vit_openai_clip', 'module.'),
    ],
)
def test_wrappers_are_taken_off(name, wrapper):
    arrays, network = check.golden(name), CASES[name].network()
    beside = ('txt/', 't')
    plain = {n: value for n, value in check.state(arrays).items() if not n.startswith(beside) or 'big' not in name}
    wrapped = {wrapper + n: value for n, value in plain.items()}
    if wrapper == 'params/img/':
        wrapped |= {'params/txt/head/kernel': np.zeros((2, 2)), 'params/t': np.zeros(1), 'params/b': np.zeros(1)}
    naming = choose(namings('vit', network.backbone), list(wrapped), name)
    assert naming.name == CASES[name].naming
    shapes = check.shapes(network, arrays['image'])
    ours, unwrapped = naming.to_ours(wrapped, shapes), naming.to_ours(plain, shapes)
    assert not ours.unknown
    assert set(ours.values) == set(unwrapped.values) == set(shapes)
    assert all(np.array_equal(ours.values[path], value) for path, value in unwrapped.values.items())


def test_scanned_blocks_are_the_separate_ones():
    converted = []
    for name in ('vit_big_vision', 'vit_big_vision_scan'):
        arrays = check.golden(name)
        shapes = check.shapes(CASES[name].network(), arrays['image'])
        converted.append(naming_of(name).to_ours(check.state(arrays), shapes).values)
    assert set(converted[0]) == set(converted[1])
    assert all(np.array_equal(value, converted[1][path]) for path, value in converted[0].items())


def test_scanned_blocks_of_another_number_are_refused():
    arrays = check.golden('vit_big_vision_scan')
    network = CASES['vit_big_vision_scan'].network(blocks=3)
    with pytest.raises(UserError, match='its first axis is not the 3 blocks'):
        naming_of('vit_big_vision_scan', network).to_ours(check.state(arrays), check.shapes(network, arrays['image']))


@pytest.mark.parametrize(
    ('name', 'unused'),
    [
        ('vit_hf_mae', ['decoder.mask_token', 'decoder.decoder_embed.weight']),
        ('vit_hf_dinov2', ['dinov2.embeddings.mask_token']),
        ('vit_hf_clip', ['text_model.final_layer_norm.bias', 'text_projection.weight', 'logit_scale']),
        ('vit_hf_siglip_avg', ['vision_model.head.probe', 'vision_model.head.attention.in_proj_weight']),
        ('vit_dinov2', ['mask_token']),
        ('vit_openai_clip', ['positional_embedding', 'transformer.resblocks.0.ln_1.weight', 'vocab_size']),
        ('vit_big_vision', ['txt/head/kernel', 't']),
    ],
)
def test_what_a_file_holds_beside_the_network_is_ignored_by_name(name, unused):
    arrays, network = check.golden(name), CASES[name].network()
    converted = naming_of(name).to_ours(check.state(arrays), check.shapes(network, arrays['image']))
    assert set(unused) <= set(converted.ignored)
    assert not any(path in converted.ignored for path in converted.names.values())


@pytest.mark.parametrize(('naming', 'name'), [('huggingface', 'pooler.dense'), ('vit_jax', 'pre_logits')])
def test_the_layer_before_the_head_is_used_where_the_network_has_it(naming, name):
    leaf = '/kernel' if naming == 'vit_jax' else '.weight'
    array = {name + leaf: np.arange(6.0).reshape(2, 3)}
    for pre_logits in (True, False):
        network = Network(ViT(**TINY, pre_logits=pre_logits), {})
        converted = check.naming_called(naming, 'vit', network).to_ours(array, {})
        assert set(converted.values) == ({'params/backbone/pre_logits/kernel'} if pre_logits else set())
        assert converted.ignored == (() if pre_logits else (name + leaf,))


def test_sources_resize_positions_in_their_own_ways():
    plain, registers = (
        {naming.name: naming.positions for naming in namings('vit', ViT(**TINY, reg_tokens=count))} for count in (0, 4)
    )
    assert plain['timm'] == 'bicubic_antialias'
    assert plain['deit'] == plain['huggingface'] == plain['huggingface_flax'] == 'bicubic'
    assert plain['vit_jax'] == plain['big_vision'] == plain['big_vision_scan'] == 'bilinear_corners'
    assert (plain['dinov2'], registers['dinov2']) == ('bicubic_offset', 'bicubic_antialias')
    assert (plain['huggingface_dinov2'], registers['huggingface_dinov2']) == ('bicubic', 'bicubic_antialias')


def test_clip_has_no_place_for_a_bias_of_the_head():
    arrays, network = check.golden('vit_openai_clip'), CASES['vit_openai_clip'].network()
    naming = naming_of('vit_openai_clip')
    values = naming.to_ours(check.state(arrays), check.shapes(network, arrays['image'])).values
    assert not values['params/head/bias'].any()
    values['params/head/bias'] = np.ones(5, np.float32)
    with pytest.raises(UserError, match='no place for params/head/bias'):
        naming.to_theirs(values)


def test_a_file_of_another_network_is_refused():
    names = [*check.state(check.golden('vit_timm_swiglu')), 'blocks.0.attn.q_norm.weight']
    with pytest.raises(UserError, match=r"no place in the network under the naming 'timm' \(1\): blocks.0.attn.q_norm"):
        choose(namings('vit', ViT(**TINY, swiglu=True)), names, 'x.safetensors')
