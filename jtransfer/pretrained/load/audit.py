"""The audited load: every stored tensor finds its place, or the person is told.

Nothing is guessed. Outside the head, a tensor that is missing, left over or of another shape is an error; what may
differ (a new head, position embeddings at another resolution) is in the report.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array

from jtransfer.errors import UserError
from jtransfer.pretrained.files.safetensors import release
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.load.stored import head_outputs

# The parameters of the head, or of several, and the statistics of auxiliary heads.
BACKBONE = 'params/backbone/'
HEAD = ('params/head/', 'params/heads/', 'batch_stats/head/')
_LISTED = 5

Shape = tuple[int, ...]


def same_shape(path: str, stored: np.ndarray, shape: Shape) -> Any | None:
    """The stored value, where it has the shape that is needed; see the argument `fit` of `load_into`."""
    return stored if stored.shape == shape else None


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of every tensor; paths are '/'-joined, `params/…` or `batch_stats/…`, and sorted.

    Attributes:
        source: the file; empty: no file, random weights.
        loaded: taken as they were stored.
        resized: position embeddings resampled to another grid of patches, and the first kernel fitted to another number
            of image channels.
        re_initialised: fresh, nothing was taken from the file.
        ignored: stored, and not used: our paths for a head that was replaced, the file's names for what has no place.
        shapes: of the network's tensors by path.
        stored_shapes: of the stored tensors by path.
        notes: what else a person should know, in a few words each.
    """

    source: str = ''
    loaded: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()
    re_initialised: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    shapes: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    stored_shapes: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for people."""
        elements = sum(math.prod(self.shapes[path]) for path in (*self.loaded, *self.resized))
        if not elements:
            return f'random weights: all {len(self.re_initialised)} tensors initialised'
        parts = [f'loaded {len(self.loaded)} tensors from {self.source} ({elements:,} values)']
        parts += [f'resized {path} {self.stored_shapes[path]} → {self.shapes[path]}' for path in self.resized]
        dropped = [path for path in self.ignored if heads.head_of(path)]
        kept = [path for path in self.loaded if heads.head_of(path)]
        if self.re_initialised:
            name, verb, detail = _heads(dropped, self.stored_shapes)
            stored = f'the stored {name}{detail}, {verb} ignored' if dropped else 'none was stored'
            name, _, detail = _heads(self.re_initialised, self.shapes)
            parts.append(f're-initialised the {name}{detail} ({stored})')
        elif dropped:
            name, _, detail = _heads(dropped, self.stored_shapes)
            parts.append(f'ignored the stored {name}{detail}')
        if kept:
            name, verb, detail = _heads(kept, self.shapes)
            parts.append(f'the stored {name} {verb} kept{detail}')
        if others := [name for name in self.ignored if name not in dropped]:
            parts.append(f'ignored {len(others)} tensors that have no place in the network, such as {others[0]}')
        return '; '.join([*parts, *self.notes])

    def table(self) -> str:
        """One line per tensor: what became of it, its path, its shape, and the stored shape where that differs."""
        rows = []
        for outcome in ('loaded', 'resized', 're_initialised', 'ignored'):
            for path in getattr(self, outcome):
                stored, shape = self.stored_shapes.get(path), self.shapes.get(path)
                note = f'stored {stored}' if stored is not None and stored != shape else ''
                own = '' if outcome == 'ignored' or shape is None else str(shape)
                rows.append((outcome.replace('_', '-'), path, own, note))
        rows.sort(key=lambda row: row[1])
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
        return '\n'.join(
            '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def load_into(
    target: Mapping[str, Any],
    stored: Mapping[str, Any],
    *,
    source: str,
    fit: Callable[[str, np.ndarray, Shape], Any | None] = same_shape,
    fresh: Collection[str] = (),
    make_fresh: Callable[[], Mapping[str, Any]] = dict,
    ignored: Mapping[str, Shape] | None = None,
    name_of: Callable[[str], str] = lambda path: '',
) -> tuple[dict[str, Any], LoadReport]:
    """Puts stored values into a network's variables.

    Args:
        target: the network's variables, nested; only shapes are read, so `jax.eval_shape(network.init, …)` will do.
        stored: the checkpoint's variables, nested, in any floating-point type.
        source: the checkpoint's file, for messages and the report.
        fit: from a path, a stored value and the shape that is needed to the value in that shape (itself where there is
            nothing to fit), or None where that cannot be.
        fresh: paths of the variables of new heads, which are not the file's. Every other head of the network is the
            stored one, and stored heads that it has not are dropped.
        make_fresh: makes them, nested, once all else is known to fit.
        ignored: shapes of what the file also holds and nothing needs, by its names, for the report.
        name_of: the file's name of one of our paths, for messages; '' where there is none.

    Returns:
        The variables, nested, float32, with the target's structure and shapes; and the report.

    Raises:
        UserError: outside a new head, a tensor that is missing, unexpected or of a shape that cannot be fitted; the
            message lists them, with the nearest stored names.
    """
    wanted = {path: tuple(leaf.shape) for path, leaf in _flatten(target).items()}
    have = {path: np.asarray(value) for path, value in _flatten(stored).items()}
    # '' is among them: what is outside the heads is kept, too.
    own = {'', *(heads.head_of(path) for path in wanted if path not in fresh)}
    kept = {path: value for path, value in have.items() if heads.head_of(path) in own}
    _check_names(source, [path for path in wanted if path not in fresh], list(kept), name_of)

    fitted = {path: fit(path, kept[path], shape) for path, shape in wanted.items() if path not in fresh}
    _check_shapes(source, {path: kept[path].shape for path, value in fitted.items() if value is None}, wanted, name_of)
    made = _flatten(make_fresh())
    values: dict[str, Array] = {path: jnp.asarray(made[path], jnp.float32) for path in fresh}
    resized: list[str] = []
    for path in fitted:
        # A copy: the file may be mapped into memory, and change.
        with np.errstate(over='ignore'):
            value = np.array(fitted[path], np.float32, order='C')
        if kept[path].dtype == np.float64 and not np.isfinite(value).all():
            raise UserError(f"{source}: {path} ('{name_of(path)}') holds float64 values beyond float32")
        values[path] = jnp.array(value, copy=True)  # never NumPy's memory: steps give theirs away
        release(kept[path])
        if fitted[path] is not kept[path]:
            resized.append(path)

    ignored = dict(sorted((ignored or {}).items()))
    report = LoadReport(
        source=source,
        loaded=tuple(sorted(set(kept) - set(resized))),
        resized=tuple(sorted(resized)),
        re_initialised=tuple(sorted(fresh)),
        ignored=(*sorted(set(have) - set(kept)), *ignored),
        shapes=dict(sorted(wanted.items())),
        stored_shapes={path: tuple(value.shape) for path, value in sorted(have.items())} | ignored,
    )
    return traverse_util.unflatten_dict(values, sep='/'), report


def random_report(variables: Mapping[str, Any]) -> LoadReport:
    """The report for a network of random weights."""
    shapes = {path: tuple(leaf.shape) for path, leaf in sorted(_flatten(variables).items())}
    return LoadReport(re_initialised=tuple(shapes), shapes=shapes)


def _flatten(variables: Mapping[str, Any]) -> dict[str, Any]:
    return traverse_util.flatten_dict(dict(variables), sep='/')


def _check_names(source: str, wanted: Sequence[str], have: Sequence[str], name_of: Callable[[str], str]) -> None:
    missing = sorted(set(wanted) - set(have))
    unexpected = sorted(set(have) - set(wanted))
    if not missing and not unexpected:
        return
    parts = []
    if missing:
        named = [f"{path} ('{name_of(path)}')" if name_of(path) else path for path in missing]
        close = difflib.get_close_matches(missing[0], unexpected or have, n=1, cutoff=0.6)
        hint = f' (nearest to the first in the file: {close[0]})' if close else ''
        parts.append(f'missing ({len(missing)}): {_listing(named)}{hint}')
    if unexpected:
        parts.append(f'unexpected ({len(unexpected)}): {_listing(unexpected)}')
    raise UserError(f'{source}: its tensors are not those of the network: {"; ".join(parts)}')


def _check_shapes(
    source: str, misfits: Mapping[str, Shape], wanted: Mapping[str, Shape], name_of: Callable[[str], str]
) -> None:
    if misfits:
        lines = []
        for path, shape in misfits.items():
            called = f"{path} ('{name_of(path)}')" if name_of(path) else path
            lines.append(f'{called} is {shape}, needed {wanted[path]}')
        raise UserError(f'{source}: tensors of another shape ({len(lines)}): {_listing(lines, "; ")}')


def check_blocks(source: str, blocks: int, tensors: Mapping[str, Any]) -> None:
    """Refuses a network of more blocks than a file can have parameters for, before it is traced block by block.

    Args:
        source: the file, for the message.
        blocks: of the network.
        tensors: the file's, by name; one that is scanned over blocks holds those of as many as its first axis is long.

    Raises:
        UserError: there are more blocks.
    """
    most = sum(max(1, tensor.shape[0] if '/encoderblock/' in name else 1) for name, tensor in tensors.items())
    if blocks > max(most, 1):
        raise UserError(f'{source}: its {len(tensors):,} tensors cannot be those of a network of {blocks:,} blocks')


def _heads(paths: Sequence[str], shapes: Mapping[str, Shape]) -> tuple[str, str, str]:
    """The heads that paths belong to, in words: name, verb, and what is to be said of a single one."""
    names = sorted({heads.head_of(path) for path in paths})
    if names != [heads.ONE]:
        return f'heads {", ".join(name.removeprefix(f"{heads.SEVERAL}/") for name in names)}', 'are', ''
    count = head_outputs({path: shapes[path] for path in paths})
    return 'head', 'is', f', {count} output{"s" if count > 1 else ""}' if count else ', of another form'


def _listing(names: Sequence[str], separator: str = ', ') -> str:
    more = f'{separator}… {len(names) - _LISTED} more' if len(names) > _LISTED else ''
    return separator.join(names[:_LISTED]) + more
