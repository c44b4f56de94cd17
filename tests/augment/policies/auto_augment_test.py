"""AutoAugment: the learned pairs, their probabilities and magnitudes."""

import collections
import functools

import jax
import numpy as np
import pytest
from scipy import stats

from jtransfer.augment.layers import NUMBERS, OPS
from jtransfer.augment.policies import auto_augment
from jtransfer.errors import UserError

SHAPE = (20, 36)
COUNT = 5000
POLICIES = auto_augment.POLICIES


@functools.cache
def drawn(policy):
    keys = jax.random.split(jax.random.key(0), COUNT)
    layers = jax.jit(lambda keys: auto_augment.draw(keys, SHAPE, policy=policy))(keys)
    return np.stack([layer.op for layer in layers]), np.stack([layer.level for layer in layers])


@pytest.mark.parametrize('policy', POLICIES)
def test_pairs_happen_as_often_as_their_probabilities_say(policy):
    expected = collections.Counter()
    for (first, chance1, _), (second, chance2, _) in POLICIES[policy]:
        for one, share1 in ((first, chance1), ('identity', 1 - chance1)):
            for two, share2 in ((second, chance2), ('identity', 1 - chance2)):
                expected[one, two] += COUNT * share1 * share2 / 25
    found = collections.Counter((OPS[one], OPS[two]) for one, two in drawn(policy)[0].T)
    assert all(expected[pair] > 0 for pair in found)
    # Rare pairs are counted together.
    common = [pair for pair, count in expected.items() if count >= 10]
    counts = [[table[pair] for pair in common] for table in (found, expected)]
    counts = [[*row, COUNT - sum(row)] for row in counts]
    if counts[1][-1] < 1e-6:
        counts = [row[:-1] for row in counts]
    assert stats.chisquare(*counts).pvalue > 0.01


@pytest.mark.parametrize('policy', POLICIES)
def test_levels_are_those_of_the_bins_with_even_signs(policy):
    op, level = drawn(policy)
    space = auto_augment.space(SHAPE)
    signs = []
    for place in range(2):
        for name in auto_augment.used(policy):
            values = level[place][op[place] == NUMBERS[name]]
            neutral = float(name in ('brightness', 'color', 'contrast', 'sharpness'))
            signed = neutral or name in ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y')
            bins = {step[2] for step in (pair[place] for pair in POLICIES[policy]) if step[0] == name and step[1] > 0}
            magnitudes = {float(space[name][number]) for number in bins}
            expected = {neutral + sign * size for size in magnitudes for sign in ((-1, 1) if signed else (1,))}
            np.testing.assert_allclose(np.unique(values), sorted(expected), rtol=1e-5, err_msg=name)
            if signed:
                signs.extend(values[np.abs(values - neutral) > 1e-6] > neutral)
    assert stats.binomtest(int(np.sum(signs)), len(signs)).pvalue > 0.01


def test_an_unknown_policy_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="'mnist' is not one of imagenet, cifar10, svhn"):
        auto_augment.draw(jax.random.split(jax.random.key(0), 2), SHAPE, policy='mnist')


@pytest.mark.parity
def test_tables_are_torchvisions():
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    assert [policy.value for policy in AutoAugmentPolicy] == list(POLICIES)
    for policy in AutoAugmentPolicy:
        for ours, theirs in zip(POLICIES[policy.value], AutoAugment(policy).policies, strict=True):
            for (name, probability, number), (their_name, their_probability, their_number) in zip(
                ours, theirs, strict=True
            ):
                assert name.replace('_', '') == their_name.lower()
                assert (probability, number) == (their_probability, their_number or 0)
    for shape in (SHAPE, (224, 224), (32, 32)):
        theirs = AutoAugment()._augmentation_space(auto_augment.BINS, shape)
        space = auto_augment.space(shape)
        assert [name.lower() for name in theirs] == [name.replace('_', '') for name in space]
        for (name, ours), (magnitudes, _) in zip(space.items(), theirs.values(), strict=True):
            expected = np.atleast_1d(magnitudes.numpy())
            if name.startswith('translate'):
                # They cut to whole pixels (and lose one where single precision puts 16 just below it; we do not).
                expected = np.trunc(expected + 1e-4)
            np.testing.assert_allclose(ours, expected, rtol=1e-6, err_msg=name)
