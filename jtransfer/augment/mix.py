"""Mixup and CutMix: images are mixed in pairs, and their labels in the same shares.

Zhang et al. (2018), "mixup: beyond empirical risk minimization", and Yun et al. (2019), "CutMix: regularization
strategy to train strong classifiers with localizable features", with the controls and rules of timm's `Mixup`. There
an image's partner is the one at the mirrored place of the batch; here the order of the images is drawn from their keys,
so that what becomes of an image depends on which images are in the batch, and not on where they are.

The steps are apart, as a loss may need the labels of both: draw, gather the partners, mix images, mix labels.

    mixing = draw_mixing(keys, images.shape[1:3], mixup_alpha=0.8, cutmix_alpha=1.0)
    images = mix_images(images, images[mixing.partner], mixing)
    labels = mix_labels(labels, labels[mixing.partner], mixing.share)
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, Key, UInt8

from jtransfer.augment.erase import box_masks
from jtransfer.errors import UserError

MODES = ('batch', 'pair', 'element')
_STEPS = 2**14


class Mixing(NamedTuple):
    """What is mixed into each image, and how much of it.

    Attributes:
        partner: place in the batch of the image that is mixed in; the image's own where nothing is.
        share: weight of the own image and of its label, in [0, 1]: for CutMix the part of the area that is left of it.
        boxes: what CutMix pastes: (top, left, height, width) in pixels, within the image; zeros for mixup.
        cut: whether it is CutMix.
    """

    partner: Int32[Array, ' batch']
    share: Float32[Array, ' batch']
    boxes: Int32[Array, 'batch 4']
    cut: Bool[Array, ' batch']


def draw_mixing(
    keys: Key[Array, ' batch'],
    shape: tuple[int, int],
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    probability: float = 1.0,
    switch_probability: float = 0.5,
    mode: str = 'batch',
    valid: Bool[Array, ' batch'] | None = None,
) -> Mixing:
    """Draws pairs, shares and boxes.

    Images are ranked by bits drawn from their keys; the first is paired with the last, the second with the last but
    one, and a middle one stays as it is. All of it is a function of the set of keys, whatever their order.

    The share is Beta(α, α) distributed. For CutMix, the sides of the box are those of the image times √(1 - share),
    rounded down, its centre is uniform over the pixels, and what of it is outside the image is lost; then the share is
    set to the area that is left.

    Args:
        keys: one per image.
        shape: height and width of the images, pixels.
        mixup_alpha: α of mixup, ≥ 0; 0 for no mixup.
        cutmix_alpha: α of CutMix, ≥ 0; 0 for no CutMix.
        probability: that anything is mixed, in [0, 1], once per batch, pair or image as `mode` says.
        switch_probability: that it is CutMix where both are enabled, in [0, 1].
        mode: `batch` draws once for the whole batch, `pair` once for the two images of a pair, `element` for each image
            by itself.
        valid: only these take part (not padding, nor images without a label); all, if None.

    Raises:
        UserError: if neither method is enabled, or the mode is unknown.
    """
    if min(mixup_alpha, cutmix_alpha) < 0 or max(mixup_alpha, cutmix_alpha) == 0:
        raise UserError(
            f'mixup_alpha={mixup_alpha} and cutmix_alpha={cutmix_alpha}: one must be greater than 0, and none less'
        )
    if mode not in MODES:
        raise UserError(f'mixing: mode={mode!r} must be one of {", ".join(MODES)}')
    batch = keys.shape[0]
    valid = jnp.ones(batch, bool) if valid is None else valid
    # The ranks' bits have a stream to themselves: to draw first must not go with small shares.
    streams = jax.vmap(jax.random.split)(keys)
    bits = jax.vmap(lambda key: jax.random.bits(key, (2,)))(streams[:, 0])
    # Two words: ties, which the order in the batch would settle, are not rare enough with one.
    order = jnp.lexsort((bits[:, 1], bits[:, 0], ~valid)).astype(jnp.int32)
    rank = jnp.zeros(batch, jnp.int32).at[order].set(jnp.arange(batch, dtype=jnp.int32))
    opposite = jnp.where(valid, jnp.sum(valid, dtype=jnp.int32) - 1 - rank, rank)
    partner = order[opposite]

    decides = {
        'batch': order[:1],
        'pair': order[jnp.minimum(rank, opposite)],
        'element': jnp.arange(batch, dtype=jnp.int32),
    }[mode]
    share, boxes, cut = _draw(streams[decides, 1], shape, (mixup_alpha, cutmix_alpha), probability, switch_probability)
    mixed = rank != opposite
    return Mixing(
        partner=partner,
        share=jnp.where(mixed, share, 1),
        boxes=jnp.where(mixed[:, None], boxes, 0),
        cut=mixed & cut,
    )


def _draw(
    keys: Array, shape: tuple[int, int], alphas: tuple[float, float], probability: float, switch_probability: float
) -> tuple[Array, Array, Array]:
    """Share, box and whether it is CutMix, for each key; share 1 where nothing is mixed."""
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (5,)))(keys)
    mixup_alpha, cutmix_alpha = alphas
    if mixup_alpha > 0 and cutmix_alpha > 0:
        cut = uniform[:, 1] < switch_probability
        share = jnp.where(cut, _beta(uniform[:, 2], cutmix_alpha), _beta(uniform[:, 2], mixup_alpha))
    else:
        cut = jnp.full(len(uniform), cutmix_alpha > 0)
        share = _beta(uniform[:, 2], max(alphas))
    share = jnp.where(uniform[:, 0] < probability, share, 1)
    cut = cut & (share < 1)

    extent = jnp.asarray(shape)
    sides = jnp.floor(extent * jnp.sqrt(1 - share)[:, None]).astype(jnp.int32)
    centres = jnp.floor(extent * uniform[:, 3:]).astype(jnp.int32)
    start = jnp.clip(centres - sides // 2, 0, extent)
    size = jnp.clip(centres + (sides + 1) // 2, 0, extent) - start
    boxes = jnp.where(cut[:, None], jnp.concatenate([start, size], axis=1), 0)
    left = 1 - jnp.prod(size, axis=1) / (shape[0] * shape[1])
    return jnp.where(cut, left, share), boxes, cut


def _beta(uniform: Array, alpha: float) -> Array:
    """Beta(α, α) distributed numbers, float32, from numbers uniform in [0, 1).

    A table of quantiles, linear in between, which is off by less than one step, 2⁻¹⁴, in the distribution function. The
    sampler of `jax.random` is exact, but its loops take most of the time that the whole mixing takes to compile, and an
    accelerator waits for the host in every round of them.
    """
    table = jnp.asarray(scipy.special.betaincinv(alpha, alpha, np.linspace(0, 1, _STEPS + 1)), jnp.float32)
    step = jnp.floor(uniform * _STEPS).astype(jnp.int32)
    low, high = table[step], table[step + 1]
    return low + (high - low) * (uniform * _STEPS - step)


def mix_images(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    others: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    mixing: Mixing,
) -> Float32[Array, 'batch height width channel']:
    """Mixes each image with its partner.

    Args:
        images: values in [0, 255].
        others: the partners' images: `images[mixing.partner]`, or as they were gathered elsewhere.
        mixing: as drawn for the images.

    Returns:
        Values in [0, 255], unrounded; where the weight is 0 or 1, and so all over a CutMix, exactly those given.
    """
    _, height, width, _ = images.shape
    pasted = box_masks(mixing.boxes, (height, width))
    weight = jnp.where(mixing.cut[:, None, None], ~pasted, mixing.share[:, None, None])[..., None]
    return jnp.clip(weight * images.astype(jnp.float32) + (1 - weight) * others.astype(jnp.float32), 0, 255)


def mix_labels(
    labels: Float[Array, 'batch outputs'], others: Float[Array, 'batch outputs'], share: Float[Array, ' batch']
) -> Float[Array, 'batch outputs']:
    """Mixes soft labels, or numbers to predict, in the shares of the images.

    Args:
        labels: probabilities or numbers; NaN for unlabelled.
        others: the partners': `labels[mixing.partner]`.
        share: weight of the own label, in [0, 1].

    Returns:
        The weighted means. NaN where either is NaN, unless its weight is 0.
    """
    share = share[:, None]
    mixed = share * labels + (1 - share) * others
    return jnp.where(share == 1, labels, jnp.where(share == 0, others, mixed))


def soft_labels(
    labels: Int[Array, ' batch'] | Float[Array, 'batch classes'], num_classes: int
) -> Float32[Array, 'batch classes']:
    """Labels that can be mixed.

    Args:
        labels: class numbers in [0, num_classes), -1 for unlabelled; or probabilities, which stay as they are.
        num_classes: how many classes there are.

    Returns:
        One-hot rows, of NaN for unlabelled.
    """
    if labels.ndim == 2:
        return labels.astype(jnp.float32)
    return jnp.where(labels[:, None] < 0, jnp.nan, jax.nn.one_hot(labels, num_classes, dtype=jnp.float32))
