"""The first kernel for another number of channels."""

import numpy as np
import pytest

from jtransfer.models.first_kernel import fit_channels, fitted_to_channels

KERNEL = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)


def test_a_grey_image_gives_what_it_gave_in_every_channel():
    grey = np.random.default_rng(1).normal(size=(2, 2, 1))
    before = np.einsum('hwc,hwcf->f', np.repeat(grey, 3, 2), KERNEL)
    np.testing.assert_allclose(np.einsum('hwc,hwcf->f', grey, fit_channels(KERNEL, 1)), before, rtol=1e-5)


@pytest.mark.parametrize('channels', [2, 4, 6])
def test_channels_are_taken_in_turn_and_scaled(channels):
    expected = [KERNEL[:, :, index % 3] * 3 / channels for index in range(channels)]
    np.testing.assert_allclose(fit_channels(KERNEL, channels), np.stack(expected, 2), rtol=1e-6)


def test_only_the_channels_may_differ():
    assert fitted_to_channels(KERNEL.astype(np.float16), (2, 2, 5, 4)).shape == (2, 2, 5, 4)
    assert fitted_to_channels(KERNEL[0], (2, 5, 4)).shape == (2, 5, 4)
    for shape in ((2, 2, 5, 6), (3, 3, 5, 4), (2, 5, 4)):
        assert fitted_to_channels(KERNEL, shape) is None
