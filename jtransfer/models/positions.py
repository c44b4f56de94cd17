"""Position embeddings for another grid of patches, as each source resamples its own.

Trained weights were fine-tuned and evaluated with one of these methods, and they differ: in the kernel, in whether it
widens when the grid shrinks (antialiasing), and in where a patch's centre lies.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jtransfer.checks import one_of
from jtransfer.errors import UserError

Grid = tuple[int, int]

DEFAULT_METHOD = 'bicubic_antialias'


def resize_positions(
    embeddings: Float[Array, '1 token dim'], prefix: int, grid: Grid, new_grid: Grid, method: str = 'bicubic_antialias'
) -> Float[Array, '1 new_token dim']:
    """Resamples position embeddings to another grid of patches; the prefix stays as it is.

    As Dosovitskiy et al. (2021), section 3.2, fine-tune at another resolution. Equal grids leave everything unchanged,
    whatever the method.

    Args:
        embeddings: those of the prefix tokens first, then of the patches row by row.
        prefix: number of embeddings without a place in the image. It is never guessed from the number of tokens.
        grid: rows and columns of patches that the embeddings are for.
        new_grid: rows and columns wanted.
        method: one of `METHODS`.
            `bicubic_antialias`: timm; DINOv2 with registers.
            `bicubic`: not antialiased, torch's kernel; DeiT, MAE and Hugging Face.
            `bicubic_offset`: the same at a scale of (new side + 0.1) / side, the original DINOv2.
            `bilinear`: not antialiased; timm for Google's .npz files.
            `bilinear_corners`: the centres of the corner patches stay in place; Google's vision_transformer and
                big_vision (`scipy.ndimage.zoom` of order 1).

    Raises:
        UserError: an unknown method, a grid without patches, or embeddings that are not those of prefix and grid.
    """
    one_of('method', method, tuple(METHODS))
    rows, columns = grid
    if min(*grid, *new_grid) < 1:
        raise UserError(f'position embeddings cannot go from a grid of {grid} to {new_grid}: both need patches')
    if embeddings.shape[1] != prefix + rows * columns:
        raise UserError(
            f'{embeddings.shape[1]} position embeddings are not those of {prefix} prefix tokens and '
            f'{rows}×{columns} patches'
        )
    if grid == new_grid:
        return embeddings
    vertical, horizontal = (
        jnp.asarray(METHODS[method].weights(size, new_size), jnp.float32)
        for size, new_size in zip(grid, new_grid, strict=True)
    )
    patches = embeddings[0, prefix:].astype(jnp.float32).reshape(rows, columns, -1)
    patches = jnp.einsum('ra,cb,abd->rcd', vertical, horizontal, patches, precision=jax.lax.Precision.HIGHEST)
    patches = patches.reshape(1, -1, embeddings.shape[2]).astype(embeddings.dtype)
    return jnp.concatenate([embeddings[:, :prefix], patches], axis=1)


def fitted_to_grid(
    stored: np.ndarray, shape: tuple[int, ...], prefix: int, grids: tuple[Grid | None, Grid | None], method: str
) -> Any | None:
    """Stored position embeddings in the shape and for the grid that are needed; themselves where they are so already.

    Args:
        stored: of a file, (1, position, feature).
        shape: needed.
        prefix: see `resize_positions`.
        grids: of the stored ones and of those needed; None stands for a square.
        method: see `resize_positions`. '': `DEFAULT_METHOD`.

    Returns:
        None where one of the two is not of its grid, or they differ in more than the number of positions.
    """
    known = _known_grids(stored.shape, shape, prefix, grids)
    if stored.shape == shape and (known is None or known[0] == known[1]):
        return stored
    if known is None:
        return None
    return resize_positions(jnp.asarray(stored, jnp.float32), prefix, *known, method or DEFAULT_METHOD)


def _known_grids(
    stored: tuple[int, ...], wanted: tuple[int, ...], prefix: int, grids: tuple[Grid | None, Grid | None]
) -> tuple[Grid, Grid] | None:
    """The grids of both, None where one of them is not a grid or the features differ."""
    if len(stored) != 3 or len(wanted) != 3 or stored[0] != wanted[0] or stored[2] != wanted[2]:
        return None
    known = []
    for shape, grid in zip((stored, wanted), grids, strict=True):
        count = shape[1] - prefix
        grid = grid or (math.isqrt(max(count, 0)),) * 2
        if count <= 0 or math.prod(grid) != count:
            return None
        known.append(grid)
    return known[0], known[1]


@dataclasses.dataclass(frozen=True)
class Method:
    """How one axis of a grid is resampled.

    Attributes:
        kernel: weight of a neighbour by its distance, in patches of the old grid.
        reach: beyond this distance the kernel is zero.
        antialias: whether the kernel widens by the scale when the grid shrinks. Neighbours beyond the edge then count
            for nothing, otherwise the patch at the edge stands for them (torch does these two).
        corners: whether the centres of the first and last patch keep their places, instead of the outer edges.
        offset: added to the new side to get the scale, patches.
    """

    kernel: Callable[[np.ndarray], np.ndarray]
    reach: int
    antialias: bool = False
    corners: bool = False
    offset: float = 0.0

    def weights(self, size: int, new_size: int) -> Float[np.ndarray, 'new_size size']:
        """The matrix from old to new values along one axis.

        Args:
            size: patches of the old grid along the axis.
            new_size: patches of the new one.
        """
        places = np.arange(new_size)
        if self.corners:
            scale = (size - 1) / max(new_size - 1, 1)
            centres = places * scale
        else:
            scale = size / (new_size + self.offset)
            centres = (places + 0.5) * scale - 0.5
        widening = max(scale, 1.0) if self.antialias else 1.0
        margin = math.ceil(self.reach * widening)
        neighbours = np.arange(-margin, size + margin)
        found = self.kernel((neighbours - centres[:, None]) / widening)
        inside = (neighbours >= 0) & (neighbours < size)
        if self.antialias:
            matrix = found[:, inside]
        else:
            matrix = np.zeros((new_size, size))
            np.add.at(matrix.T, np.clip(neighbours, 0, size - 1), found.T)
        return matrix / matrix.sum(axis=1, keepdims=True)


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(a: float) -> Callable[[np.ndarray], np.ndarray]:
    """Keys, Cubic convolution interpolation for digital image processing, 1981; `a` is the slope at distance 1."""

    def kernel(distance: np.ndarray) -> np.ndarray:
        x = np.abs(distance)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    return kernel


# torch's cubic kernel has another slope with antialiasing than without.
METHODS = {
    'bicubic_antialias': Method(_cubic(-0.5), 2, antialias=True),
    'bicubic': Method(_cubic(-0.75), 2),
    'bicubic_offset': Method(_cubic(-0.75), 2, offset=0.1),
    'bilinear': Method(_linear, 1),
    'bilinear_corners': Method(_linear, 1, corners=True),
}
