"""Names of published tensors and ours: one declarative table a naming, read in both directions.

A table is a list of rules `theirs → ours` with the transformation between the two layouts. A name is a pattern with
placeholders for numbers: `layer{s}.{b}.conv{c}.weight` stands for `layer1.0.conv2.weight`, and
`params/backbone/stage{s}/block{b}/conv{c}/kernel` is what it is called here. `{s+1}` is the number plus one and
`{s+1:02}` the same in two digits, so that `stages.{s}` and `stage{s+1}` are one rule.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from jtransfer.errors import UserError
from jtransfer.pretrained.files.unread import kind_of
from jtransfer.pretrained.load.layouts import SAME, Layout

Shape = tuple[int, ...]

_PLACEHOLDER = re.compile(r'\{(\w+?)([+-]\d+)?(?::(\d+))?\}')
_DIGITS = re.compile('[0-9]+')
_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A name with numbers left open.

    >>> Pattern('block{k+1}/unit{j+1:02}').match('block2/unit03')
    {'k': 1, 'j': 2}
    >>> Pattern('stages.{k}.blocks.{j}').format({'k': 1, 'j': 2})
    'stages.1.blocks.2'
    """

    text: str

    @functools.cached_property
    def _regex(self) -> re.Pattern[str]:
        parts, end = [], 0
        for found in _PLACEHOLDER.finditer(self.text):
            parts += [re.escape(self.text[end : found.start()]), rf'(?P<{found[1]}>[0-9]{{1,6}})']
            end = found.end()
        return re.compile(''.join([*parts, re.escape(self.text[end:])]))

    @functools.cached_property
    def outline(self) -> str:
        """What it shares with every name that fits: see `outline_of`."""
        return outline_of(_PLACEHOLDER.sub('0', self.text))

    def match(self, name: str) -> dict[str, int] | None:
        """The numbers in a name, None where it does not fit."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        offsets = {p[1]: int(p[2] or 0) for p in _PLACEHOLDER.finditer(self.text)}
        numbers = {key: int(text) - offsets[key] for key, text in found.groupdict().items()}
        # 'unit1' is not 'unit01', and no index is below zero.
        return numbers if min(numbers.values(), default=0) >= 0 and self.format(numbers) == name else None

    def format(self, numbers: Mapping[str, int]) -> str:
        """The name with these numbers."""
        return _PLACEHOLDER.sub(lambda p: f'{numbers[p[1]] + int(p[2] or 0):0{p[3] or 1}}', self.text)


def outline_of(name: str) -> str:
    """A name without its numbers, `layer#.#.conv#.weight`: what rules are looked up by."""
    return _DIGITS.sub('#', name)


@dataclasses.dataclass(frozen=True)
class Rule:
    """One published tensor and its place here.

    Attributes:
        theirs: pattern of the published name.
        ours: pattern, or patterns where one published tensor is several of ours (a fused q, k, v).
        layout: the transformation between them.
    """

    theirs: str
    ours: str | tuple[str, ...]
    layout: Layout = SAME

    @functools.cached_property
    def source(self) -> Pattern:
        """`theirs`, compiled."""
        return Pattern(self.theirs)

    @functools.cached_property
    def targets(self) -> tuple[Pattern, ...]:
        """`ours`, compiled."""
        return tuple(Pattern(text) for text in ((self.ours,) if isinstance(self.ours, str) else self.ours))


@dataclasses.dataclass(frozen=True)
class Converted:
    """A file's tensors under our names.

    Attributes:
        values: by our path (`params/…`, `batch_stats/…`), views of the file's arrays where that is possible.
        names: the file's name by our path.
        ignored: names in the file that have no place in the network and need none.
        unknown: names in the file that no rule explains.
    """

    values: dict[str, np.ndarray]
    names: dict[str, str]
    ignored: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class NameMap:
    """How one source names the tensors of a family.

    Attributes:
        name: of the naming: `timm`, `huggingface`, ….
        rules: the table; the first rule that fits decides.
        wrappers: prefixes that some files put before every name (`module.`), taken off.
        base: a prefix of the published names that files of the bare backbone lack (`vit.`).
        ignored: regular expressions (`re.fullmatch`) of names that are known to have no place here.
        constants: biases of ours that the naming does not store, by path: one value, as wide as their kernel.
        positions: how this source resizes position embeddings, see `positions.resize_positions`.
        batch_counters: whether every batch normalisation has a `num_batches_tracked` (torch).
        options: fields of the backbone that files of this naming need otherwise than the variant has them (Keras's
            epsilon); for a file that nothing else is known of.
        preprocessing: fields of `ImagePreprocessor`, in the same way.
    """

    name: str
    rules: tuple[Rule, ...]
    wrappers: tuple[str, ...] = ()
    base: str = ''
    ignored: tuple[str, ...] = ()
    constants: Mapping[str, float] = dataclasses.field(default_factory=dict)
    positions: str = 'bicubic_antialias'
    batch_counters: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_ours(self, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape]) -> Converted:
        """Renames a file's tensors and brings them into our layouts.

        Args:
            arrays: the file's, by its names.
            shapes: of the network's tensors by our path (to know the number of heads).

        Raises:
            UserError: a mapped tensor that does not hold floating-point numbers, or whose shape its layout cannot
                take.
        """
        values: dict[str, np.ndarray] = {}
        names: dict[str, str] = {}
        ignored: list[str] = []
        unknown: list[str] = []
        for name, array in arrays.items():
            found = self._find(self._unwrapped(name))
            if found is None:
                (ignored if self._is_ignored(self._unwrapped(name)) else unknown).append(name)
                continue
            rule, paths = found
            for path, value in zip(paths, _convert(rule.layout, name, array, paths, shapes), strict=True):
                if path in values:
                    raise UserError(f"the file has '{names[path]}' and '{name}', which are the same tensor {path}")
                values[path] = value
                names[path] = name
        for path, constant in self.constants.items():
            kernel = values.get(f'{path.rpartition("/")[0]}/kernel')
            if kernel is not None and path not in values:
                values[path] = np.full(kernel.shape[-1:], constant, np.float32)
        return Converted(values, names, tuple(ignored), tuple(unknown))

    def explains(self, names: Sequence[str]) -> int:
        """How many of a file's names this naming knows, the ignored ones included."""
        plain = [self._unwrapped(name) for name in names]
        return sum(self._find(name) is not None or self._is_ignored(name) for name in plain)

    def places(self, names: Sequence[str]) -> int:
        """How many of a file's names have a place in the network."""
        return sum(self._find(self._unwrapped(name)) is not None for name in names)

    def to_theirs(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inverse of `to_ours`: the published names and layouts.

        Args:
            values: the network's tensors by our path.

        Raises:
            UserError: a tensor that this naming cannot express.
        """
        parts: dict[str, tuple[Rule, dict[str, np.ndarray]]] = {}
        for path, value in values.items():
            rule, name = self._name_of(path)
            if rule is None:
                constant = self.constants.get(path)
                if constant is None:
                    raise UserError(f"the naming '{self.name}' has no name for {path}")
                if not (np.asarray(value) == constant).all():
                    raise UserError(
                        f"the naming '{self.name}' has no place for {path}: it holds other values than {constant}"
                    )
                continue
            parts.setdefault(name, (rule, {}))[1][path] = np.asarray(value)
        exported = {}
        for name, (rule, pieces) in parts.items():
            numbers = rule.source.match(name) or {}
            paths = [target.format(numbers) for target in rule.targets]
            if missing := [path for path in paths if path not in pieces]:
                raise UserError(f"'{name}' also needs {missing[0]}, which the network does not have")
            exported[name] = np.ascontiguousarray(rule.layout.export([pieces[path] for path in paths]))
            if self.batch_counters and name.endswith('running_mean'):
                exported[f'{name.removesuffix("running_mean")}num_batches_tracked'] = np.zeros((), np.int64)
        return exported

    def name_of(self, path: str) -> str:
        """The published name of one of our paths, '' where there is none."""
        return self._name_of(path)[1]

    @functools.cached_property
    def _by_source(self) -> dict[str, list[Rule]]:
        """The rules that may know a published name, in order, by its outline; a table may have hundreds."""
        found: dict[str, list[Rule]] = {}
        for rule in self.rules:
            found.setdefault(rule.source.outline, []).append(rule)
        return found

    @functools.cached_property
    def _by_target(self) -> dict[str, list[tuple[Rule, Pattern]]]:
        """Likewise for our paths."""
        found: dict[str, list[tuple[Rule, Pattern]]] = {}
        for rule in self.rules:
            for target in rule.targets:
                found.setdefault(target.outline, []).append((rule, target))
        return found

    def _name_of(self, path: str) -> tuple[Rule | None, str]:
        for rule, target in self._by_target.get(outline_of(path), ()):
            numbers = target.match(path)
            if numbers is not None:
                return rule, rule.source.format(numbers)
        return None, ''

    def _find(self, name: str) -> tuple[Rule, list[str]] | None:
        # A file of the bare backbone lacks the base prefix.
        for candidate in (name, self.base + name) if self.base else (name,):
            for rule in self._by_source.get(outline_of(candidate), ()):
                numbers = rule.source.match(candidate)
                if numbers is not None:
                    return rule, [target.format(numbers) for target in rule.targets]
        return None

    def _unwrapped(self, name: str) -> str:
        for wrapper in self.wrappers:
            if name.startswith(wrapper):
                return name.removeprefix(wrapper)
        return name

    def _is_ignored(self, name: str) -> bool:
        return any(re.fullmatch(pattern, name) for pattern in self.ignored)


def choose(namings: Sequence[NameMap], names: Sequence[str], source: str) -> NameMap:
    """The naming that a file follows: the one that explains most of its names and places most of those.

    Args:
        namings: those of the family, the most usual first.
        names: of the file's tensors.
        source: the file, for the message.

    Raises:
        UserError: no naming explains all of them; the message lists what the best one does not know.
    """
    best = max(namings, key=lambda naming: (naming.explains(names), naming.places(names)))
    unknown = [name for name in names if not best.explains([name])]
    if not unknown and best.places(names):
        return best
    tried = ', '.join(naming.name for naming in namings)
    if not best.places(names):
        raise UserError(
            f'{source}: none of its {len(names)} tensors ({_listing(names)}) is known by the namings {tried}'
        )
    example = best.rules[0].theirs
    close = difflib.get_close_matches(unknown[0], [rule.theirs for rule in best.rules], n=1, cutoff=0.5)
    hint = f"; nearest: '{close[0]}'" if close else f"; its names look like '{example}'"
    raise UserError(
        f"{source}: tensors that have no place in the network under the naming '{best.name}' "
        f'({len(unknown)}): {_listing(unknown)}{hint} (namings tried: {tried})'
    )


def _convert(
    layout: Layout, name: str, array: np.ndarray, paths: Sequence[str], shapes: Mapping[str, Shape]
) -> Sequence[np.ndarray]:
    # ml_dtypes' bfloat16 has the kind 'V' as NumPy sees it.
    if array.dtype.kind != 'f' and array.dtype != ml_dtypes.bfloat16:
        raise UserError(f"tensor '{name}' holds {kind_of(array)}, where floating-point numbers belong")
    try:
        return layout.load(array, [shapes.get(path, ()) for path in paths])
    except (ValueError, IndexError) as error:
        wanted = ', '.join(f'{path} {shapes.get(path, "(no such tensor)")}' for path in paths)
        raise UserError(f"tensor '{name}' of shape {array.shape} does not fit {wanted}: {error}") from None


def _listing(names: Sequence[str]) -> str:
    more = f' … {len(names) - _LISTED} more' if len(names) > _LISTED else ''
    return ', '.join(names[:_LISTED]) + more
