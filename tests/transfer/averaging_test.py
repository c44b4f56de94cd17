"""Averages against NumPy, and the greedy order by hand."""

import itertools
import weakref

import ml_dtypes
import numpy as np
import pytest

from jtransfer import rules
from jtransfer.errors import UserError
from jtransfer.transfer.averaging import Moments, greedy_soup, interpolate, pool_moments, uniform_soup, unmoved


def network(seed, **more):
    random = np.random.default_rng(seed)
    return {
        'params': {
            'backbone': {'stem': {'kernel': random.normal(size=(3, 4)).astype(np.float32)}},
            'head': {'bias': random.normal(size=2).astype(np.float32)},
        },
        'batch_stats': {'backbone': {'bn': {'mean': random.normal(size=4).astype(np.float32)}}},
        **more,
    }


def point(*values):
    """A network of as many numbers."""
    return {'params': {'backbone': {'kernel': np.array(values, np.float32)}}}


def assert_identical(one, other):
    one, other = rules.flatten(one), rules.flatten(other)
    assert one.keys() == other.keys()
    for path in one:
        assert one[path].dtype == other[path].dtype
        assert one[path].tobytes() == other[path].tobytes(), path


@pytest.mark.parametrize('alpha', [0.2, 0.5])
def test_interpolation_is_the_formula_and_keeps_the_head(alpha):
    source, tuned = network(0), network(1)
    mixed = interpolate(source, tuned, alpha)
    for path in ('params/backbone/stem/kernel', 'batch_stats/backbone/bn/mean'):
        one, other, ours = (rules.flatten(tree)[path] for tree in (source, tuned, mixed))
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, (1 - alpha) * one.astype(np.float64) + alpha * other, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(mixed['params']['head']['bias'], tuned['params']['head']['bias'])


def test_the_ends_of_the_line_are_the_networks_bit_for_bit():
    source, tuned = network(0), network(1)
    # The sign of zero would not survive a product with zero and a sum.
    source['params']['backbone']['stem']['kernel'][0, 0] = -0.0
    tuned['params']['backbone']['stem']['kernel'][0, 1] = -0.0
    assert_identical(interpolate(source, tuned, 1.0), tuned)
    assert_identical(interpolate(source, tuned, 0.0, keep=''), source)
    head = {'params': {**source['params'], 'head': tuned['params']['head']}, 'batch_stats': source['batch_stats']}
    assert_identical(interpolate(source, tuned, 0.0), head)


@pytest.mark.parametrize('alpha', [0.1, 0.3, 0.7])
def test_what_never_moved_does_not_move_by_rounding(alpha):
    assert_identical(interpolate(network(0), network(0), alpha), network(0))
    assert_identical(uniform_soup([network(0)] * 7), network(0))


def test_the_head_need_not_be_in_the_source_or_not_in_that_shape():
    tuned, bare, other = network(1), network(0), network(0)
    del bare['params']['head']
    other['params']['head'] = {'kernel': np.zeros((3, 9), np.float32)}
    for source in (bare, other):
        mixed = interpolate(source, tuned, 0.5)
        assert mixed['params'].keys() == {'backbone', 'head'}
        np.testing.assert_array_equal(mixed['params']['head']['bias'], tuned['params']['head']['bias'])
    with pytest.raises(UserError, match="the other network has 'params/head/bias', the source has not"):
        interpolate(bare, tuned, 0.5, keep='')


def test_floats_become_float32_and_whole_numbers_stay():
    counter = {'counter': {'steps': np.array(3, np.int32)}}
    half = network(1, **counter)
    half['params']['backbone']['stem']['kernel'] = half['params']['backbone']['stem']['kernel'].astype(
        ml_dtypes.bfloat16
    )
    for mixed in (interpolate(network(0, **counter), half, 1.0), uniform_soup([half, half])):
        assert mixed['params']['backbone']['stem']['kernel'].dtype == np.float32
        np.testing.assert_array_equal(
            mixed['params']['backbone']['stem']['kernel'],
            half['params']['backbone']['stem']['kernel'].astype(np.float32),
        )
        assert mixed['counter']['steps'] == 3
        assert mixed['counter']['steps'].dtype == np.int32
    differing = network(1, counter={'steps': np.array(4, np.int32)})
    for average in (lambda: uniform_soup([half, differing]), lambda: interpolate(half, differing, 0.5)):
        with pytest.raises(UserError, match="'counter/steps' holds whole numbers that differ"):
            average()


@pytest.mark.parametrize('weights', [None, (1.0, 2.0, 0.5)])
def test_a_uniform_soup_is_numpys_average_one_network_at_a_time(weights):
    made = []

    def trees():
        for seed in range(3):
            made.append(seed)
            yield network(seed)

    soup = rules.flatten(uniform_soup(trees(), weights))
    assert made == [0, 1, 2]
    alone = [rules.flatten(network(seed)) for seed in range(3)]
    for path, ours in soup.items():
        expected = np.average([leaves[path].astype(np.float64) for leaves in alone], axis=0, weights=weights)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


BAD = {
    'no network': (lambda: uniform_soup([]), 'there is no network to average'),
    'no candidate': (lambda: greedy_soup({}, lambda tree: 0.0), 'there is no network to average'),
    'few weights': (lambda: uniform_soup([network(0)] * 3, [1.0, 1.0]), 'there are 2 weights, but more networks'),
    'many weights': (lambda: uniform_soup([network(0)], [1.0, 1.0]), 'there are 2 weights for 1 networks'),
    'a weight of zero': (lambda: uniform_soup([network(0)] * 2, [1.0, 0.0]), 'weight 1 of the average is 0.0'),
    'a weight without end': (lambda: uniform_soup([network(0)], [np.inf]), 'weight 0 of the average is inf'),
    'another shape': (
        lambda: uniform_soup([point(1, 2), point(1)]),
        r"'params/backbone/kernel' has shape \(2,\) in the first network and \(1,\) in another",
    ),
    'a path too many': (
        lambda: uniform_soup([point(1), network(0)]),
        "another network has 'batch_stats/backbone/bn/mean', the first has not",
    ),
    'a path too few': (
        lambda: interpolate(network(0), {'params': network(0)['params']}, 0.5),
        "the source network has 'batch_stats/backbone/bn/mean', the other has not",
    ),
    'beyond the ends': (lambda: interpolate(network(0), network(1), 1.1), r'alpha=1.1 must be between 0'),
    'no alpha': (lambda: interpolate(network(0), network(1), float('nan')), r'alpha=nan must be between 0'),
    'a pattern without a match': (
        lambda: interpolate(network(0), network(1), 0.5, keep='head/.*'),
        r"the rule 'head/\.\*' matches no parameter",
    ),
    'no pattern': (lambda: interpolate(network(0), network(1), 0.5, keep='('), 'is not a regular expression'),
    'a score that is none': (
        lambda: greedy_soup({'a': point(1)}, lambda tree: float('nan')),
        'the score of a is not a number',
    ),
}


@pytest.mark.parametrize('what', BAD)
def test_what_cannot_be_averaged_is_said_in_a_line(what):
    make, message = BAD[what]
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert '\n' not in str(caught.value)


def nearness(goal):
    """A score: the closer to the goal, the better."""
    return lambda tree: -float(np.abs(tree['params']['backbone']['kernel'] - np.float32(goal)).max())


def test_a_greedy_soup_leaves_a_harmful_member_out():
    # Goal 0. Alone: far -9, left -2, right -3. Tried in order left, right, far: left and right average to 0.5 (better);
    # with far it would be 10/3 (worse).
    candidates = {'far': point(9), 'left': point(-2), 'right': point(3)}
    soup = greedy_soup(candidates, nearness(0))
    assert soup.members == ('left', 'right')
    assert list(soup.own.items()) == [('left', -2.0), ('right', -3.0), ('far', -9.0)]
    assert soup.score == -0.5
    np.testing.assert_array_equal(soup.variables['params']['backbone']['kernel'], [0.5])


def test_a_member_that_is_left_out_leaves_no_trace():
    # In order: a (1), b (-1.5): mean -0.25; c (8) would give 2.5 and stays out; d (-9) would give (1 - 1.5 - 9)/3.
    soup = greedy_soup({'d': point(-9), 'c': point(8), 'b': point(-1.5), 'a': point(1)}, nearness(0))
    assert soup.members == ('a', 'b')
    np.testing.assert_array_equal(soup.variables['params']['backbone']['kernel'], [-0.25])


def test_an_equal_score_is_not_worse_and_ties_are_tried_as_given():
    # Averages of one and the same score all go in, in the order given.
    soup = greedy_soup({'b': point(1), 'a': point(2), 'c': point(6)}, lambda tree: 0.5)
    assert soup.members == ('b', 'a', 'c')
    np.testing.assert_allclose(soup.variables['params']['backbone']['kernel'], [3])
    # Of two equal ones the first decides: at 1 or at -1, each alone 2 away from its side of the goal.
    first = greedy_soup({'up': point(1, 0), 'down': point(-1, 0)}, nearness(0))
    assert first.members == ('up', 'down')


def test_of_equal_scores_the_lower_loss_goes_first():
    soup = greedy_soup({'unsure': point(1), 'sure': point(2)}, lambda tree: (0.5, -nearness(2)(tree)))
    assert soup.members == ('sure', 'unsure')
    assert (soup.score, soup.own) == (0.5, {'sure': 0.5, 'unsure': 0.5})


def test_the_best_alone_is_returned_untouched():
    finished = []

    def finish(members, average):
        finished.append(members)
        return average

    best = point(0.1, -0.0)
    soup = greedy_soup({'bad': point(5, 5), 'best': best, 'worse': point(-6, 1)}, nearness(0), finish)
    assert soup.members == ('best',)
    assert_identical(soup.variables, best)
    assert finished == [('best', 'bad'), ('best', 'worse')]


def test_what_is_finished_is_what_is_scored_and_returned_but_not_averaged_on():
    # Finishing takes averages to the goal, so that every one is kept; the mean of all must still be the plain one.
    seen = []

    def finish(members, average):
        seen.append(float(average['params']['backbone']['kernel'][0]))
        return point(0)

    soup = greedy_soup({'a': point(1), 'b': point(2), 'c': point(6)}, nearness(0), finish)
    assert soup.members == ('a', 'b', 'c')
    assert seen == [1.5, pytest.approx(3)]
    assert soup.score == 0
    np.testing.assert_array_equal(soup.variables['params']['backbone']['kernel'], [0])


def test_candidates_need_not_be_in_memory_together():
    alive, most = weakref.WeakSet(), []

    class Kernel(np.ndarray):
        """An array by its own identity, so that a set can hold it."""

        __hash__ = object.__hash__
        __eq__ = object.__eq__

    class Files(dict):
        def __getitem__(self, name):
            kernel = np.array([super().__getitem__(name)], np.float32).view(Kernel)
            alive.add(kernel)
            return {'params': {'backbone': {'kernel': kernel}}}

    def score(tree):
        most.append(len(alive))
        return 0.5

    greedy_soup(Files({str(number): float(number) for number in range(6)}), score)
    assert len(most) == 6 + 5
    assert max(most) <= 2


def test_modules_that_never_moved():
    def statistics(first, second):
        leaves = {'backbone/one/bn/mean': first, 'backbone/one/bn/var': 1.0, 'backbone/two/bn/mean': second}
        return {'batch_stats': rules.unflatten({path: np.float32([value]) for path, value in leaves.items()})}

    trees = [statistics(0, 1), statistics(0, 2), statistics(0, 1)]
    assert unmoved(trees, 'batch_stats') == ('backbone/one/bn',)
    assert unmoved(trees[:1], 'batch_stats') == ('backbone/one/bn', 'backbone/two/bn')
    # The sign of zero is a bit like any other.
    assert unmoved([statistics(0, 1), statistics(-0.0, 1)], 'batch_stats') == ('backbone/two/bn',)
    assert unmoved([point(1), point(2)], 'batch_stats') == ()


def test_pooled_moments_are_those_of_all_values():
    random = np.random.default_rng(0)
    values = random.normal(50, 3, (60, 4)) + np.repeat([0, 1, 5], 20)[:, None]
    pieces = np.split(values, [7, 20, 21, 50])
    pooled = None
    for piece in pieces:
        moments = Moments(piece.mean(0), piece.var(0), len(piece))
        pooled = moments if pooled is None else pool_moments(pooled, moments)
    assert pooled.count == 60
    np.testing.assert_allclose(pooled.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(pooled.var, values.var(0), rtol=1e-12)
    one, other = (Moments(piece.mean(0), piece.var(0), len(piece)) for piece in itertools.islice(pieces, 2))
    np.testing.assert_allclose(pool_moments(one, other).var, pool_moments(other, one).var, rtol=1e-12)
