"""Erased boxes follow timm's rule, fills their distribution, and every image has its own draw."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jtransfer.augment import erase
from jtransfer.errors import UserError

AREA, RATIO = (0.02, 1 / 3), (0.3, 10 / 3)
MEAN, STD = (124.0, 116.0, 104.0), (58.0, 57.0, 57.0)
COUNT = 2000

# As one program each: an operation at a time is dozens.
random_erasing = jax.jit(
    erase.random_erasing, static_argnames=('probability', 'area', 'ratio', 'count', 'fill', 'mean', 'std')
)
cutout = jax.jit(erase.cutout, static_argnums=(2, 3))


def _keys(seed, count=COUNT):
    return jax.random.split(jax.random.key(seed), count)


def _images(count, height=12, width=16):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def _boxes(shape, seed=0, number=COUNT, **settings):
    settings = {'area': AREA, 'ratio': RATIO} | settings
    boxes = jax.jit(lambda keys: erase.sample_boxes(keys, shape, **settings))(_keys(seed, number))
    return np.asarray(boxes)


def _box_by_timms_rule(random, shape, area=AREA, ratio=RATIO, count=1):
    for _ in range(10):
        target = random.uniform(*area) * shape[0] * shape[1] / count
        aspect = np.exp(random.uniform(*np.log(ratio)))
        height, width = round(np.sqrt(target * aspect)), round(np.sqrt(target / aspect))
        if height < shape[0] and width < shape[1]:
            return random.integers(shape[0] - height + 1), random.integers(shape[1] - width + 1), height, width
    return 0, 0, 0, 0


def _assert_alike(ours, reference):
    """Kolmogorov-Smirnov tests of corner, sides, area and ratio of boxes [number, 4]."""

    def features(boxes):
        # Where an empty box is does not matter.
        top, left, height, width = (boxes * (boxes[:, 2:3] > 0)).T
        return top, left, height, width, height * width, height / np.maximum(width, 1)

    for mine, theirs in zip(features(ours), features(reference), strict=True):
        assert stats.ks_2samp(mine, theirs).pvalue > 1e-3


# In the last, wide, picture most draws are too high, and often all ten.
@pytest.mark.parametrize(
    ('shape', 'settings'),
    [((64, 64), {}), ((37, 53), {'count': 3}), ((8, 40), {'area': (0.3, 0.9), 'ratio': (0.3, 6.0)})],
)
def test_boxes_follow_the_rule(shape, settings):
    random = np.random.default_rng(1)
    reference = np.array([_box_by_timms_rule(random, shape, **settings) for _ in range(COUNT)])
    boxes = _boxes(shape, **settings)
    assert boxes.shape == (COUNT, settings.get('count', 1), 4)
    assert (boxes >= 0).all()
    assert (boxes[..., :2] + boxes[..., 2:] <= shape).all()
    for number in range(boxes.shape[1]):
        _assert_alike(boxes[:, number], reference)


def test_where_all_draws_fit_areas_are_uniform_and_ratios_log_uniform():
    top, left, height, width = _boxes((1000, 1000))[:, 0].T
    assert stats.kstest(height * width / 1e6, 'uniform', (AREA[0], AREA[1] - AREA[0])).pvalue > 1e-3
    low, high = np.log(RATIO)
    assert stats.kstest(np.log(height / width), 'uniform', (low, high - low)).pvalue > 1e-3
    for start, size in ((top, height), (left, width)):
        assert stats.kstest((start + 0.5) / (1000 - size + 1), 'uniform').pvalue > 1e-3


@pytest.mark.parity
@pytest.mark.parametrize('shape', [(64, 64), (37, 53)])
def test_boxes_are_distributed_as_timms(shape):
    import random

    torch = pytest.importorskip('torch')
    pytest.importorskip('tests.golden.reference').import_timm()
    from timm.data.random_erasing import RandomErasing

    random.seed(0)
    eraser = RandomErasing(probability=1.0, device='cpu')
    theirs = []
    for _ in range(COUNT):
        rows, columns = np.nonzero(eraser(torch.ones(1, *shape))[0].numpy() == 0)
        top, left = rows.min(), columns.min()
        theirs.append((top, left, rows.max() + 1 - top, columns.max() + 1 - left))
    _assert_alike(_boxes(shape)[:, 0], np.array(theirs))


@pytest.mark.parity
def test_two_boxes_cover_as_much_as_timms():
    import random

    torch = pytest.importorskip('torch')
    pytest.importorskip('tests.golden.reference').import_timm()
    from timm.data.random_erasing import RandomErasing

    random.seed(0)
    eraser = RandomErasing(probability=0.6, min_count=2, device='cpu')
    theirs = [(eraser(torch.ones(1, 24, 32)) == 0).float().mean().item() for _ in range(COUNT)]
    images = jnp.full((COUNT, 24, 32, 1), 255.0)
    out = random_erasing(_keys(2), images, probability=0.6, count=2, mean=(0.0,), std=(1.0,))
    ours = np.mean(np.asarray(out) == 0, axis=(1, 2, 3))
    assert stats.ks_2samp(ours.astype(np.float32), np.float32(theirs)).pvalue > 1e-3


def test_erase_boxes_paints_the_box_alone():
    images = _images(4)
    boxes = np.array([[2, 3, 4, 5], [0, 0, 12, 16], [-2, 10, 5, 20], [4, 4, 0, 3]], np.int32)
    values = np.random.default_rng(1).uniform(0, 255, images.shape).astype(np.float32)
    expected = images.astype(np.float32)
    expected[0, 2:6, 3:8] = values[0, 2:6, 3:8]
    expected[1] = values[1]
    expected[2, :3, 10:] = values[2, :3, 10:]
    for given in (images, images.astype(np.float32)):
        out = erase.erase_boxes(jnp.asarray(given), jnp.asarray(boxes), jnp.asarray(values))
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize('fill', erase.FILLS)
def test_fills_touch_the_boxes_alone_and_stay_in_range(fill):
    images = _images(64)
    keys = _keys(3, 64)
    settings = {'probability': 0.7, 'count': 2, 'fill': fill, 'mean': MEAN, 'std': (300.0, 57.0, 57.0)}
    out = np.asarray(erase.random_erasing(keys, jnp.asarray(images), **settings))
    assert out.dtype == np.float32
    assert out.min() >= 0
    assert out.max() <= 255

    @jax.jit
    def erased(keys):
        own = jax.vmap(jax.random.split)(keys)[:, 0]
        boxes = erase.sample_boxes(own, (12, 16), probability=0.7, area=AREA, ratio=RATIO, count=2)
        return erase.box_masks(boxes[:, 0], (12, 16)) | erase.box_masks(boxes[:, 1], (12, 16))

    inside = np.asarray(erased(keys))
    np.testing.assert_array_equal(out[~inside], images[~inside])
    if fill == 'mean':
        np.testing.assert_array_equal(out[inside], np.broadcast_to(MEAN, out[inside].shape))
    else:
        assert np.mean(out[inside] != images[inside]) > 0.8
    floats = erase.random_erasing(keys, jnp.asarray(images, jnp.float32), **settings)
    np.testing.assert_array_equal(floats, out)


def test_noise_is_normal_and_new_for_every_pixel_and_image():
    out = random_erasing(
        _keys(4, 64), jnp.zeros((64, 15, 15, 3)), probability=1.0, fill='noise', mean=MEAN, std=(10.0, 15.0, 20.0)
    )
    noise = ((np.asarray(out) - np.array(MEAN)) / np.array([10, 15, 20]))[np.asarray(out).max(-1) > 0]
    assert len(noise) > 64 * 5
    assert stats.kstest(noise.ravel(), 'norm').pvalue > 1e-3
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 4 / np.sqrt(len(noise))
    # Numbers of 16 bits: two of a hundred thousand and more may be equal, many would be a noise drawn once.
    assert len(np.unique(noise)) > 0.9 * noise.size


def test_color_is_one_normal_colour_a_box():
    out = np.asarray(
        random_erasing(
            _keys(5, 500), jnp.zeros((500, 9, 9, 3)), probability=1.0, fill='color', mean=MEAN, std=(10.0, 15.0, 20.0)
        )
    )
    colours = [np.unique(image[image.max(-1) > 0], axis=0) for image in out]
    assert max(len(colour) for colour in colours) == 1
    drawn = (np.concatenate(colours) - np.array(MEAN)) / np.array([10, 15, 20])
    assert stats.kstest(drawn.ravel(), 'norm').pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 4 / np.sqrt(len(drawn))


def test_every_box_of_an_image_has_its_own_colour():
    out = random_erasing(
        _keys(5, 50), jnp.zeros((50, 9, 9, 3)), probability=1.0, fill='color', count=2, mean=MEAN, std=STD
    )
    assert max(len(np.unique(image.reshape(-1, 3), axis=0)) for image in np.asarray(out)) == 3


def test_probability_is_the_share_of_erased_images():
    for probability in (0.0, 0.3, 1.0):
        boxes = _boxes((50, 50), seed=6, probability=probability)
        share = np.mean(boxes[:, 0, 2] > 0)
        assert abs(share - probability) <= 4 * np.sqrt(probability * (1 - probability) / COUNT)
    images = _images(8)
    out = random_erasing(_keys(6, 8), jnp.asarray(images), probability=0.0, fill='noise', mean=MEAN, std=STD)
    np.testing.assert_array_equal(out, images)


def test_a_pixel_and_a_row_of_pixels_cannot_be_erased():
    for shape in ((1, 1), (1, 7)):
        images = _images(16, *shape)
        out = random_erasing(_keys(7, 16), jnp.asarray(images), probability=1.0, mean=MEAN, std=STD)
        np.testing.assert_array_equal(out, images)


@pytest.mark.parametrize('fill', erase.FILLS)
def test_an_image_is_erased_by_its_key_alone(fill):
    images, keys = jnp.broadcast_to(_images(1), (8, 12, 16, 3)), _keys(8, 8)

    def apply(keys, images):
        return np.asarray(random_erasing(keys, images, probability=1.0, fill=fill, mean=MEAN, std=STD))

    out = apply(keys, images)
    assert len(np.unique(out.reshape(8, -1), axis=0)) == 8
    order = np.random.default_rng(0).permutation(8)
    np.testing.assert_array_equal(apply(keys[order], images), out[order])
    np.testing.assert_array_equal(apply(keys[:3], images[:3]), out[:3])


def test_one_compilation():
    images = jnp.asarray(_images(4))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def apply(keys):
        return cutout(keys, random_erasing(keys, images, fill='noise', mean=MEAN, std=STD), 4, MEAN)

    for seed in range(3):
        apply(_keys(seed, 4))


def test_an_unknown_fill_is_refused():
    with pytest.raises(UserError, match="'black' must be one of mean, noise, color"):
        random_erasing(_keys(0, 1), jnp.zeros((1, 4, 4, 3)), fill='black', mean=MEAN, std=STD)


@pytest.mark.parametrize('size', [4, 5])
def test_cutout_paints_a_clipped_square_around_a_uniform_pixel(size):
    height, width, count = 7, 9, 4000
    out = cutout(_keys(9, count), jnp.full((count, height, width, 3), 255.0), size, (1.0, 2.0, 3.0))
    out = np.asarray(out)
    squares = {}
    for row in range(height):
        for column in range(width):
            square = np.full((height, width, 3), 255, np.float32)
            top, left = row - size // 2, column - size // 2
            square[max(top, 0) : top + size, max(left, 0) : left + size] = (1, 2, 3)
            squares[square.tobytes()] = (row, column)
    # At these sizes the square tells its centre.
    assert len(squares) == height * width
    centres = np.array([squares[image.tobytes()] for image in out])
    observed = np.bincount(centres[:, 0] * width + centres[:, 1], minlength=height * width)
    assert stats.chisquare(observed).pvalue > 1e-3
