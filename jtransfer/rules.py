"""Ordered `(pattern, value)` rules over '/'-joined parameter paths: the one engine behind every per-parameter choice.

Rules are tried in order, the pattern has to match the whole path (`re.fullmatch`), and the first match wins. A
parameter that no rule covers is an error, and so is a rule that has no effect: a misspelt pattern never passes in
silence. (The idea of ordered regular-expression rules is big_vision's; the strictness is ours.)
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from flax import traverse_util

from jtransfer.errors import UserError

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Where:
    """A rule's condition that says more than a pattern can.

    Attributes:
        pattern: what the rule is called, in the place of a pattern.
        holds: whether a '/'-joined path is meant.
    """

    pattern: str
    holds: Callable[[str], bool]


class Match(NamedTuple):
    """The rule a path fell under: its pattern, and its value."""

    pattern: str
    value: Any


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a nested dictionary by '/'-joined path.

    >>> flatten({'head': {'kernel': 1, 'bias': 2}})
    {'head/kernel': 1, 'head/bias': 2}
    """
    return traverse_util.flatten_dict(tree, sep='/')


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested dictionary that `flatten` took apart.

    >>> unflatten({'head/kernel': 1, 'head/bias': 2})
    {'head': {'kernel': 1, 'bias': 2}}
    """
    return traverse_util.unflatten_dict(leaves, sep='/')


def assign(
    rules: Sequence[tuple[str, T]], paths: Iterable[str], *, fallback: Sequence[tuple[str | Where, T]] = ()
) -> dict[str, Match]:
    """Gives every path the first rule that matches it.

    >>> assign([('head/.*', 'train')], ['head/bias', 'backbone/bias'], fallback=[('.*', 'freeze')])
    {'head/bias': Match(pattern='head/.*', value='train'), 'backbone/bias': Match(pattern='.*', value='freeze')}

    Args:
        rules: `(pattern, value)` pairs somebody wrote down, so that each must decide at least one path.
        paths: '/'-joined parameter paths.
        fallback: rules tried after those, which may be left without a path.

    Raises:
        UserError: a pattern that is no regular expression, that matches nothing or only what earlier rules have
            taken, or a path that no rule covers.
    """
    paths = list(paths)
    compiled = [(_compile(pattern), pattern, value) for pattern, value in rules]
    tests = [(*_test(pattern), value) for pattern, value in (*rules, *fallback)]
    assigned: dict[str, Match] = {}
    used: set[int] = set()
    uncovered = []
    for path in paths:
        for index, (holds, pattern, value) in enumerate(tests):
            if holds(path):
                assigned[path] = Match(pattern, value)
                used.add(index)
                break
        else:
            uncovered.append(path)
    for index, (regex, pattern, _) in enumerate(compiled):
        if index not in used:
            raise _no_effect(regex, pattern, paths)
    if uncovered:
        raise UserError(f'no rule covers {_listing(uncovered)}; add a last rule, such as (".*", "freeze")')
    return assigned


def _test(pattern: str | Where) -> tuple[Callable[[str], Any], str]:
    return (pattern.holds, pattern.pattern) if isinstance(pattern, Where) else (_compile(pattern).fullmatch, pattern)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(f"the rule '{pattern}' is not a regular expression: {error}") from None


def _no_effect(regex: re.Pattern[str], pattern: str, paths: Sequence[str]) -> UserError:
    if any(regex.fullmatch(path) for path in paths):
        return UserError(
            f"the rule '{pattern}' has no effect: earlier rules take every parameter it matches; move it up"
        )
    # A pattern that fits the start of a path most often lacks its '/.*'.
    partial = [path for path in paths if regex.match(path)]
    if partial:
        return UserError(
            f"the rule '{pattern}' matches no parameter as a whole; '{pattern.rstrip('/')}/.*' would match "
            f'{_listing([p for p in paths if re.match(pattern.rstrip("/") + "/.*", p)] or partial)}'
        )
    literal = re.sub(r'[\\^$.*+?()\[\]{}|]', '', pattern).rstrip('/')
    prefixes = {path.rsplit('/', depth)[0] for path in paths for depth in range(path.count('/') + 1)}
    close = difflib.get_close_matches(literal, prefixes, n=3, cutoff=0.3)
    return UserError(
        f"the rule '{pattern}' matches no parameter; the nearest paths are {', '.join(sorted(close) or paths[:3])}"
    )


def _listing(paths: Sequence[str], most: int = 3) -> str:
    more = f' and {len(paths) - most} more' if len(paths) > most else ''
    return ', '.join(paths[:most]) + more
