"""The table language, and what becomes of names it does not know."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jtransfer.errors import UserError
from jtransfer.pretrained.load.layouts import LINEAR, Heads
from jtransfer.pretrained.load.namemap import NameMap, Pattern, Rule, choose

RULES = (
    Rule('vit.layers.{i}.fc.weight', 'params/backbone/block{i+1}/fc/kernel', LINEAR),
    Rule(
        'vit.layers.{i}.qkv.weight',
        tuple(f'params/backbone/block{{i+1}}/{part}/kernel' for part in ('query', 'key', 'value')),
        Heads(),
    ),
    Rule('vit.bn.running_mean', 'batch_stats/backbone/bn/mean'),
    Rule('head.weight', 'params/head/kernel', LINEAR),
)
NAMES = NameMap(
    'theirs',
    RULES,
    wrappers=('module.',),
    base='vit.',
    ignored=(r'.*\.num_batches_tracked', 'decoder.*'),
    constants={'params/head/bias': 0.0},
    batch_counters=True,
)
RANDOM = np.random.default_rng(0)
FILE = {
    'vit.layers.0.fc.weight': RANDOM.normal(size=(5, 4)).astype(np.float32),
    'vit.layers.11.qkv.weight': RANDOM.normal(size=(12, 4)).astype(np.float32),
    'vit.bn.running_mean': RANDOM.normal(size=3).astype(np.float32),
    'vit.bn.num_batches_tracked': np.array(0),
    'head.weight': RANDOM.normal(size=(7, 4)).astype(np.float32),
}
SHAPES = {
    'params/backbone/block1/fc/kernel': (4, 5),
    **{f'params/backbone/block12/{part}/kernel': (4, 2, 2) for part in ('query', 'key', 'value')},
    'batch_stats/backbone/bn/mean': (3,),
    'params/head/kernel': (4, 1),
    'params/head/bias': (1,),
}


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 3), st.integers(1, 3))
def test_a_pattern_reads_what_it_writes(first, second, offset, digits):
    pattern = Pattern(f'block{{a+{offset}:{digits:02}}}.x{{b}}/w')
    numbers = {'a': first, 'b': second}
    assert pattern.match(pattern.format(numbers)) == numbers


@pytest.mark.parametrize(
    ('pattern', 'name'),
    [
        ('unit{j+1:02}', 'unit1'),
        ('unit{j+1:02}', 'unit00'),
        ('unit{j}', 'unit01'),
        ('layer{s}.w', 'layer1xw'),
        ('layer{s}.w', 'prelayer1.w'),
        ('layer{s}', 'layer1.w'),
        ('layer{s}', 'layer'),
    ],
)
def test_a_pattern_takes_whole_names_in_their_one_spelling(pattern, name):
    assert Pattern(pattern).match(name) is None


def test_the_first_rule_that_fits_decides_although_rules_are_looked_up_by_outline():
    rules = (
        Rule('a.0.w', 'first'),
        Rule('a.{k}.w', 'layer{k}/w'),
        Rule('a.{k}{j}.w', 'never'),
        Rule('{k}1.w', 'other{k}'),
    )
    naming = NameMap('them', rules)
    assert naming._find('a.0.w') == (rules[0], ['first'])
    assert naming._find('a.12.w') == (rules[1], ['layer12/w'])
    assert naming._find('31.w') == (rules[3], ['other3'])
    assert naming._find('a.b.w') is None
    assert [naming.name_of(path) for path in ('first', 'layer0/w', 'other3', 'layer')] == ['a.0.w', 'a.0.w', '31.w', '']


def test_a_file_under_our_names():
    converted = NAMES.to_ours(FILE, SHAPES)
    assert set(converted.values) == set(SHAPES)
    assert converted.ignored == ('vit.bn.num_batches_tracked',)
    assert converted.unknown == ()
    np.testing.assert_array_equal(
        converted.values['params/backbone/block1/fc/kernel'], FILE['vit.layers.0.fc.weight'].T
    )
    assert converted.names['params/backbone/block12/key/kernel'] == 'vit.layers.11.qkv.weight'
    # A constant bias is as wide as the stored kernel, not as the network that was asked about.
    np.testing.assert_array_equal(converted.values['params/head/bias'], np.zeros(7))


def test_there_and_back_is_exact():
    back = NAMES.to_theirs(NAMES.to_ours(FILE, SHAPES).values)
    assert set(back) == set(FILE)
    for name, array in FILE.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    'rename',
    [
        lambda name: f'module.{name}',
        lambda name: name.removeprefix('vit.'),
        lambda name: f'module.{name.removeprefix("vit.")}',
    ],
)
def test_wrappers_and_bare_backbones_are_the_same_file(rename):
    renamed = {rename(name): array for name, array in FILE.items()}
    assert NAMES.explains(list(renamed)) == len(FILE)
    converted, expected = NAMES.to_ours(renamed, SHAPES).values, NAMES.to_ours(FILE, SHAPES).values
    assert set(converted) == set(expected)
    for path, value in expected.items():
        np.testing.assert_array_equal(converted[path], value)


def test_a_bare_backbone_has_no_constant_for_the_head_it_lacks():
    bare = {name: array for name, array in FILE.items() if name != 'head.weight'}
    assert 'params/head/bias' not in NAMES.to_ours(bare, SHAPES).values


def test_one_tensor_twice_is_an_error():
    both = {'head.weight': FILE['head.weight'], 'module.head.weight': FILE['head.weight']}
    with pytest.raises(UserError, match=r"'head\.weight' and 'module\.head\.weight', which are the same tensor"):
        NAMES.to_ours(both, SHAPES)


@pytest.mark.parametrize('dtype', [np.float16, np.float64, ml_dtypes.bfloat16])
def test_any_floating_point_type_will_do(dtype):
    converted = NAMES.to_ours({'head.weight': FILE['head.weight'].astype(dtype)}, SHAPES)
    assert converted.values['params/head/kernel'].dtype == dtype


@pytest.mark.parametrize('dtype', [np.int64, np.uint8, np.bool_, np.complex64])
def test_other_types_are_refused_by_name(dtype):
    with pytest.raises(UserError, match=r"tensor 'head\.weight' holds .*, where floating-point numbers belong"):
        NAMES.to_ours({'head.weight': np.ones((7, 4), dtype)}, SHAPES)


def test_swapped_shapes_are_named():
    with pytest.raises(
        UserError, match=r"'vit\.layers\.11\.qkv\.weight' of shape \(13, 4\) does not fit .*query.*13 rows"
    ):
        NAMES.to_ours({'vit.layers.11.qkv.weight': np.zeros((13, 4), np.float32)}, SHAPES)


def test_export_says_what_it_cannot_express():
    values = NAMES.to_ours(FILE, SHAPES).values
    with pytest.raises(UserError, match="'theirs' has no name for params/backbone/other"):
        NAMES.to_theirs({**values, 'params/backbone/other': np.zeros(1)})
    with pytest.raises(UserError, match='no place for params/head/bias: it holds other values than 0'):
        NAMES.to_theirs({**values, 'params/head/bias': np.ones(7)})
    del values['params/backbone/block12/key/kernel']
    with pytest.raises(UserError, match='also needs params/backbone/block12/key/kernel'):
        NAMES.to_theirs(values)


def test_the_naming_that_knows_most_is_chosen():
    other = NameMap('other', (Rule('fc.weight', 'params/head/kernel', LINEAR),))
    assert choose([other, NAMES], list(FILE), 'f') is NAMES
    assert choose([other, NAMES], ['fc.weight'], 'f') is other


def test_names_nobody_knows_are_listed():
    with pytest.raises(UserError, match=r'^f: none of its 1 tensors \(x\) is known by the namings theirs$'):
        choose([NAMES], ['x'], 'f')
    names = [*FILE, *(f'vit.layers.0.fc.weigth{i}' for i in range(7))]
    message = r"^f: .* under the naming 'theirs' \(7\): vit\.layers\.0\.fc\.weigth0, .* … 2 more; nearest: 'vit\.layers"
    with pytest.raises(UserError, match=message):
        choose([NAMES], names, 'f')


def test_a_file_of_nothing_but_ignored_names_is_refused():
    with pytest.raises(UserError, match='none of its 1 tensors'):
        choose([NAMES], ['decoder.x'], 'f')
