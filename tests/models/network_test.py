"""Whole networks: stages, freezing, precision, the head."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.googlenet.network import GoogLeNet
from jtransfer.models.network import Network

BLOCK = (2, 2, 3, 1, 2, 1)
WITH_AUXILIARIES = GoogLeNet((3, 3, 4), ((BLOCK,), (BLOCK,) * 4, (BLOCK,)), aux=True, aux_widths=(3, 5))
TINY = ('resnet_tiny', 'resnet_tiny_bottleneck', 'vit_tiny_test')


def make(name, **kwargs):
    """A network with four classes, variables that are all non-trivial, and a batch of images."""
    network = models.create(name, num_classes=4, **kwargs)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(3, 16, 16, 3)), jnp.float32)
    # Numbers from NumPy: compiling the initialisers takes ten times as long as compiling the network.
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: rng.uniform(0, 2 / x.shape[0] ** 0.5, x.shape).astype('f4'), shapes), images


def call(network, *args, **kwargs):
    """Logits and statistics in training mode, compiled as one program; op by op it takes ten times as long."""
    outputs, updated = jax.jit(functools.partial(network.apply, train=True, mutable=['batch_stats'], **kwargs))(*args)
    return outputs[''], updated


def logits_of(network, *args):
    """Logits of a network with one head in evaluation mode, compiled."""
    return jax.jit(network.apply)(*args)['']


def flat(tree):
    return traverse_util.flatten_dict(tree, sep='/')


@pytest.mark.parametrize('name', TINY)
def test_parts_of_the_backbone_compose_to_the_whole(name):
    network, variables, images = make(name)
    features = functools.partial(network.apply, method='features')
    whole = jax.jit(features)(variables, images)
    assert set(whole) == {*network.stages, 'pooled'}
    for stop, start in itertools.pairwise(network.stages):
        first = jax.eval_shape(functools.partial(features, stop=stop), variables, images)
        assert set(first) == set(network.stages[: network.stages.index(start)])
    middle, after = network.stages[1:3]
    first = jax.jit(functools.partial(features, stop=middle))(variables, images)
    second = jax.jit(functools.partial(features, start=after))(variables, first[middle])
    assert set(first | second) == set(whole)
    for stage, value in (first | second).items():
        np.testing.assert_allclose(value, whole[stage], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', TINY)
def test_logits_are_the_head_on_pooled_features(name):
    network, variables, images = make(name)

    @jax.jit
    def forward(variables, images):
        pooled = network.apply(variables, images, method='features')['pooled']
        return pooled, network.apply(variables, images)[''], network.apply(variables, pooled, method='classify')['']

    pooled, logits, classified = forward(variables, images)
    head = variables['params']['head']
    expected = np.asarray(pooled) @ head['kernel'] + head['bias']
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(classified, expected, rtol=1e-4, atol=1e-5)


def test_wrong_stage_lists_the_stages():
    network, variables, images = make('resnet_tiny')
    with pytest.raises(UserError, match='its stages are stem, stage1, stage2'):
        network.apply(variables, images, method='features', stop='stage7')


def test_frozen_stages_keep_their_statistics_while_others_move():
    network, variables, images = make('resnet_tiny_bottleneck')
    frozen = ('backbone/stem', 'backbone/stage1/block0/bn1', 'backbone/stage1/block0/downsample')
    _, updated = call(network, variables, images, frozen=frozen)
    before, after = flat(variables['batch_stats']), flat(updated['batch_stats'])
    assert set(before) == set(after)
    still = [key for key in after if key.startswith(tuple(f'{prefix}/' for prefix in frozen))]
    assert len(still) == 6
    for key in after:
        assert np.array_equal(before[key], after[key]) == (key in still), key


@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test'])
def test_a_frozen_network_in_training_is_the_network_in_evaluation(name):
    network, variables, images = make(name, drop_path=0.5, dropout=0.5)
    key = {'dropout': jax.random.key(3)}
    frozen = ('backbone', 'head')
    logits, _ = call(network, variables, images, frozen=frozen, rngs=key)
    np.testing.assert_array_equal(logits, logits_of(network, variables, images))


@pytest.mark.parametrize('option', ['drop_path', 'dropout'])
@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test'])
def test_drop_path_and_dropout_draw_from_their_key(name, option):
    network, variables, images = make(name, **{option: 0.5})
    images = jnp.concatenate([images] * 8)

    @jax.jit
    def logits(seed):
        key = {'dropout': jax.random.key(seed)}
        return network.apply(variables, images, train=True, mutable=['batch_stats'], rngs=key)[0]['']

    np.testing.assert_array_equal(logits(0), logits(0))
    assert not np.allclose(logits(0), logits(1))


@pytest.mark.parametrize('name', TINY)
def test_half_precision_compute_keeps_float32_parameters_and_outputs(name):
    network, variables, images = make(name)
    half = models.create(name, num_classes=4, dtype=jnp.bfloat16)
    initial = jax.eval_shape(half.init, jax.random.key(1), images)
    assert {x.dtype for x in jax.tree.leaves(initial)} == {jnp.dtype('float32')}
    features = jax.eval_shape(functools.partial(half.apply, method='features'), variables, images)
    assert all(features[stage].dtype == jnp.bfloat16 for stage in half.stages)
    assert features['pooled'].dtype == jnp.float32
    training = functools.partial(half.apply, train=True, mutable=['batch_stats'])
    logits, updated = jax.eval_shape(training, variables, images)
    assert {x.dtype for x in (logits[''], *jax.tree.leaves(updated))} == {jnp.dtype('float32')}
    expected, logits = (np.asarray(logits_of(n, variables, images)) for n in (network, half))
    assert 0 < np.abs(logits - expected).max() < 0.03 * np.abs(expected).max()


def test_a_network_over_a_replica_axis_equals_the_global_batch():
    network, variables, _ = make('resnet_tiny')
    images = np.random.default_rng(1).normal(size=(8, 16, 16, 3)).astype('f4')
    expected, expected_updated = call(network, variables, images)
    replicated = models.create('resnet_tiny', num_classes=4, norm_axis_name='replica')
    split = images.reshape(4, 2, 16, 16, 3)
    logits, updated = jax.vmap(lambda x: call(replicated, variables, x), axis_name='replica')(split)
    np.testing.assert_allclose(logits.reshape(8, 4), expected, rtol=1e-4, atol=1e-4)
    first = jax.tree.map(lambda x: x[0], updated)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), first, expected_updated)


def test_without_classes_there_is_no_head():
    network = models.create('vit_tiny_test', num_classes=0)
    images = jnp.zeros((2, 16, 16, 3))
    outputs, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
    assert set(variables['params']) == {'backbone'}
    assert {name: feature.shape for name, feature in outputs.items()} == {'pooled': (2, 16)}


def training_logits(network, variables, images, **kwargs):
    run = functools.partial(network.apply, mutable=['batch_stats'], method='training_logits', **kwargs)
    return jax.jit(run)(variables, images, rngs={'dropout': jax.random.key(0)})


@pytest.mark.parametrize('name', TINY)
def test_without_auxiliary_heads_training_is_the_same_program(name):
    network, variables, images = make(name, drop_path=0.5, dropout=0.5)

    def plain(variables, images, key):
        return network.apply(variables, images, train=True, mutable=['batch_stats'], rngs={'dropout': key})

    def with_auxiliaries(variables, images, key):
        run = functools.partial(network.apply, method='training_logits', mutable=['batch_stats'])
        (logits, auxiliaries, _), updated = run(variables, images, rngs={'dropout': key})
        assert auxiliaries == []
        return logits, updated

    programs = [
        jax.jit(lambda *args, function=function: function(*args)).lower(variables, images, jax.random.key(0)).as_text()
        for function in (plain, with_auxiliaries)
    ]
    assert programs[0] == programs[1]


def auxiliary_network(**kwargs):
    """A network with two auxiliary heads, random variables and images."""
    network = Network(WITH_AUXILIARIES, {'': 4}, **kwargs)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 33, 33, 3)).astype('f4')
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: rng.uniform(0.1, 0.5, x.shape).astype('f4'), shapes), images


def test_auxiliary_heads_are_below_the_head():
    network, variables, images = auxiliary_network()
    assert set(variables['params']) == {'backbone', 'head'}
    assert set(variables['params']['head']) == {'kernel', 'bias', 'aux1', 'aux2'}
    plain = Network(WITH_AUXILIARIES.clone(aux=False), {'': 4})
    shapes = jax.eval_shape(plain.init, jax.random.key(0), images)
    assert set(shapes['params']['head']) == {'kernel', 'bias'}
    assert jax.tree.structure(shapes['params']['backbone']) == jax.tree.structure(variables['params']['backbone'])
    start = jax.jit(network.init)(jax.random.key(0), images)['params']['head']
    assert not any(np.any(kernel) for kernel in (start['kernel'], start['aux1']['fc2']['kernel']))
    assert np.any(start['aux1']['fc1']['dense']['kernel'])


def test_evaluation_does_without_auxiliary_heads():
    network, variables, images = auxiliary_network()
    plain = Network(WITH_AUXILIARIES.clone(aux=False), {'': 4})
    bare = {
        'params': {**variables['params'], 'head': {k: variables['params']['head'][k] for k in ('kernel', 'bias')}},
        'batch_stats': {'backbone': variables['batch_stats']['backbone']},
    }
    np.testing.assert_array_equal(logits_of(network, variables, images), logits_of(plain, bare, images))
    costs = [
        jax.jit(net.apply).lower(values, images).cost_analysis()['flops']
        for net, values in ((network, variables), (plain, bare))
    ]
    assert costs[0] == costs[1]


def test_auxiliary_logits_come_with_their_weights():
    network, variables, images = auxiliary_network()
    (logits, auxiliaries, _), updated = training_logits(network, variables, images)
    expected, _ = call(network, variables, images, rngs={'dropout': jax.random.key(0)})
    np.testing.assert_array_equal(logits[''], expected)
    assert [weight for weight, _ in auxiliaries] == [0.3, 0.3]
    assert all(other[''].shape == (3, 4) for _, other in auxiliaries)
    before = flat(variables['batch_stats'])
    assert not any(np.array_equal(value, before[path]) for path, value in flat(updated['batch_stats']).items())


@pytest.mark.parametrize(
    ('frozen', 'running'),
    [
        (('backbone',), 0),
        (('head',), 0),
        (('head/aux1',), 1),
        (('backbone/stem', 'backbone/stage3', 'backbone/stage4'), 0),
        (('backbone/stem', 'backbone/stage3', 'backbone/stage5'), 2),
        (('head/aux1/conv', 'head/aux2/conv'), 2),
    ],
)
def test_auxiliary_heads_that_serve_nothing_are_left_out(frozen, running):
    network, variables, images = auxiliary_network()
    (_, auxiliaries, _), updated = training_logits(network, variables, images, frozen=frozen)
    assert len(auxiliaries) == running
    before, after = flat(variables['batch_stats']), flat(updated['batch_stats'])
    assert set(before) == set(after)
    moved = {path.split('/')[1] for path in after if path.startswith('head') and (before[path] != after[path]).any()}
    assert len(moved) == (0 if 'head/aux1/conv' in frozen else running)


def test_heads_start_as_asked():
    images = jnp.zeros((1, 16, 16, 3))

    @functools.partial(jax.jit, static_argnums=0)
    def head(init):
        network = models.create('vit_tiny_test', num_classes=2000, head_init=init)
        return network.init(jax.random.key(0), images)['params']['head']

    assert not head('zeros')['kernel'].any()
    normal = head('normal')
    assert np.abs(normal['kernel']).max() <= 0.04
    assert normal['kernel'].std() == pytest.approx(0.02, rel=0.15)
    assert not normal['bias'].any()


@pytest.mark.parametrize('name', TINY)
def test_depth_rises_from_the_input_to_the_head(name):
    network = models.create(name, num_classes=4)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    depths = {path: network.depth(path) for path in flat(variables['params'])}
    assert min(depths.values()) == 0
    assert depths['head/kernel'] == max(depths.values())
    by_stage = [{depth for path, depth in depths.items() if path.split('/')[1] == stage} for stage in network.stages]
    # A last normalisation has the number of the block before it.
    assert all(max(low) <= min(high) for low, high in itertools.pairwise(by_stage))
    assert max(by_stage[-1]) < depths['head/kernel']


@pytest.mark.parametrize(
    ('name', 'path', 'depth'),
    [
        ('resnet50', 'backbone/stem/conv/kernel', 0),
        ('resnet50', 'backbone/stage1/block2/bn3/scale', 3),
        ('resnet50', 'backbone/stage2/block0/downsample/conv/kernel', 4),
        ('resnet50', 'backbone/stage4/block2/conv1/kernel', 16),
        ('resnet50', 'head/kernel', 17),
        ('vit_b16', 'backbone/embed/pos_embed', 0),
        ('vit_b16', 'backbone/block0/attn/query/kernel', 1),
        ('vit_b16', 'backbone/block11/mlp/fc2/bias', 12),
        ('vit_b16', 'backbone/norm/scale', 12),
        ('vit_b16', 'head/bias', 13),
    ],
)
def test_depth_counts_blocks(name, path, depth):
    assert models.create(name, num_classes=2).depth(path) == depth


@pytest.mark.parametrize('path', ['tail/kernel', 'backbone/stage9/block0/conv1/kernel', 'backbone/stage1/block1/bn1'])
def test_depth_of_an_unknown_path_is_refused(path):
    with pytest.raises(UserError, match=path.removeprefix('backbone/')):
        models.create('resnet_tiny', num_classes=2).depth(path)


# A task may be called anything, also like a field of the module that holds its head.
TASKS = (('shape', 4), ('size', 1), ('parts', 7))


def with_tasks(name='resnet_tiny', tasks=TASKS, **kwargs):
    """A network with tasks, random variables and images."""
    network = models.create(name, num_classes=0, heads=dict(tasks), **kwargs)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 16, 16, 3)).astype('f4')
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: rng.uniform(0, 2 / x.shape[0] ** 0.5, x.shape).astype('f4'), shapes), images


@pytest.mark.parametrize('name', TINY)
def test_each_task_has_a_linear_head_on_the_pooled_features(name):
    network, variables, images = with_tasks(name)
    assert set(variables['params']) == {'backbone', 'heads'}
    assert {path for path in flat(variables['params']) if path.startswith('heads/')} == {
        f'heads/{task}/{leaf}' for task, _ in TASKS for leaf in ('kernel', 'bias')
    }

    @jax.jit
    def forward(variables, images):
        pooled = network.apply(variables, images, method='features')['pooled']
        return pooled, network.apply(variables, images), network.apply(variables, pooled, method='classify')

    pooled, logits, classified = forward(variables, images)
    assert set(logits) == set(classified) == {task for task, _ in TASKS}
    for task, outputs in TASKS:
        head = variables['params']['heads'][task]
        expected = np.asarray(pooled) @ head['kernel'] + head['bias']
        assert logits[task].shape == (3, outputs)
        np.testing.assert_allclose(logits[task], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(classified[task], expected, rtol=1e-4, atol=1e-5)


def test_the_task_heads_of_a_distilled_network_have_its_parts():
    options = {'class_token': True, 'distilled': True}
    network, variables, images = with_tasks('vit_tiny_test', options=options)
    plain = models.create('vit_tiny_test', num_classes=4, options=options)
    params = variables['params']
    assert set(params['heads']['shape']) == {'part0', 'part1'}
    single = {'params': {'backbone': params['backbone'], 'head': params['heads']['shape']}}
    logits = jax.jit(network.apply)(variables, images)
    assert logits['size'].shape == (3, 1)
    np.testing.assert_allclose(logits['shape'], logits_of(plain, single, images), rtol=1e-5, atol=1e-6)


def test_one_gradient_reaches_every_task_and_the_backbone():
    network, variables, images = with_tasks()

    @jax.jit
    def gradient(params):
        def loss(params):
            output, _ = training_logits(network, {**variables, 'params': params}, images)
            assert output.auxiliaries == []
            return sum(jnp.mean((logits - 1) ** 2) for logits in output.outputs.values())

        return jax.grad(loss)(params)

    for path, leaf in flat(gradient(variables['params'])).items():
        assert np.abs(leaf).max() > 0, path


def test_dropout_is_the_same_draw_for_all_tasks_and_none_for_a_frozen_one():
    network, variables, images = with_tasks(tasks=(('a', 4), ('b', 4), ('c', 4)), dropout=0.5)
    heads = variables['params']['heads']
    heads['b'] = heads['c'] = heads['a']
    output, _ = training_logits(network, variables, images, frozen=('backbone', 'heads/c'))
    still = jax.jit(network.apply)(variables, images)
    np.testing.assert_array_equal(output.outputs['a'], output.outputs['b'])
    np.testing.assert_array_equal(output.outputs['c'], still['c'])
    assert not np.allclose(output.outputs['a'], still['a'])


def test_the_heads_of_tasks_have_the_depth_of_a_head():
    network, variables, _ = with_tasks()
    depths = {path: network.depth(path) for path in flat(variables['params'])}
    single = models.create('resnet_tiny', num_classes=4)
    assert {depths[path] for path in depths if path.startswith('heads/')} == {single.depth('head/kernel')}
    assert max(depths.values()) == depths['heads/shape/kernel']
    with pytest.raises(UserError, match=r'neither under backbone/ nor under heads/'):
        network.depth('head/kernel')
    with pytest.raises(UserError, match=r'neither under backbone/ nor under head/'):
        single.depth('heads/shape/kernel')


def test_tasks_keep_their_outputs_in_float32():
    network, variables, images = with_tasks(dtype=jnp.bfloat16)
    logits = jax.eval_shape(network.apply, variables, images)
    assert {value.dtype for value in logits.values()} == {jnp.dtype('float32')}


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'num_classes': 3}, r'num_classes=3, but each of the heads shape, size, parts states its own outputs'),
        ({'heads': {'a/b': 2}}, r"letters, digits and underscores: 'a/b'"),
        ({'heads': {'': 2, 'a': 3}}, r"letters, digits and underscores: ''"),
        ({'heads': {'a': 0}}, r"task 'a' has 0 outputs; at least 1 is needed"),
        ({'name': 'googlenet_aux'}, r'the auxiliary heads aux1, aux2 cannot have tasks; take one without'),
    ],
)
def test_tasks_that_cannot_be_are_refused(kwargs, message):
    with pytest.raises(UserError, match=message):
        models.create(**{'name': 'resnet_tiny', 'num_classes': 0, 'heads': dict(TASKS), **kwargs})


@pytest.mark.parametrize('name', TINY)
def test_training_also_gives_the_features(name):
    network, variables, images = make(name)
    output, _ = training_logits(network, variables, images, frozen=('backbone',))
    features = jax.jit(functools.partial(network.apply, method='features'))(variables, images)
    assert set(output.features) == {*network.stages, 'pooled'}
    for stage, value in features.items():
        np.testing.assert_allclose(output.features[stage], value, rtol=1e-5, atol=1e-5)
