"""Multi-scale training: which size when, compiled once a size, resumed as if nothing had happened."""

import collections
import dataclasses
import itertools

import chex
import jax
import numpy as np
import pytest

from jtransfer.config import Augment, Optim, Train, Transfer
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import training_pixels
from jtransfer.train import placement as placement_module
from jtransfer.train import programs
from jtransfer.train.loop import fit
from jtransfer.train.placement import make_placement
from jtransfer.train.sizes import check_sizes, step_size, steps_by_size
from tests.tiers import slow

SIZES = (12, 20, 16)
CROPS = Augment(crop_scale=(0.3, 1.0), horizontal_flip=0.5, sizes=SIZES)
FRAMED = Augment(brightness=0.2, sizes=SIZES)
TRAIN = Train(log_every=1, checkpoint_every=4, tensorboard=False, progress=False)
OPTIM = Optim(learning_rate=0.01, ema_decay=0.9, clip_norm=1.0)
STEPS = 12


def kept(toy, augment):
    """The side of the pictures that training keeps."""
    picture = np.zeros((8, 8, 3), np.uint8)
    return len(training_pixels(toy.preprocessing, augment.crops, augment.sizes)(picture))


def interrupted(make_feed, at):
    def make(start):
        for step, batch in zip(itertools.count(start), make_feed(start), strict=False):
            if step == at:
                raise KeyboardInterrupt
            yield batch

    return make


@pytest.fixture(scope='module', params=['jit', 'pmap'])
def shared(request):
    """Two devices for runs that differ in nothing but the order of sizes: compiles once a size."""
    placement = make_placement(request.param, jax.devices()[:2])
    compile_step, compiled = placement.compile, {}

    def once(parts, trainable):
        size = parts.preprocessing.image_size
        if size not in compiled:
            compiled[size] = compile_step(parts, trainable)
        return compiled[size]

    placement.compile = once
    yield placement
    programs.forget()


@pytest.fixture
def counted(monkeypatch):
    """How often a step was built, and how often traced, by side of the network input."""
    built, traced = collections.Counter(), collections.Counter()
    make = placement_module.make_train_step

    def make_counting(parts, *arguments, **settings):
        size = parts.preprocessing.image_size
        built[size] += 1
        step = make(parts, *arguments, **settings)

        def counting(state, batch):
            traced[size] += 1
            return step(state, batch)

        return counting

    monkeypatch.setattr(placement_module, 'make_train_step', make_counting)
    programs.forget()
    yield built, traced
    programs.forget()


@pytest.mark.parametrize(
    ('total', 'expected'),
    [
        (12, [12] * 4 + [20] * 4 + [16] * 4),
        (10, [12] * 4 + [20] * 3 + [16] * 3),
        (3, [12, 20, 16]),
        (2, [12, 20]),
    ],
)
def test_progressive_sizes_share_the_steps(total, expected):
    augment = Augment(sizes=SIZES, size_schedule='progressive')
    assert [step_size(augment, 0, step, total) for step in range(total)] == expected
    assert step_size(augment, 0, total, total) == 16


def test_random_sizes_are_equally_likely_and_a_function_of_seed_and_step():
    def draw(seed, steps=range(600)):
        return [step_size(CROPS, seed, step, 600) for step in steps]

    first = draw(7)
    assert collections.Counter(first).keys() == set(SIZES)
    # Five standard deviations of a binomial distribution.
    assert all(abs(count - 200) < 5 * np.sqrt(600 * 2 / 9) for count in collections.Counter(first).values())
    assert draw(7, range(300, 600)) == first[300:]
    assert draw(8) != first
    assert {step_size(CROPS, 2**32 - 1, step, 5) for step in range(5)} <= set(SIZES)
    # Neither the order of the sizes nor their values change which of them comes.
    other = dataclasses.replace(CROPS, sizes=(1, 2, 3))
    assert [SIZES[step_size(other, 7, step, 600) - 1] for step in range(600)] == first


@pytest.mark.parametrize('schedule', ['random', 'progressive'])
def test_without_sizes_the_network_keeps_its_own(schedule):
    assert step_size(Augment(size_schedule=schedule), 0, 3, 10) == 0


def test_at_size():
    settings = ImagePreprocessor(24, (0.5,), (0.5,), 'bilinear', 0.9)
    assert settings.at_size(32) == ImagePreprocessor(32, (0.5,), (0.5,), 'bilinear', 0.9)


@pytest.mark.parametrize('name', ['resnet_tiny', 'bit_tiny'])
def test_networks_that_take_any_size(toy, name):
    parts, variables = toy.make(name)
    check_sizes(parts.network, variables, parts.preprocessing, (1, 12, 33, 16))
    check_sizes(parts.network, jax.eval_shape(lambda tree: tree, variables), parts.preprocessing, (20,))


def test_an_adapted_network(toy):
    parts, variables = toy.make('vit_small_test', Transfer('lora'))
    check_sizes(parts.network, variables, parts.preprocessing, (16,))
    with pytest.raises(UserError, match=r'^augment\.sizes: 32 is no size for this network'):
        check_sizes(parts.network, variables, parts.preprocessing, (32,))


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        (
            (16, 24),
            r'^augment\.sizes: 24 is no size for this network: .*24×24 pixels gives 10 tokens.*embeddings for 5',
        ),
        ((12,), r'^augment\.sizes: 12 is no size for this network: .*12×12 pixels cannot be cut into patches of 8×8$'),
    ],
)
def test_a_vision_transformer_refuses_other_sizes(toy, sizes, message):
    parts, variables = toy.make('vit_small_test')
    with pytest.raises(UserError, match=message):
        check_sizes(parts.network, variables, parts.preprocessing, sizes)
    check_sizes(parts.network, variables, parts.preprocessing, (16,))


def test_a_network_input_that_is_not_square_has_no_sizes(toy):
    parts, variables = toy.make()
    wide = dataclasses.replace(parts.preprocessing, image_width=24)
    with pytest.raises(UserError, match=r'^augment\.sizes are sides of squares.*16×24 pixels: .*image_width$'):
        check_sizes(parts.network, variables, wide, (16,))
    check_sizes(parts.network, variables, wide, ())


@pytest.mark.parametrize(('kind', 'augment'), [('jit', FRAMED), ('jit', CROPS), ('pmap', CROPS)])
def test_one_compilation_a_size(toy, counted, kind, augment):
    placement = make_placement(kind, jax.devices()[:2])
    parts, variables = toy.make('dense', augment=augment, optim=OPTIM, train=TRAIN, steps=STEPS)
    result = fit(parts, variables, toy.feeder(placement, side=kept(toy, augment)), placement)
    sizes = [step_size(augment, 0, step, STEPS) for step in range(STEPS)]
    assert set(sizes) == set(SIZES)
    assert [line['train/image_size'] for line in result.history] == sizes
    built, traced = counted
    assert built == traced == dict.fromkeys(SIZES, 1)


def test_a_network_trains_at_three_sizes(toy):
    augment = dataclasses.replace(CROPS, size_schedule='progressive', sizes=(8, 12, 16))
    placement = make_placement('jit', jax.devices()[:1])
    train = dataclasses.replace(TRAIN, log_every=2)
    parts, variables = toy.make('resnet_tiny', augment=augment, optim=OPTIM, train=train, steps=6, batch_size=8)
    result = fit(parts, variables, toy.feeder(placement, side=kept(toy, augment), batch_size=8), placement)
    assert [line['train/image_size'] for line in result.history] == [8, 12, 16]
    assert int(result.state.step) == 6
    assert all(np.isfinite(line['train/loss']) for line in result.history)
    assert not np.array_equal(result.variables['params']['head']['kernel'], variables['params']['head']['kernel'])


def test_the_steps_are_those_of_a_network_of_that_size(toy):
    placement = make_placement('jit', jax.devices()[:1])
    plain = dataclasses.replace(CROPS, sizes=())
    parts, variables = toy.make('dense', augment=CROPS, optim=OPTIM)
    other, _ = toy.make('dense', augment=plain, optim=OPTIM)
    other = dataclasses.replace(other, preprocessing=other.preprocessing.at_size(12))
    state = parts.start(variables)
    ours = steps_by_size(placement, parts, state.trainable)(12)
    theirs = steps_by_size(placement, other, state.trainable)(0)
    batch = next(toy.feeder(placement, side=23)(0))
    start = jax.tree.map(np.array, state)
    chex.assert_trees_all_equal(*(step(placement.put_state(start), batch) for step in (ours, theirs)))


def test_without_sizes_nothing_is_logged_of_them(toy, counted):
    placement = make_placement('jit', jax.devices()[:1])
    parts, variables = toy.make('dense', optim=OPTIM, train=TRAIN, steps=3)
    result = fit(parts, variables, toy.feeder(placement), placement)
    assert not any('train/image_size' in line for line in result.history)
    assert counted[0] == counted[1] == {16: 1}


@pytest.mark.parametrize('schedule', ['random', *slow('progressive')])
def test_an_interrupted_run_resumes_as_if_nothing_had_happened(toy, tmp_path, shared, schedule):
    augment = dataclasses.replace(CROPS, size_schedule=schedule)
    parts, variables = toy.make('dense_norm', augment=augment, optim=OPTIM, train=TRAIN, steps=STEPS)
    feed = toy.feeder(shared, side=kept(toy, augment))
    whole = fit(parts, variables, feed, shared)
    for at in (3, 6, 9):
        with pytest.raises(KeyboardInterrupt):
            fit(parts, variables, interrupted(feed, at), shared, run_dir=tmp_path)
    result = fit(parts, variables, feed, shared, run_dir=tmp_path)
    chex.assert_trees_all_equal(result.state, whole.state)
    chex.assert_trees_all_equal(result.variables, whole.variables)
    assert [{**line, 'images_per_second': 0} for line in result.history] == [
        {**line, 'images_per_second': 0} for line in whole.history
    ]


def test_sizes_and_phases(toy, counted):
    augment = dataclasses.replace(CROPS, size_schedule='progressive', sizes=(12, 16))
    placement = make_placement('jit', jax.devices()[:1])
    transfer = Transfer('lp_ft', first_phase=0.34)
    parts, variables = toy.make('dense', transfer, OPTIM, augment=augment, train=TRAIN, steps=STEPS)
    result = fit(parts, variables, toy.feeder(placement, side=kept(toy, augment)), placement)
    assert result.starts == (0, 4)
    assert [line['train/image_size'] for line in result.history] == [12] * 6 + [16] * 6
    assert counted[0] == counted[1] == {12: 2, 16: 1}
    kernels = [tree['backbone']['stage1']['fc']['kernel'] for tree in (variables['params'], result.state.trainable)]
    assert not np.array_equal(*kernels)
