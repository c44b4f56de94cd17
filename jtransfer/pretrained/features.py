"""Intermediate features of pictures, from any network, in one call."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jtransfer.checks import nearest
from jtransfer.errors import UserError
from jtransfer.inputs.image import evaluation_pixels, normalise
from jtransfer.pretrained.model import Model

POOLED = 'pooled'


def extract_features(
    model: Model,
    images: Iterable[Any],
    stages: str | Sequence[str] = (POOLED,),
    *,
    batch_size: int = 32,
) -> dict[str, Float[np.ndarray, 'example ...']]:
    """Runs pictures of any size through a network in evaluation mode and keeps what its stages put out.

    >>> features = extract_features(model, images, ('stage2', 'pooled'))  # doctest: +SKIP
    >>> features['stage2'].shape  # doctest: +SKIP
    (100, 28, 28, 512)

    Args:
        model: of `load_model`; its preprocessing frames the pictures.
        images: pictures, uint8 (height, width, channel), each of any size.
        stages: names of the backbone's stages (`model.network.stages`: every block of a ViT, every stage of a
            convolutional network), and 'pooled' for the features before the head.
        batch_size: pictures a forward pass, ≥ 1.

    Returns:
        By stage, float32: (example, h, w, channel) of a convolutional network, (example, token, dim) of a ViT, prefix
        tokens first; (example, feature) for 'pooled'.

    Raises:
        UserError: a name that is no stage, no pictures, something that is none, or a batch size below 1.
    """
    stages = (stages,) if isinstance(stages, str) else tuple(stages)
    known = (*model.network.stages, POOLED)
    if not stages:
        raise UserError(f'name at least one stage of {", ".join(known)}')
    if unknown := [stage for stage in stages if stage not in known]:
        raise UserError(f"{model.architecture} has no stage '{unknown[0]}'.{nearest(unknown[0], known)}")
    if batch_size < 1:
        raise UserError(f'batch_size={batch_size} must be at least 1')
    wanted = set(stages)

    @jax.jit
    def forward(variables: dict, pixels: UInt8[Array, 'batch h w channel']) -> dict[str, Array]:
        inputs = normalise(pixels, model.preprocessing, model.network.dtype)
        features = cast(dict[str, Array], model.network.apply(variables, inputs, method='features'))
        return {stage: features[stage].astype(jnp.float32) for stage in wanted}

    parts: dict[str, list[np.ndarray]] = {stage: [] for stage in stages}
    left = iter(images)
    while some := list(itertools.islice(left, batch_size)):
        batch = np.stack([evaluation_pixels(_picture(image), model.preprocessing) for image in some])
        # The last batch is padded, so that one program is compiled.
        padding = np.zeros((batch_size - len(batch), *batch.shape[1:]), np.uint8)
        features = jax.device_get(forward(model.variables, np.concatenate([batch, padding])))
        for stage in stages:
            parts[stage].append(features[stage][: len(batch)])
    if not parts[stages[0]]:
        raise UserError('there are no pictures to take features of')
    return {stage: np.concatenate(values) for stage, values in parts.items()}


def _picture(image: Any) -> np.ndarray:
    picture = np.asarray(image)
    if picture.ndim != 3 or picture.dtype != np.uint8:
        raise UserError(
            f'a picture is a uint8 array (height, width, channel), not {picture.dtype} of shape {picture.shape}; '
            'hand over a list of them'
        )
    return picture
