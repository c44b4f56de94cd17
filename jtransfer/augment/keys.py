"""One random key per training image: a function of what the image is, never of where in a batch it stands."""

from __future__ import annotations

import zlib

import jax
from jaxtyping import Array, Int32, Key, UInt32

# Part of the stream's definition: the same seed gives other streams (initialisation, order, dropout) other keys.
_STREAM = zlib.crc32(b'augment')


def example_keys(
    seed: UInt32[Array, ''] | int, epoch: Int32[Array, ' batch'], example_id: Int32[Array, ' batch']
) -> Key[Array, ' batch']:
    """The augmentation key of every image of a batch.

    A pure function of (seed, epoch, example id) for each image by itself, so that an image is augmented the same way
    whatever the batch's layout, the number of devices or of loading processes, and after a resume.

    Args:
        seed: the experiment's seed, scalar, in [0, 2³²).
        epoch: which pass over the data each image belongs to, ≥ 0.
        example_id: position of each image within the training part, ≥ 0.

    Returns:
        Typed keys, one per image.
    """
    stream = jax.random.fold_in(jax.random.key(seed), _STREAM)
    return jax.vmap(lambda e, i: jax.random.fold_in(jax.random.fold_in(stream, e), i))(epoch, example_id)
