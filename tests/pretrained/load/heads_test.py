"""Tasks of heads: which are kept, where their parameters are, and numbers on another scale."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.checkpoint import open_model, save_model
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.base import Task, single_label
from tests.tasks.spread import Spread

KIND = single_label(('a', 'b', 'c'), 'kind')
TAGS = Task('tags', 'multi_label', ('x', 'y'), weight=0.5)
AGE = Task('age', 'regression', ('years', 'months'), offset=(30.0, 360.1), scale=(10.0, 0.3))
TASKS = (KIND, TAGS, AGE)


def test_tasks_in_words():
    tasks = (Task('size', 'regression', ('mm',)), Task('tags', 'multi_label', tuple('abcdefg')))
    assert heads.in_words(tasks) == 'size: 1 number (mm), tags: 7 labels (a, b, c, d, e, …)'
    assert heads.in_words((single_label(('a\x1b', 'b')),)) == r'2 classes (a\x1b, b)'


def save(path, model):
    save_model(
        path,
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        tasks=model.tasks,
    )


def perturbed(model, seed=0):
    """The model with other numbers in its heads."""
    random = np.random.default_rng(seed)
    draw = lambda leaf: random.normal(size=leaf.shape).astype(np.float32)  # noqa: E731
    params = {
        top: jax.tree.map(draw, tree) if top in (heads.ONE, heads.SEVERAL) else tree
        for top, tree in model.variables['params'].items()
    }
    return dataclasses.replace(model, variables={**model.variables, 'params': params})


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp('heads') / 'm.safetensors'
    model = perturbed(load_model(architecture='resnet_tiny', tasks=TASKS))
    save(path, model)
    return path, model


def test_several_heads_come_back_as_they_were(saved):
    path, model = saved
    assert open_model(path).tasks == TASKS
    again = load_model(path)
    assert (again.tasks, again.class_names) == (TASKS, ())
    assert again.network.heads == {'kind': 3, 'tags': 2, 'age': 2}
    for task in TASKS:
        np.testing.assert_array_equal(
            again.variables['params']['heads'][task.name]['kernel'],
            model.variables['params']['heads'][task.name]['kernel'],
        )
    assert 'the stored heads age, kind, tags are kept' in again.load_report.summary()


@pytest.mark.parametrize(
    'task',
    [
        Task('', 'multi_label', ('x', 'y')),
        Task('', 'regression', ('years',), offset=(1.25,), scale=(0.1,)),
        single_label(('x', 'y')),
        KIND,
    ],
)
def test_one_head_of_any_kind_comes_back(tmp_path, task):
    model = perturbed(load_model(architecture='resnet_tiny', tasks=[task]))
    save(tmp_path / 'm.safetensors', model)
    again = load_model(tmp_path / 'm.safetensors')
    assert again.tasks == (task,)
    assert again.class_names == (() if task.name else task.class_names)
    assert not again.load_report.re_initialised
    kept = load_model(tmp_path / 'm.safetensors', tasks=[dataclasses.replace(task, offset=(), scale=(), weight=3.0)])
    assert kept.tasks == (dataclasses.replace(task, weight=3.0),)
    assert not kept.load_report.re_initialised


def test_a_plain_classifier_is_stored_as_it_always_was(tmp_path):
    model = load_model(architecture='resnet_tiny', class_names=('x', 'y'))
    save(tmp_path / 'new.safetensors', model)
    save_model(
        tmp_path / 'old.safetensors',
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
    )
    assert (tmp_path / 'new.safetensors').read_bytes() == (tmp_path / 'old.safetensors').read_bytes()
    assert b'"tasks"' not in (tmp_path / 'new.safetensors').read_bytes()


def test_each_head_is_kept_or_new_by_itself(saved):
    path, model = saved
    other = Task('tags', 'multi_label', ('x', 'z'))
    more = Task('size', 'regression', ('mm',))
    new = load_model(path, tasks=[dataclasses.replace(AGE, offset=(), scale=()), other, more], seed=1)
    assert new.tasks == (AGE, other, more)  # the scaling comes with its head
    stored, own = model.variables['params']['heads'], new.variables['params']['heads']
    assert own.keys() == {'age', 'tags', 'size'}
    np.testing.assert_array_equal(own['age']['kernel'], stored['age']['kernel'])
    np.testing.assert_array_equal(own['tags']['kernel'], np.zeros_like(stored['tags']['kernel']))
    assert 're-initialised the heads size, tags (the stored heads kind, tags, are ignored)' in new.load_report.summary()
    assert 'the stored heads age are kept' in new.load_report.summary()
    np.testing.assert_array_equal(
        new.variables['params']['backbone']['stem']['conv']['kernel'],
        model.variables['params']['backbone']['stem']['conv']['kernel'],
    )


def test_another_kind_or_scaling_makes_a_new_head(saved):
    path, _ = saved
    rescaled = dataclasses.replace(AGE, scale=(1.0, 1.0))
    for task in (rescaled, Task('kind', 'multi_label', KIND.class_names)):
        model = load_model(path, tasks=[task])
        assert model.tasks == (task,)
        assert len(model.load_report.re_initialised) == 2
    one = load_model(path, class_names=KIND.class_names)  # a single head is not that of the task
    assert one.tasks == (single_label(KIND.class_names),)
    assert {heads.head_of(path) for path in one.load_report.re_initialised} == {'head'}


def test_random_weights_have_no_scaling_from_elsewhere(saved):
    path, _ = saved
    bare = dataclasses.replace(AGE, offset=(), scale=())
    assert load_model(path, tasks=[bare], random_weights=True).tasks == (bare,)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'tasks': []}, 'tasks is empty'),
        ({'tasks': [KIND, KIND]}, "two tasks have the name 'kind'"),
        ({'tasks': [KIND, single_label(('a', 'b'))]}, 'each of 2 tasks needs a name'),
        ({'tasks': [single_label(('a', 'b', 'a'), 'kind')]}, "the class name 'a' stands twice .* of task 'kind'"),
        ({'tasks': [KIND], 'num_classes': 3}, 'leave num_classes and class_names out'),
        ({'tasks': [KIND], 'class_names': KIND.class_names}, 'leave num_classes and class_names out'),
    ],
)
def test_tasks_that_cannot_be(arguments, message):
    with pytest.raises(UserError, match=message) as raised:
        load_model(architecture='resnet_tiny', **arguments)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'tasks': TASKS[:2]}, 'there is a head heads/age, and no task is for it'),
        ({'tasks': (*TASKS, single_label(('a', 'b'), 'more'))}, "there is no tensor 'params/heads/more/bias'"),
        ({'tasks': (KIND, TAGS, Task('age', 'regression', ('years',)))}, 'head of age has 2 outputs, but there are 1'),
        ({'class_names': ('a', 'b', 'c')}, 'class_names=.* are not those of the tasks'),
    ],
)
def test_what_contradicts_itself_is_not_saved(saved, tmp_path, changes, message):
    _, model = saved
    facts = {'architecture': 'resnet_tiny', 'class_names': (), 'preprocessing': model.preprocessing, 'tasks': TASKS}
    with pytest.raises(UserError, match=message):
        save_model(tmp_path / 'm.safetensors', model.variables, **{**facts, **changes})
    assert not list(tmp_path.iterdir())


def test_numbers_on_another_scale_are_the_same_in_their_own_units():
    model = perturbed(load_model(architecture='resnet_tiny', tasks=TASKS))
    wanted = (KIND, TAGS, dataclasses.replace(AGE, offset=(-3.0, 100.0), scale=(2.0, 7.0)))
    changed = heads.rescale(model.variables, model.tasks, wanted)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(3, *model.preprocessing.shape, 3)), jnp.float32)
    before = model.network.apply(model.variables, images, train=False)
    after = model.network.apply(changed, images, train=False)
    np.testing.assert_array_equal(after['kind'], before['kind'])
    np.testing.assert_allclose(
        np.asarray(after['age']) * wanted[2].scale + wanted[2].offset,
        np.asarray(before['age']) * AGE.scale + AGE.offset,
        rtol=1e-4,
    )
    assert heads.rescale(model.variables, TASKS, TASKS) == dict(model.variables)


def test_where_parameters_belong():
    assert heads.head_of('params/heads/kind/part0/bias') == heads.path_of(KIND) == 'heads/kind'
    assert heads.head_of('batch_stats/head/aux1/bn/mean') == heads.path_of(single_label(('a', 'b'))) == 'head'
    assert heads.head_of('params/backbone/head/kernel') == ''


def test_a_head_of_several_outputs_a_name_is_kept_in_its_order_alone():
    task = Spread('', 'spread', ('mm', 'g'))
    assert heads.check_tasks([task]) == (task,)
    assert heads.adopt([task], [task])[1] == {'head': ()}
    assert not heads.adopt([Spread('', 'spread', ('g', 'mm'))], [task])[1]
    assert not heads.adopt([dataclasses.replace(task, floor=0.5)], [task])[1]


def test_outputs_in_another_order_are_the_same_outputs():
    wanted = (single_label(('c', 'a', 'b'), 'kind'), Task('age', 'regression', ('months', 'years')))
    tasks, kept = heads.adopt(wanted, TASKS)
    assert kept == {'heads/kind': (2, 0, 1), 'heads/age': (1, 0)}
    assert (tasks[1].offset, tasks[1].scale) == ((360.1, 30.0), (0.3, 10.0))
    kernel = np.arange(6).reshape(2, 3)
    variables = {'params': {'heads': {'kind': {'kernel': kernel}, 'tags': {'kernel': kernel}}}}
    found = heads.reordered(variables, kept)['params']['heads']
    np.testing.assert_array_equal(found['kind']['kernel'], kernel[:, [2, 0, 1]])
    np.testing.assert_array_equal(found['tags']['kernel'], kernel)
    # Only the order tells two outputs of one name apart, and a hidden layer's are nobody's classes.
    twice = single_label(('a', 'b', 'a'), 'kind')
    assert heads.adopt([dataclasses.replace(twice, class_names=('a', 'a', 'b'))], [twice])[1] == {}
    assert heads.adopt([twice], [twice])[1] == {'heads/kind': ()}
    hidden = {'params': {'head': {'aux1': {'fc1': {'bias': kernel[0]}, 'fc2': {'bias': kernel[0]}}}}}
    inner = heads.reordered(hidden, {'head': (2, 0, 1)})['params']['head']['aux1']
    assert (inner['fc1']['bias'].tolist(), inner['fc2']['bias'].tolist()) == ([0, 1, 2], [2, 0, 1])
