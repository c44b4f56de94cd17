"""Compares the gradient of every parameter, through the name map, with that of a reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import traverse_util

from jtransfer import models
from tests.golden import check, reference

# Share of a tensor's own largest gradient by which an element of it may differ.
TOLERANCE = 1e-3
# Gradients smaller than this share of the largest of all are rounding errors: a batch normalisation takes the bias
# before it away again, so that its gradient is 0 by algebra.
NOTHING = 1e-6


def compare(name, family, model, side=64, batch=2, train=False, naming='timm'):
    """The share by which each tensor's gradient differs, by the reference's name; those that are 0 are left out.

    The loss is a fixed random combination of the logits.

    Args:
        name: of our variant; the reference is of the same shape, with 1000 classes.
        family: of the variant.
        model: the reference, whose weights are made random.
        side: of the images.
        batch: number of images.
        train: whether batch normalisation takes the statistics of the batch.
        naming: the reference's.
    """
    network = models.create(name, num_classes=1000)
    table = check.naming_called(naming, family, network)
    image = reference.random_image(batch, side, side)
    arrays = {'image': reference.to_numpy(image)}
    arrays |= {f'state/{key}': value for key, value in reference.state(reference.randomise(model)).items()}
    variables = check.variables(network, table, arrays)
    weights = np.random.default_rng(0).normal(size=(batch, 1000)).astype('f4')

    (model.train(train)(image) * torch.from_numpy(weights)).sum().backward()
    theirs = {key: tensor.grad.numpy() for key, tensor in model.named_parameters()}

    apply = functools.partial(network.apply, train=train, mutable=['batch_stats'])

    def loss(params, rest, image):
        return jnp.sum(apply({**rest, 'params': params}, image)[0][''] * weights)

    rest = {key: value for key, value in variables.items() if key != 'params'}
    with jax.default_matmul_precision('highest'):
        tree = jax.jit(jax.grad(loss))(variables['params'], rest, arrays['image'])
    flat = traverse_util.flatten_dict({'params': tree}, sep='/')
    ours = table.to_theirs({path: np.asarray(value) for path, value in flat.items()})
    assert set(ours) == set(theirs)
    sizes = {key: max(np.abs(ours[key]).max(), np.abs(gradient).max()) for key, gradient in theirs.items()}
    nothing = NOTHING * max(sizes.values())
    return {
        key: float(np.abs(ours[key] - gradient).max() / sizes[key])
        for key, gradient in theirs.items()
        if sizes[key] > nothing
    }
