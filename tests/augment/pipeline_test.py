"""The whole augmentation: what is off costs nothing, a draw is its own, and geometry says where things went."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jtransfer.augment import geometry
from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config.augment import Augment
from jtransfer.config.operations import FRAME, MIX, OPERATIONS
from jtransfer.inputs.image import ImagePreprocessor

FULL = Augment(
    crop_scale=(0.3, 1.0),
    crop_ratio=(0.75, 1.333),
    horizontal_flip=0.5,
    vertical_flip=0.5,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
)
STANDARD = Augment(
    crop_scale=(0.3, 1.0),
    horizontal_flip=0.5,
    operations=('rotate(20, 0.5)', 'zoom(0.1)', 'rand_augment', 'random_erasing(0.5, fill=noise)', 'mixup_or_cutmix'),
)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), np.uint8))
ASPECTS = jnp.linspace(0.5, 2, 8)
EVERYTHING = tuple(name for name, kind in OPERATIONS.items() if kind.works_on not in (FRAME, MIX))
POLICIES = ('rand_augment', 'trivial_augment_wide', 'auto_augment', 'augmix', 'three_augment')
LABELS = {'': jnp.arange(8, dtype=jnp.int32) % 3}


def _keys(ids, epoch=0, seed=0):
    ids = jnp.asarray(ids, jnp.int32)
    return example_keys(seed, jnp.full(ids.shape, epoch, jnp.int32), ids)


def _make(augment, side=16, interpolation='bicubic', **settings):
    return make_augment(augment, ImagePreprocessor(side, interpolation=interpolation), {'': 3}, **settings)


def test_nothing_enabled_is_a_cast_and_no_more():
    augment = _make(Augment(), 20)
    out = augment(_keys(range(8)), IMAGES, LABELS, ASPECTS)
    assert out.images.dtype == jnp.float32
    np.testing.assert_array_equal(out.images, IMAGES)
    chex.assert_trees_all_equal(out.labels, LABELS)
    only_images = jax.jit(lambda keys, images: augment(keys, images).images)
    cost = only_images.lower(_keys(range(8)), IMAGES).compile().cost_analysis()
    assert cost['flops'] <= IMAGES.size


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_full_augmentation_has_the_size_type_and_range(interpolation):
    out, labels, _, _ = _make(FULL, interpolation=interpolation)(_keys(range(8)), IMAGES, LABELS, ASPECTS)
    chex.assert_shape(out, (8, 16, 16, 3))
    assert out.dtype == jnp.float32
    assert 0 <= float(out.min()) < float(out.max()) <= 255
    chex.assert_trees_all_equal(labels, LABELS)


@pytest.mark.parametrize('name', EVERYTHING)
def test_every_operation_by_its_defaults(name):
    """Range, type, one draw an image, the same from 8-bit and float pictures, and nothing at probability 0."""
    images = jnp.tile(IMAGES[:1], (8, 1, 1, 1))
    certain = f'{name}(probability=1)' if 'flip' not in name else f'{name}(probability=0.5)'
    augment = _make(Augment(operations=(certain,)), 20)
    out = augment(_keys(range(8)), images).images
    assert out.shape == images.shape
    assert out.dtype == jnp.float32
    assert 0 <= float(out.min()) <= float(out.max()) <= 255
    assert not np.array_equal(out, images)
    np.testing.assert_allclose(augment(_keys(range(8)), images.astype(jnp.float32)).images, out, atol=1e-4)
    if name not in ('grayscale', 'solarize', 'equalize', 'autocontrast', 'invert'):
        assert len(np.unique(np.asarray(out).reshape(8, -1), axis=0)) > 1
    never = _make(Augment(operations=(f'{name}(probability=0)',)), 20)
    np.testing.assert_allclose(never(_keys(range(8)), images).images, images, atol=1e-3)


@pytest.mark.parametrize('augment', [FULL, STANDARD], ids=['full', 'standard'])
def test_a_picture_is_augmented_alike_in_any_order(augment):
    function = _make(augment)
    order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    whole = function(_keys(range(8), epoch=3), IMAGES, LABELS, ASPECTS)
    shuffled = function(_keys(order, epoch=3), IMAGES[order], {'': LABELS[''][order]}, ASPECTS[order])
    np.testing.assert_allclose(shuffled.images, whole.images[order], atol=1e-3)
    np.testing.assert_allclose(shuffled.labels[''], whole.labels[''][order], atol=1e-6)
    np.testing.assert_allclose(shuffled.geometry, whole.geometry[order], atol=1e-6)


def test_a_picture_is_augmented_alike_alone():
    function = _make(FULL)
    whole = function(_keys(range(8), epoch=3), IMAGES, LABELS, ASPECTS)
    alone = function(_keys([6], epoch=3), IMAGES[6:7], {'': LABELS[''][6:7]}, ASPECTS[6:7])
    np.testing.assert_allclose(alone.images[0], whole.images[6], atol=1e-3)


def test_same_picture_differs_by_id_epoch_and_seed():
    augment = _make(FULL)
    images, aspects = jnp.tile(IMAGES[:1], (8, 1, 1, 1)), jnp.ones(8)
    outs = [
        augment(_keys(range(8), epoch, seed), images, LABELS, aspects).images
        for epoch, seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert len(np.unique(np.concatenate(outs).reshape(24, -1), axis=0)) == 24


def test_two_of_the_same_operation_draw_apart():
    out = _make(Augment(operations=('brightness((0.2, 0.8))', 'brightness((0.2, 0.8))')), 20)(_keys(range(8)), IMAGES)
    whites = jnp.full_like(IMAGES, 255)
    once = _make(Augment(operations=('brightness((0.2, 0.8))',)), 20)(_keys(range(8)), whites).images[:, 0, 0, 0] / 255
    twice = _make(Augment(operations=('brightness((0.2, 0.8))',) * 2), 20)(_keys(range(8)), whites)
    assert not np.allclose(twice.images[:, 0, 0, 0] / 255, once**2, atol=1e-3)
    assert out.images.shape == IMAGES.shape


@pytest.mark.parametrize('augment', [FULL, STANDARD], ids=['full', 'standard'])
def test_one_compilation_serves_all_epochs_and_seeds(augment):
    function = _make(augment)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(seed, epochs, ids, images, aspects):
        return function(example_keys(seed, epochs, ids), images, LABELS, aspects).images

    ids = jnp.arange(8, dtype=jnp.int32)
    outs = [step(jnp.uint32(seed), jnp.full(8, epoch), ids, IMAGES, ASPECTS) for seed in (0, 1) for epoch in (0, 1)]
    assert len({np.asarray(out).tobytes() for out in outs}) == 4


def test_no_way_back_to_the_host():
    augment = Augment(crop_scale=(0.3, 1.0), operations=(*EVERYTHING, 'mixup_or_cutmix'))
    text = str(jax.make_jaxpr(_make(augment))(_keys(range(8)), IMAGES, LABELS, ASPECTS))
    assert 'gather' in text
    assert 'callback' not in text


def test_without_crops_another_size_is_refused():
    with pytest.raises(ValueError, match='must be 16×16 pixels'):
        _make(Augment(horizontal_flip=0.5))(_keys(range(8)), IMAGES)


def test_with_sizes_another_size_is_resized():
    out = _make(Augment(sizes=(16, 20)), 16)(_keys(range(8)), jnp.full_like(IMAGES, 77))
    chex.assert_shape(out.images, (8, 16, 16, 3))
    np.testing.assert_allclose(out.images, 77, atol=1e-2)


def test_flips_alone_give_the_image_or_its_mirror():
    out = np.asarray(_make(Augment(horizontal_flip=0.5), 20)(_keys(range(8)), IMAGES).images)
    kept = [np.array_equal(a, b) for a, b in zip(out, IMAGES, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(out, IMAGES, strict=True)]
    assert all(a != b for a, b in zip(kept, mirrored, strict=True))
    assert 0 < sum(kept) < 8


@pytest.mark.parametrize(
    'operations',
    [
        ('random_resized_crop((0.3, 0.8))', 'horizontal_flip', 'rotate(20)', 'zoom(0.2)'),
        ('random_square_crop(0.8)', 'vertical_flip'),
        ('random_crop(3)', 'shear(0.2)'),
        ('trivial_augment_wide',),
        ('auto_augment(cifar10)',),
        ('simple_augment',),
    ],
)
def test_geometry_says_where_a_place_of_the_picture_went(operations):
    """A bright square on black is where the geometry moves its corners to."""
    side, count = 64, 24
    picture = np.zeros((count, side, side, 3), np.uint8)
    picture[:, 24:40, 28:44] = 255
    function = make_augment(Augment(operations=operations), ImagePreprocessor(side, interpolation='bilinear'), {'': 3})
    images, _, maps, shown = function(_keys(range(count)), jnp.asarray(picture))
    corners = jnp.array([[[28, 24, 44, 40]]]) / side
    boxes, visible = geometry.transform_boxes(maps, jnp.broadcast_to(corners, (count, 1, 4)), (side, side), shown)
    seen = 0
    for image, box, share in zip(np.asarray(images), np.asarray(boxes)[:, 0], np.asarray(visible)[:, 0], strict=True):
        bright = (image[..., 0] > 160) & (image.max(axis=(0, 1))[0] > 160)
        corners_fill = image[0, 0, 0] > 100 or 0 < image[-1, 0, 0] == image[0, 0, 0]
        if share < 0.99 or not bright.any() or bright.mean() > 0.5 or corners_fill:
            continue
        rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(found, box, atol=2.5)
        seen += 1
    assert seen >= 6


def test_devices_exchange_nothing_but_what_is_mixed():
    """An index over the whole batch would make XLA gather every image on every device. (Policies: policies_test.)"""
    mesh = Mesh(np.array(jax.devices()), ('data',))
    sharded = NamedSharding(mesh, PartitionSpec('data'))
    inputs = jax.device_put((jnp.arange(8, dtype=jnp.int32), IMAGES, LABELS, ASPECTS), sharded)

    def compiled(operations):
        function = _make(Augment(crop_scale=(0.3, 1.0), operations=operations))

        def run(ids, images, labels, aspects):
            return function(_keys(ids), images, labels, aspects)

        return jax.jit(run).lower(*inputs).compile().as_text()

    exchange = re.compile(r'all-gather|all-reduce|all-to-all|collective-permute')
    assert not exchange.search(compiled(tuple(name for name in EVERYTHING if name not in POLICIES)))
    assert exchange.search(compiled(('mixup',)))


def test_what_a_crop_left_out_does_not_count_as_visible_when_its_place_comes_back():
    """A zoom shows the surroundings of the crop again, but only as fill."""
    side, count = 32, 64
    picture = np.zeros((count, side, side, 3), np.uint8)
    picture[:, :6, :6] = 255
    function = make_augment(
        Augment(operations=('random_square_crop(0.5)', 'zoom((0.4, 0.4))')), ImagePreprocessor(side), {'': 3}
    )
    images, _, maps, shown = function(_keys(range(count)), jnp.asarray(picture))
    corner = jnp.broadcast_to(jnp.array([[[0.0, 0.0, 6 / 32, 6 / 32]]]), (count, 1, 4))
    _, visible = geometry.transform_boxes(maps, corner, (side, side), shown)
    visible = np.asarray(visible)[:, 0]
    bright = np.asarray(images).max(axis=(1, 2, 3)) > 128
    assert bright[visible > 0.2].all()
    assert not bright[visible == 0].any()
    assert (visible > 0.2).any()
    assert (visible == 0).sum() > count / 4


def test_one_device_a_mesh_and_pmap_give_the_same_pictures():
    operations = (
        'rotate(20)',
        'rand_augment',
        'gaussian_noise(5)',
        'random_erasing(0.5, fill=noise)',
        'mixup_or_cutmix',
    )
    augment = Augment(crop_scale=(0.3, 1.0), horizontal_flip=0.5, hue=0.1, operations=operations)
    function = _make(augment)
    inputs = (_keys(range(8), epoch=2), IMAGES, LABELS, ASPECTS)
    one = jax.jit(function)(*jax.device_put(inputs, jax.devices()[0]))
    sharded = NamedSharding(Mesh(np.array(jax.devices()), ('data',)), PartitionSpec('data'))
    mesh = jax.jit(function)(*jax.device_put(inputs, sharded))
    mapped = jax.pmap(_make(augment, axis_name='data'), axis_name='data')(*jax.tree.map(lambda x: x[:, None], inputs))
    for other in (mesh, jax.tree.map(lambda x: x[:, 0], mapped)):
        for name in ('images', 'labels', 'geometry', 'shown'):
            chex.assert_trees_all_close(getattr(other, name), getattr(one, name), atol=1e-3, rtol=1e-7)
