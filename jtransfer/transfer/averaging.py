"""Networks averaged in weight space: WiSE-FT, uniform and greedy soups, and the moments that averaged networks need.

Pure functions over trees of variables. Everything is computed in float32; what is bit-identical in all networks stays
bit-identical in their average.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jtransfer import rules
from jtransfer.errors import UserError
from jtransfer.tasks.better import rank

Variables = Mapping[str, Any]
HEAD = 'params/head/.*'


class Greedy(NamedTuple):
    """What a greedy soup came to.

    Attributes:
        members: names of the networks in it, the best first.
        variables: their average, finished; the network itself where it is the only one.
        score: of these variables.
        own: score of every candidate by itself, by name, in the order in which they were tried.
    """

    members: tuple[str, ...]
    variables: Variables
    score: float
    own: dict[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Mean and biased variance of each channel over some values, and how many values a channel that is."""

    mean: Float[np.ndarray, ' channel']
    var: Float[np.ndarray, ' channel']
    count: int


def interpolate(source: Variables, tuned: Variables, alpha: float, *, keep: str = HEAD) -> dict[str, Any]:
    """The network on the line between the source and what was tuned from it: (1 - alpha) source + alpha tuned.

    WiSE-FT (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).

    Args:
        source: variables where training started.
        tuned: variables where it ended; outside `keep` the paths and shapes are those of the source.
        alpha: share of `tuned`, in [0, 1]. At 0 and 1 the values are those of one side, bit for bit.
        keep: pattern matched against whole '/'-joined paths (`re.fullmatch`): these are taken from `tuned` as they are,
            whatever the source holds there. A head that was made for the new classes has no other end. Empty: none.

    Returns:
        The tree of `tuned`, float32 where it was a floating type.

    Raises:
        UserError: `alpha` outside [0, 1], `keep` that is no pattern or matches nothing, whole numbers that differ, or
            the first path that the trees do not share, or not in the same shape.
    """
    if not 0 <= alpha <= 1:
        raise UserError(f'alpha={alpha} must be between 0 (the source) and 1 (the tuned network)')
    start, end = rules.flatten(source), rules.flatten(tuned)
    asked = [(keep, True)] if keep else []
    matches = rules.assign(asked, end, fallback=[('.*', False)])
    # What only the source has must show, unless the pattern speaks of it.
    matches |= rules.assign([], start.keys() - end.keys(), fallback=[*asked, ('.*', False)])
    kept = {path for path, match in matches.items() if match.value}
    _check_alike(_without(start, kept), _without(end, kept), ('the source', 'the other'))

    def mixed(path: str, leaf: Any) -> np.ndarray:
        if path in kept:
            return _float32(leaf)
        return _towards(path, _float32(start[path]), _float32(leaf), alpha)

    return rules.unflatten({path: mixed(path, leaf) for path, leaf in end.items()})


def uniform_soup(trees: Iterable[Variables], weights: Sequence[float] | None = None) -> dict[str, Any]:
    """The mean of several networks (Wortsman et al., Model soups, 2022).

    It is taken one network after the other, so that two are in memory when `trees` is a generator.

    Args:
        trees: variables with the same paths and shapes.
        weights: one a tree, > 0; they are divided by their sum. None: all alike.

    Returns:
        The tree of means, float32 where it was a floating type.

    Raises:
        UserError: no tree, weights that cannot be, integers that differ, or the first path that the trees do not share,
            or not in the same shape.
    """
    average: dict[str, Any] | None = None
    total, count = 0.0, 0
    for tree in trees:
        if weights is not None and count == len(weights):
            raise UserError(f'there are {len(weights)} weights, but more networks to average')
        weight = 1.0 if weights is None else float(weights[count])
        if not (weight > 0 and np.isfinite(weight)):
            raise UserError(f'weight {count} of the average is {weight}, but must be above 0 and finite')
        total, count = total + weight, count + 1
        average = _floats(tree) if average is None else _step(average, tree, weight / total)
    if average is None:
        raise UserError('there is no network to average')
    if weights is not None and count < len(weights):
        raise UserError(f'there are {len(weights)} weights for {count} networks')
    return average


def greedy_soup(
    candidates: Mapping[str, Variables],
    score: Callable[[Variables], float | tuple[float, float]],
    finish: Callable[[tuple[str, ...], Variables], Variables] = lambda members, average: average,
) -> Greedy:
    """Adds networks to a soup, the best first, wherever the held-out score does not get worse.

    The greedy recipe of Wortsman et al., Model soups, 2022 (recipe 1).

    Args:
        candidates: variables by name; asked for one at a time, so that they need not all be in memory.
        score: larger is better; of examples that are neither trained on nor reported (a validation part). With a loss
            beside it, the lower one goes first of equal scores.
        finish: from the names of the members and their mean to the network that is scored and returned: the place to
            correct running statistics. Not called for a network by itself.

    Returns:
        The soup; of candidates with equal scores and losses the earlier one is tried first.

    Raises:
        UserError: no candidate, a score that is not a number, or trees that differ, see `uniform_soup`.
    """
    if not candidates:
        raise UserError('there is no network to average')

    def scored(what: str, variables: Variables) -> tuple[float, float | None]:
        found = score(variables)
        value, loss = found if isinstance(found, tuple) else (float(found), None)
        if np.isnan(value):
            raise UserError(f'the score of {what} is not a number')
        return value, loss

    alone = {name: scored(name, candidates[name]) for name in candidates}
    # Reversed, sorting leaves equal ones in their order.
    order = sorted(alone, key=lambda name: rank(*alone[name]), reverse=True)
    own = {name: alone[name][0] for name in order}
    members: tuple[str, ...] = (order[0],)
    average = _floats(candidates[order[0]])
    finished: Variables = average
    best = own[order[0]]
    for name in order[1:]:
        tried = (*members, name)
        mean = _step(average, candidates[name], 1 / len(tried))
        network = finish(tried, mean)
        value, _ = scored(' + '.join(tried), network)
        if value >= best:
            members, average, best, finished = tried, mean, value, network
    return Greedy(members, finished, best, own)


def unmoved(trees: Iterable[Variables], prefix: str) -> tuple[str, ...]:
    """Paths of the modules below `prefix` whose leaves are bit-identical in all trees, without the prefix, sorted.

    Args:
        trees: variables with the same paths.
        prefix: a top-level name, such as `batch_stats`.
    """
    first: dict[str, np.ndarray] | None = None
    moved: set[str] = set()
    for tree in trees:
        leaves = {path: np.asarray(leaf) for path, leaf in rules.flatten(tree.get(prefix, {})).items()}
        first = leaves if first is None else first
        moved |= {_module(path) for path, leaf in leaves.items() if not _identical(leaf, first.get(path))}
    return tuple(sorted({_module(path) for path in first or {}} - moved))


def pool_moments(one: Moments, other: Moments) -> Moments:
    """The moments of both sets of values together, exactly (Chan et al., 1979)."""
    count = one.count + other.count
    distance = other.mean - one.mean
    share = other.count / count
    var = (1 - share) * one.var + share * other.var + share * (1 - share) * np.square(distance)
    return Moments(one.mean + share * distance, var, count)


def _identical(one: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def _without(leaves: Mapping[str, Any], paths: set[str]) -> dict[str, Any]:
    return {path: leaf for path, leaf in leaves.items() if path not in paths}


def _module(path: str) -> str:
    return path.rpartition('/')[0]


def _float32(leaf: Any) -> np.ndarray:
    """A leaf as NumPy, float32 where it is of a floating type."""
    array = np.asarray(leaf)
    # bfloat16 is no floating type to NumPy.
    return array.astype(np.float32, copy=False) if not _exact(array) else array


def _exact(array: np.ndarray) -> bool:
    return array.dtype.kind in 'biu'


def _floats(tree: Variables) -> dict[str, Any]:
    return rules.unflatten({path: _float32(leaf) for path, leaf in rules.flatten(tree).items()})


def _step(average: Variables, tree: Variables, share: float) -> dict[str, Any]:
    """The average, moved by a share of the way towards another tree."""
    start, end = rules.flatten(average), rules.flatten(tree)
    _check_alike(start, end, ('the first', 'another'))
    return rules.unflatten({path: _towards(path, leaf, _float32(end[path]), share) for path, leaf in start.items()})


def _towards(path: str, start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    if _exact(start) or _exact(end):
        if start.dtype != end.dtype or not np.array_equal(start, end):
            raise UserError(f"'{path}' holds whole numbers that differ: they cannot be averaged")
        return start
    if share in (0, 1):
        return end if share else start
    mixed = np.float32(1 - share) * start + np.float32(share) * end
    # Rounding must not move what never moved.
    return np.where(start == end, start, mixed)


def _check_alike(one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str]) -> None:
    for path in sorted(one.keys() ^ other.keys()):
        has, lacks = names if path in one else (names[1], names[0])
        raise UserError(f"the networks differ: {has} network has '{path}', {lacks} has not")
    for path, leaf in one.items():
        if np.shape(leaf) != np.shape(other[path]):
            raise UserError(
                f"the networks differ: '{path}' has shape {np.shape(leaf)} in {names[0]} network "
                f'and {np.shape(other[path])} in {names[1]}'
            )
