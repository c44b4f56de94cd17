"""Sharpness against Pillow, bit for bit; Gaussian blur against scipy and torchvision."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage
from sklearn.datasets import load_sample_images

from jtransfer.augment import filters

# As one program each: an operation at a time is a dozen.
sharpness = jax.jit(filters.sharpness)
gaussian_blur = jax.jit(filters.gaussian_blur, static_argnames='kernel_size')


def _pictures():
    """Photographs, odd sizes, a constant, noise and a gradient."""
    china, flower = load_sample_images().images
    return {
        'china': china[100:164, 200:264],
        'flower': flower[150:187, 300:353],
        'pixel': flower[200:201, 100:101],
        'row': china[10:11, 20:27],
        'two columns': china[40:49, 60:62],
        'three by three': flower[100:103, 50:53],
        'constant': np.full((9, 8, 3), 173, np.uint8),
        'noise': np.random.default_rng(0).integers(0, 256, (23, 41, 3)).astype(np.uint8),
        'gradient': np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (4, 256, 3)),
    }


PICTURES = _pictures()
FACTORS = np.array([0.0, 0.1, 0.37, 0.9, 1.0, 1.1, 1.9, 2.5, 8.0, -0.3], np.float32)
SIGMAS = np.array([0.1, 0.5, 1.0, 2.3, 6.0], np.float32)

names = pytest.mark.parametrize('name', PICTURES)


def _repeated(image, count):
    return np.broadcast_to(image, (count, *image.shape))


@names
@pytest.mark.parametrize('channels', [1, 3])
def test_sharpness_is_pillows(name, channels):
    image = PICTURES[name][..., :channels]
    images = _repeated(image, len(FACTORS))
    out = sharpness(images, FACTORS)
    floats = sharpness(images.astype(np.float32), FACTORS)
    assert out.dtype == jnp.uint8
    assert floats.dtype == jnp.float32
    np.testing.assert_array_equal(floats, out)
    for factor, result in zip(FACTORS, np.asarray(out), strict=True):
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        expected = np.asarray(ImageEnhance.Sharpness(picture).enhance(float(factor)))
        np.testing.assert_array_equal(result, expected.reshape(result.shape))


def _scipy_blur(image, sigma, kernel_size):
    """Two passes of scipy, in double precision; its `mirror` does not repeat the outermost pixel."""
    distance = np.arange(kernel_size) - kernel_size // 2
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights /= weights.sum()
    rows = ndimage.correlate1d(image.astype(np.float64), weights, axis=0, mode='mirror')
    return ndimage.correlate1d(rows, weights, axis=1, mode='mirror')


@names
@pytest.mark.parametrize('kernel_size', [1, 3, 13])
def test_blur_is_scipys(name, kernel_size):
    """13 weights reach beyond the smaller pictures, where the reflection is repeated."""
    image = PICTURES[name]
    out = np.asarray(gaussian_blur(_repeated(image, len(SIGMAS)), SIGMAS, kernel_size))
    assert out.dtype == np.float32
    for sigma, result in zip(SIGMAS, out, strict=True):
        np.testing.assert_allclose(result, _scipy_blur(image, sigma, kernel_size), atol=2e-3)


@pytest.mark.parity
@pytest.mark.parametrize('name', ['china', 'flower', 'noise'])
@pytest.mark.parametrize('kernel_size', [3, 13, 23])
def test_blur_is_torchvisions(name, kernel_size):
    torch = pytest.importorskip('torch')
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision.transforms import functional

    image = PICTURES[name]
    out = np.asarray(gaussian_blur(_repeated(image, len(SIGMAS)), SIGMAS, kernel_size))
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())
    for sigma, result in zip(SIGMAS, out, strict=True):
        exact = functional.gaussian_blur(planes.float(), [kernel_size] * 2, [float(sigma)] * 2)
        np.testing.assert_allclose(result, exact.numpy().transpose(1, 2, 0), atol=2e-3)
        rounded = functional.gaussian_blur(planes, [kernel_size] * 2, [float(sigma)] * 2)
        assert np.abs(result - rounded.numpy().transpose(1, 2, 0)).max() <= 0.5 + 2e-3


def test_no_sigma_is_the_image_itself():
    images = jnp.asarray(PICTURES['noise'])[None]
    np.testing.assert_array_equal(gaussian_blur(images, jnp.zeros(1), 7), images)


def test_blur_of_floats_is_that_of_bytes_and_in_range():
    images = _repeated(np.array(PICTURES['noise'] // 128 * 255, np.uint8), 3)
    sigmas = jnp.array([0.3, 1.7, 40.0])
    out = gaussian_blur(images, sigmas, 9)
    np.testing.assert_array_equal(gaussian_blur(images.astype(np.float32), sigmas, 9), out)
    white = gaussian_blur(jnp.full((3, 12, 9, 3), 255.0), sigmas, 9)
    assert float(white.max()) <= 255
    np.testing.assert_allclose(white, 255, atol=1e-3)


@pytest.mark.parametrize('kernel_size', [0, 4, -3])
def test_an_even_kernel_is_refused(kernel_size):
    with pytest.raises(ValueError, match='must be odd and positive'):
        gaussian_blur(jnp.zeros((1, 5, 5, 3)), jnp.ones(1), kernel_size)


@pytest.mark.parametrize(('sigma', 'size'), [(0.0, 1), (0.1, 3), (1.0, 7), (1.01, 9), (2.0, 13)])
def test_kernels_reach_three_standard_deviations(sigma, size):
    assert filters.blur_kernel_size(sigma) == size


def test_one_compilation_serves_all_parameters():
    images = jnp.asarray(PICTURES['flower'])[None]

    @jax.jit
    @chex.assert_max_traces(n=1)
    def both(strength):
        return sharpness(images, strength), gaussian_blur(images, strength, 5)

    outs = [both(jnp.array([strength])) for strength in (0.3, 0.8, 1.9)]
    assert len({np.asarray(blurred).tobytes() for _, blurred in outs}) == 3
    assert len({np.asarray(sharpened).tobytes() for sharpened, _ in outs}) == 3
