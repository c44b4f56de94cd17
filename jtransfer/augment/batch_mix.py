"""Mixing of the images of a batch, and of their labels, also where the batch is spread over devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jtransfer.augment import mix
from jtransfer.config.operations import Operation

# Labels are by task, in the forms that `jtransfer.tasks.losses` takes.
BatchMix = Callable[
    [Key[Array, ' batch'], Float[Array, 'batch height width channel'], Mapping[str, Array] | None],
    tuple[Array, dict[str, Array]],
]


def make_batch_mix(operation: Operation, outputs: Mapping[str, int], axis_name: str | None) -> BatchMix:
    """The function that mixes the images of a batch.

    Args:
        operation: `mixup`, `cutmix` or `mixup_or_cutmix`.
        outputs: classes, or numbers, of a label of each task.
        axis_name: the mapped axis over which the batch is spread. None: it is all at hand.

    Returns:
        A function of keys, images and labels, to images and soft labels. An image without any label takes no part.

    Raises:
        ValueError: `outputs` is not given.
    """
    if not all(outputs.values()) or not outputs:
        raise ValueError(
            f'{operation.name} mixes labels: make_augment(…, outputs=…) must say how many classes there are'
        )
    values = dict(operation.values)
    settings = {'probability': values['probability'], 'mode': values['mode']}
    if operation.name == 'mixup_or_cutmix':
        settings |= {name: values[name] for name in ('mixup_alpha', 'cutmix_alpha', 'switch_probability')}
    else:
        settings |= {'mixup_alpha': 0.0, 'cutmix_alpha': 0.0, f'{operation.name}_alpha': values['alpha']}

    def whole(leaf: Array) -> Array:
        """A leaf of all devices' examples."""
        return leaf if axis_name is None else jax.lax.all_gather(leaf, axis_name, tiled=True)

    def apply(keys: Array, images: Array, labels: Mapping[str, Array] | None) -> tuple[Array, dict[str, Array]]:
        if labels is None:
            raise ValueError(f'{operation.name} mixes labels: give them')
        soft = {name: mix.soft_labels(labels[name], outputs[name]) for name in sorted(outputs)}
        known = [~jnp.isnan(leaf).any(-1) for leaf in soft.values()]
        everyone = jax.random.wrap_key_data(whole(jax.random.key_data(keys)), impl=jax.random.key_impl(keys))
        valid = whole(jnp.stack(known).any(0))
        shape = (images.shape[1], images.shape[2])
        mixing = mix.draw_mixing(everyone, shape, valid=valid, **settings)
        if axis_name is not None:
            first = jax.lax.axis_index(axis_name) * len(images)
            mixing = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, len(images)), mixing)
        others = whole(images)[mixing.partner]
        mixed = jax.tree.map(lambda leaf: mix.mix_labels(leaf, whole(leaf)[mixing.partner], mixing.share), soft)
        return mix.mix_images(images, others, mixing), mixed

    return apply
