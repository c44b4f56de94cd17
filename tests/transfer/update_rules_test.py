"""Every rule equals torch's, or optax's, or its own formula, written out by hand."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jtransfer import rules
from jtransfer.config.optim import OPTIMIZERS, Optim
from jtransfer.errors import UserError
from jtransfer.models.role import Role, usual_role
from jtransfer.transfer import update_rules
from jtransfer.transfer.schedules import make_schedule
from jtransfer.transfer.update_rules import MUON_RMS, sam_perturbation

SHAPES = {
    'backbone/stem/conv/kernel': (3, 3, 3, 8),
    'backbone/stage1/conv/bias': (8,),
    'backbone/stage1/block0/conv1/kernel': (3, 3, 8, 16),
    'backbone/stage1/block0/conv_dw/kernel': (3, 3, 1, 16),
    'backbone/block0/attn/query/kernel': (12, 3, 4),
    'backbone/block0/attn/out/kernel': (3, 4, 12),
    'backbone/block0/attn/out/bias': (12,),
    'backbone/block0/mlp/fc1/kernel': (12, 24),
    'backbone/embed/pos_embed': (1, 5, 12),
    'head/kernel': (12, 4),
    'head/bias': (4,),
    'adapters/backbone/block0/mlp/fc1/a/kernel': (12, 2),
}
# What Muon reads: (rows, columns).
MATRICES = {
    'backbone/stage1/block0/conv1/kernel': (72, 16),
    'backbone/block0/attn/query/kernel': (12, 12),
    'backbone/block0/attn/out/kernel': (12, 12),
    'backbone/block0/mlp/fc1/kernel': (12, 24),
}
# What the names alone do not say.
ROLES = {
    'backbone/stem/conv/kernel': Role.INPUT,
    'backbone/block0/attn/query/kernel': Role.QUERY,
    'backbone/block0/attn/out/kernel': Role.OUT,
}
DECAY = 0.3
OPTIM = Optim(learning_rate=0.05, schedule='linear', warmup=0.2)


def role(path):
    return ROLES.get(path) or usual_role(path)


update_rule = functools.partial(update_rules.update_rule, role=role)


def muon_dimensions(path, shape):
    return update_rules.muon_dimensions(path, role(path), shape)


def tree(seed, shapes=SHAPES):
    random = np.random.default_rng(seed)
    return rules.unflatten({path: jnp.asarray(random.normal(size=s), jnp.float32) for path, s in shapes.items()})


def run(optimizer, params, steps=3, first=0):
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    shapes = {path: leaf.shape for path, leaf in rules.flatten(params).items()}
    for step in range(first, first + steps):
        updates, state = update(tree(100 + step, shapes), state, params)
        params = optax.apply_updates(params, updates)
    return params


def schedule(optim=OPTIM):
    return make_schedule(optim, 10)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def torch_run(make, params, steps):
    """The same gradients and learning rates, through one of torch's optimisers."""
    torch = pytest.importorskip('torch')
    leaves = rules.flatten(params)
    shapes = {path: leaf.shape for path, leaf in leaves.items()}
    theirs = {path: torch.nn.Parameter(torch.tensor(np.array(leaf))) for path, leaf in leaves.items()}
    optimizer = make(torch.optim, list(theirs.values()))
    for step in range(steps):
        optimizer.param_groups[0]['lr'] = float(schedule()(step))
        for path, grad in rules.flatten(tree(100 + step, shapes)).items():
            theirs[path].grad = torch.tensor(np.array(grad))
        optimizer.step()
    return {path: value.detach().numpy() for path, value in theirs.items()}


@pytest.mark.parametrize('decay', [0.0, DECAY])
@pytest.mark.parametrize('name', ['adamw', 'sgd', 'sgd without momentum'])
def test_equals_torch_over_five_steps(name, decay):
    optim = Optim(momentum=0.0 if 'without' in name else 0.8, b1=0.85, b2=0.99)
    ours = run(update_rule(name.split()[0], optim, schedule(), decay), tree(0), 5)

    def make(module, parameters):
        if name == 'adamw':
            return module.AdamW(parameters, lr=1.0, betas=(0.85, 0.99), weight_decay=decay)
        return module.SGD(parameters, lr=1.0, momentum=optim.momentum, weight_decay=decay)

    theirs = torch_run(make, tree(0), 5)
    for path, value in rules.flatten(ours).items():
        np.testing.assert_allclose(value, theirs[path], rtol=2e-5, atol=2e-6, err_msg=path)


@pytest.mark.parametrize(
    ('name', 'by_hand'),
    [
        ('adamw', lambda rate: optax.adamw(rate, 0.9, 0.99, weight_decay=DECAY)),
        ('lamb', lambda rate: optax.lamb(rate, 0.9, 0.99, weight_decay=DECAY)),
        ('lion', lambda rate: optax.lion(rate, 0.9, 0.99, weight_decay=DECAY)),
    ],
)
def test_is_the_rule_of_optax_bit_for_bit(name, by_hand):
    ours = update_rule(name, Optim(b2=0.99), schedule(), DECAY)
    assert_equal(run(ours, tree(0)), run(by_hand(schedule()), tree(0)))


def first_step(name, rate=0.1):
    params, grads = tree(0), tree(1)
    optimizer = update_rule(name, OPTIM, optax.constant_schedule(rate), DECAY)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return [rules.flatten(t) for t in (params, grads, updates)]


def test_first_step_of_lion_is_the_sign_and_the_decay():
    params, grads, updates = first_step('lion')
    for path, update in updates.items():
        np.testing.assert_allclose(update, -0.1 * (np.sign(grads[path]) + DECAY * params[path]), rtol=1e-5)


def test_first_step_of_lamb_has_the_length_of_the_parameter():
    params, grads, updates = first_step('lamb')
    for path, update in updates.items():
        # Bias-corrected moments of the first step: g and g².
        direction = grads[path] / (np.abs(grads[path]) + 1e-6) + DECAY * params[path]
        ratio = np.linalg.norm(params[path].ravel()) / np.linalg.norm(direction.ravel())
        np.testing.assert_allclose(update, -0.1 * ratio * direction, rtol=2e-4, atol=1e-6)


def test_muon_orthogonalises_the_kernels_of_the_backbone():
    _, grads, _ = first_step('muon', rate=1.0)
    optimizer = update_rule('muon', OPTIM, optax.constant_schedule(1.0), 0.0)
    params = tree(0)
    updates = rules.flatten(optimizer.update(tree(1), optimizer.init(params), params)[0])
    for path, (rows, columns) in MATRICES.items():
        update = -np.asarray(updates[path]).reshape(rows, columns) / (MUON_RMS * np.sqrt(max(rows, columns)))
        gradient = np.asarray(grads[path]).reshape(rows, columns)
        u, _, v = np.linalg.svd(gradient, full_matrices=False)
        # The five iterations leave the singular values between about 0.7 and 1.2 (Jordan et al.), save of the least.
        along = np.diag(u.T @ update @ v.T)
        assert np.median(along) == pytest.approx(1.0, abs=0.25), path
        assert along.max() < 1.3, path
        assert along.min() > 0.3, path
        off = u.T @ update @ v.T - np.diag(along)
        np.testing.assert_allclose(off, 0, atol=1e-4, err_msg=path)
        assert np.sqrt(np.mean(np.square(updates[path]))) == pytest.approx(MUON_RMS, rel=0.3), path


def test_muon_equals_optax_contrib_on_matrices():
    """Theirs takes Nesterov's step in its AdamW too, which is why ours is put together from the parts."""
    shapes = {path: SHAPES[path] for path in MATRICES}
    params = tree(0, shapes)
    dimensions = rules.unflatten({path: muon_dimensions(path, shape) for path, shape in shapes.items()})
    theirs = optax.contrib.muon(
        schedule(),
        beta=0.9,
        weight_decay=DECAY,
        consistent_rms=0.2,
        muon_weight_dimension_numbers=dimensions,
    )
    ours = run(update_rule('muon', OPTIM, schedule(), DECAY), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, run(theirs, params))


def test_muon_leaves_the_rest_to_adamw_bit_for_bit():
    ours = rules.flatten(run(update_rule('muon', OPTIM, schedule(), DECAY), tree(0)))
    adamw = rules.flatten(run(update_rule('adamw', OPTIM, schedule(), DECAY), tree(0)))
    for path, value in ours.items():
        assert np.array_equal(value, adamw[path]) == (path not in MATRICES), path


def test_momentum_of_muon_is_the_configured_one():
    params = tree(0)
    one, other = (run(update_rule('muon', Optim(momentum=m), schedule(), 0.0), params) for m in (0.9, 0.5))
    assert not np.allclose(
        one['backbone']['block0']['mlp']['fc1']['kernel'], other['backbone']['block0']['mlp']['fc1']['kernel']
    )


@pytest.mark.parametrize(('path', 'matrix'), MATRICES.items())
def test_axes_of_muon_make_these_matrices(path, matrix):
    shape = SHAPES[path]
    dimensions = muon_dimensions(path, shape)
    sides = [int(np.prod([shape[axis] for axis in axes])) for axes in dimensions]
    assert tuple(sides) == matrix
    assert dimensions.reduction_axis + dimensions.output_axis == tuple(range(len(shape)))


def test_attention_kernels_are_split_between_what_goes_in_and_what_comes_out():
    # Here the width is not heads times parts, as under a pooling by attention of another width.
    dimensions = update_rules.muon_dimensions
    assert dimensions('backbone/block0/attn/value/kernel', Role.VALUE, (10, 3, 4)) == ((0,), (1, 2))
    assert dimensions('backbone/block0/attn/out/kernel', Role.OUT, (3, 4, 10)) == ((0, 1), (2,))


def test_a_kernel_over_a_sequence_is_a_matrix_too():
    assert muon_dimensions('backbone/stage1/conv/kernel', (3, 8, 16)) == ((0, 1), (2,))
    assert muon_dimensions('backbone/stage1/conv/kernel', (3, 1, 16)) is None


@pytest.mark.parametrize('path', [path for path in SHAPES if path not in MATRICES])
def test_muon_does_not_take(path):
    assert muon_dimensions(path, SHAPES[path]) is None


def groups():
    """Two groups that share neither rule nor rate nor decay; each holds kernels, and what is none."""
    return {path: 'head' if path.startswith('head') or 'mlp' in path else 'body' for path in SHAPES}


@pytest.mark.parametrize(('body', 'head'), [('muon', 'sgd'), ('muon', 'muon'), ('lamb', 'lion'), ('adamw', 'adamw')])
def test_two_groups_equal_two_optimisers(body, head):
    transforms = {
        'body': update_rule(body, OPTIM, schedule(), DECAY),
        'head': update_rule(head, OPTIM, optax.constant_schedule(0.01), 0.0),
    }
    labels = groups()
    together = rules.flatten(run(optax.multi_transform(transforms, rules.unflatten(labels)), tree(0)))
    grads = [rules.flatten(tree(100 + step)) for step in range(3)]
    for group, transform in transforms.items():
        params = rules.unflatten({p: leaf for p, leaf in rules.flatten(tree(0)).items() if labels[p] == group})
        state, update = transform.init(params), jax.jit(transform.update)
        for grad in grads:
            mine = rules.unflatten({p: leaf for p, leaf in grad.items() if labels[p] == group})
            updates, state = update(mine, state, params)
            params = optax.apply_updates(params, updates)
        for path, value in rules.flatten(params).items():
            np.testing.assert_allclose(value, together[path], rtol=1e-5, atol=1e-6, err_msg=path)


def state_paths(optimizer, params):
    leaves, _ = jax.tree_util.tree_flatten_with_path(optimizer.init(params))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_state_is_of_the_groups_own_leaves_alone(name):
    labels = groups()
    transforms = {group: update_rule(name, OPTIM, schedule(), DECAY) for group in ('body', 'head')}
    optimizer = optax.multi_transform(transforms, rules.unflatten(labels))
    per_leaf = 2 if name in ('adamw', 'lamb') else 1
    held = dict.fromkeys(SHAPES, 0)
    for key, leaf in state_paths(optimizer, tree(0)).items():
        path = '/'.join(re.findall(r"\['([^']*)'\]", key[re.search(r'\.(mu|nu|trace)|$', key).end() :]))
        if path in SHAPES:
            held[path] += 1
            assert leaf.shape == SHAPES[path]
            assert f"inner_states['{labels[path]}']" in key
        else:
            assert leaf.size <= 3, key  # counts, and the coefficients of Muon's iteration
    extra = 1 if name == 'muon' else 0  # AdamW's second moment
    assert held == {path: per_leaf + extra * (path not in MATRICES) for path in SHAPES}


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_key_paths_of_the_state_do_not_depend_on_rates_decay_or_other_groups(name):
    params = tree(0)
    base = state_paths(update_rule(name, OPTIM, schedule(), DECAY), params)
    assert set(state_paths(update_rule(name, OPTIM, optax.constant_schedule(1.0), 0.0), params)) == set(base)
    fewer = {path: shape for path, shape in SHAPES.items() if not path.startswith('backbone/stage1')}
    assert set(state_paths(update_rule(name, OPTIM, schedule(), DECAY), tree(0, fewer))) < set(base)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_the_schedule_is_read_at_the_groups_own_count(name):
    """A rate of zero at first, then one: the first update moves nothing, the second does."""
    optimizer = update_rule(name, OPTIM, lambda count: jnp.where(count == 0, 0.0, 1.0), DECAY)
    params = tree(0)
    assert_equal(run(optimizer, params, 1), params)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), run(optimizer, params, 2), params)
    assert all(jax.tree.leaves(moved))


def test_an_unknown_name_is_one_clear_line():
    with pytest.raises(UserError, match=r"'adam' is not one of .*Did you mean 'adamw'"):
        update_rule('adam', OPTIM, schedule(), 0.0)


def test_sam_perturbation_is_optax_normalisation_times_rho():
    grads = tree(1)
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
    theirs, _ = adversary.update(grads, adversary.init(grads))
    ours = sam_perturbation(grads, 0.05)
    # `sgd` goes down, and the perturbation up.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -b, rtol=1e-5), ours, theirs)
    assert float(optax.tree.norm(ours)) == pytest.approx(0.05, rel=1e-5)


def test_sam_perturbation_of_a_zero_gradient_is_zero_and_keeps_types():
    grads = {'a': jnp.zeros(3, jnp.bfloat16), 'b': jnp.zeros(2)}
    ours = sam_perturbation(grads, 0.05)
    assert [leaf.dtype for leaf in jax.tree.leaves(ours)] == [jnp.bfloat16, jnp.float32]
    assert not any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(ours))


def test_sam_finds_the_worst_place_near_by():
    """On a quadratic, no other step of that length from this point raises the linearised loss more."""
    grads = {'a': jnp.array([3.0, 0.0]), 'b': jnp.array([4.0])}
    ours = sam_perturbation(grads, 0.5)
    np.testing.assert_allclose(np.concatenate([ours['a'], ours['b']]), [0.3, 0.0, 0.4], rtol=1e-6)
