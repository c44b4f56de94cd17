"""Grey and blends against Pillow, bit for bit; gamma against its formula and torchvision; lighting; noise."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import stats
from sklearn.datasets import load_sample_images

from jtransfer.augment import tone

# As one program each: an operation at a time is a dozen.
adjust_gamma, gaussian_noise, grayscale, lighting, luma = map(
    jax.jit, (tone.adjust_gamma, tone.gaussian_noise, tone.grayscale, tone.lighting, tone.luma)
)


def _pictures():
    """Photographs, odd sizes, a constant and noise."""
    china, flower = load_sample_images().images
    return {
        'china': china[100:164, 200:264],
        'flower': flower[150:187, 300:353],
        'row': china[10:11, 20:27],
        'pixel': flower[200:201, 100:101],
        'constant': np.full((9, 8, 3), (173, 20, 99), np.uint8),
        'noise': np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8),
    }


PICTURES = _pictures()
GAMMAS = np.array([0.0, 0.3, 0.8, 1.0, 1.4, 2.5], np.float32)

names = pytest.mark.parametrize('name', PICTURES)


def _repeated(image, count):
    return np.broadcast_to(image, (count, *image.shape))


@names
def test_grayscale_is_pillows(name):
    image = PICTURES[name]
    images = image[None]
    expected = np.asarray(Image.fromarray(image).convert('L').convert('RGB'))
    for given in (images, images.astype(np.float32)):
        out = grayscale(given)
        assert out.dtype == given.dtype
        np.testing.assert_array_equal(out[0], expected)
        np.testing.assert_array_equal(luma(given)[0], expected[..., :1])


@names
def test_blend_is_pillows(name):
    """With grey, as in ImageEnhance.Color, and between two pictures; compiled, as a product and a sum may fuse."""
    image = PICTURES[name]
    other = np.ascontiguousarray(image[::-1, ::-1, ::-1])
    factors = np.concatenate([np.linspace(-1, 3, 41), [0.333, 0.7071, 1.9999]]).astype(np.float32)
    images = _repeated(image, len(factors)).astype(np.float32)
    blend = jax.jit(tone.blend)
    grey = np.asarray(blend(np.asarray(luma(images), np.float32), images, factors))
    mixed = np.asarray(blend(_repeated(other, len(factors)).astype(np.float32), images, factors))
    for index, factor in enumerate(factors.tolist()):
        enhanced = ImageEnhance.Color(Image.fromarray(image)).enhance(factor)
        np.testing.assert_array_equal(grey[index], np.asarray(enhanced))
        blended = Image.blend(Image.fromarray(other), Image.fromarray(image), factor)
        np.testing.assert_array_equal(mixed[index], np.asarray(blended))


def test_blend_is_exact_for_all_pairs_of_values():
    low, high = (grid.astype(np.uint8) for grid in np.mgrid[:256, :256])
    factors = np.random.default_rng(3).uniform(-1, 3, 8).astype(np.float32)
    blend = jax.jit(tone.blend)
    for factor in factors:
        out = blend(np.float32(low)[None, :, :, None], np.float32(high)[None, :, :, None], np.array([factor]))
        expected = Image.blend(Image.fromarray(low), Image.fromarray(high), float(factor))
        np.testing.assert_array_equal(np.asarray(out)[0, :, :, 0], np.asarray(expected))


@names
def test_gamma_is_its_formula(name):
    image = PICTURES[name]
    images = _repeated(image, len(GAMMAS))
    out = np.asarray(adjust_gamma(images, GAMMAS))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(adjust_gamma(images.astype(np.float32), GAMMAS), out)
    for gamma, result in zip(GAMMAS, out, strict=True):
        np.testing.assert_allclose(result, 255 * (image / 255) ** np.float64(gamma), atol=1e-3)
    assert out.min() >= 0
    assert out.max() <= 255


@pytest.mark.parity
@names
def test_gamma_is_torchvisions(name):
    torch = pytest.importorskip('torch')
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision.transforms import functional

    image = PICTURES[name]
    out = np.asarray(adjust_gamma(_repeated(image, len(GAMMAS)), GAMMAS))
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())
    for gamma, result in zip(GAMMAS, out, strict=True):
        exact = 255 * functional.adjust_gamma(planes / 255, float(gamma))
        np.testing.assert_allclose(result, exact.numpy().transpose(1, 2, 0), atol=1e-3)
        # In uint8 torchvision cuts fractions off, after a scaling that is 256 less a trifle.
        cut = functional.adjust_gamma(planes, float(gamma))
        assert np.abs(result - cut.numpy().transpose(1, 2, 0)).max() <= 1


def test_lighting_moves_along_the_published_components():
    """The components as fb.resnet.torch has them; each is a step of alpha eigenvalues of the [0, 1] range."""
    eigenvalues = np.array([0.2175, 0.0188, 0.0045])
    eigenvectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    alphas = np.random.default_rng(0).normal(0, 0.1, (20, 3)).astype(np.float32)
    alphas[0] = 0
    image = PICTURES['china']
    out = np.asarray(lighting(_repeated(image, 20), alphas))
    expected = np.clip(image / 255 + (eigenvectors @ (alphas * eigenvalues).T).T[:, None, None, :], 0, 1)
    np.testing.assert_allclose(out, 255 * expected, atol=1e-3)
    np.testing.assert_array_equal(out[0], image)
    floats = lighting(_repeated(image, 20).astype(np.float32), alphas)
    np.testing.assert_array_equal(floats, out)
    # They are principal components: orthonormal but for the figures' rounding.
    np.testing.assert_allclose(eigenvectors.T @ eigenvectors, np.eye(3), atol=2e-3)


def test_lighting_stays_in_range():
    out = lighting(_repeated(PICTURES['noise'], 2), jnp.array([[30.0, 0, 0], [-30.0, 0, 0]]))
    assert float(out.min()) == 0
    assert float(out.max()) == 255


def test_noise_is_normal_and_independent():
    keys = jax.random.split(jax.random.key(0), 3)
    images = jnp.full((3, 40, 40, 3), 128, jnp.uint8)
    noise = np.asarray(gaussian_noise(keys, images, jnp.array([0.0, 4.0, 20.0]))) - 128
    np.testing.assert_array_equal(noise[0], 0)
    for sample, std in ((noise[1], 4), (noise[2], 20)):
        assert stats.kstest(sample.ravel(), stats.norm(0, std).cdf).pvalue > 0.01
        correlation = np.corrcoef(sample.reshape(-1, 3).T) - np.eye(3)
        assert np.abs(correlation).max() < 4 / 40
    assert abs(np.corrcoef(noise[1].ravel(), noise[2].ravel())[0, 1]) < 4 / np.sqrt(noise[1].size)


def test_noise_is_a_function_of_the_images_key():
    keys = jax.random.split(jax.random.key(1), 4)
    images = jnp.asarray(_repeated(PICTURES['flower'], 4))
    together = tone.gaussian_noise(keys, images, jnp.full(4, 9.0))
    alone = tone.gaussian_noise(keys[2:3], images[:1].astype(jnp.float32), jnp.full(1, 9.0))
    np.testing.assert_array_equal(together[2], alone[0])
    assert len(np.unique(np.asarray(together).reshape(4, -1), axis=0)) == 4


def test_noise_stays_in_range():
    out = np.asarray(
        gaussian_noise(jax.random.split(jax.random.key(2), 1), jnp.asarray(PICTURES['noise'])[None], jnp.full(1, 200.0))
    )
    assert out.min() == 0
    assert out.max() == 255


def test_one_compilation_serves_all_parameters():
    images = jnp.asarray(PICTURES['flower'])[None]
    keys = jax.random.split(jax.random.key(2), 1)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def all_of_them(strength):
        return (
            adjust_gamma(images, strength)
            + lighting(images, strength[:, None] * jnp.ones(3))
            + gaussian_noise(keys, images, strength)
        )

    outs = [all_of_them(jnp.array([strength])) for strength in (0.3, 0.8, 1.9)]
    assert len({np.asarray(out).tobytes() for out in outs}) == 3
