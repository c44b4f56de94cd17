"""The first kernel of a network for images of another number of channels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def fit_channels(
    kernel: Float[np.ndarray, '*side channel feature'], channels: int
) -> Float[np.ndarray, '*side new feature']:
    """A first kernel for images of another number of channels, as timm fits it.

    One channel gets the sum over the old ones: a grey picture gives what it gave when it stood in every channel. Others
    get the old ones in turn, scaled by old / new number, so that the responses keep their size.

    Args:
        kernel: (…, channel, feature).
        channels: wanted.
    """
    if channels == 1:
        return kernel.sum(axis=-2, keepdims=True)
    known = kernel.shape[-2]
    return kernel[..., np.arange(channels) % known, :] * np.float32(known / channels)


def fitted_to_channels(stored: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A stored first kernel in the shape that is needed, float32; None where more than the channels differ."""
    if stored.ndim != len(shape) or stored.ndim < 2:
        return None
    if (*stored.shape[:-2], stored.shape[-1]) != (*shape[:-2], shape[-1]):
        return None
    return fit_channels(np.asarray(stored, np.float32), shape[-2])
