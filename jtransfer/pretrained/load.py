"""The audited load: every stored tensor finds its place, or the person is told.

Nothing is guessed. Outside the head, a tensor that is missing, left over or of another shape is an error; what may
differ (a new head, position embeddings at another resolution) is in the report.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float

from jtransfer.errors import UserError

HEAD = 'params/head/'
HEAD_BIAS = f'{HEAD}bias'
POSITION_EMBEDDING = 'pos_embed'
_LISTED = 5

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of every tensor; paths are '/'-joined, `params/…` or `batch_stats/…`, and sorted.

    Attributes:
        source: the file; empty: no file, random weights.
        loaded: taken as they were stored.
        resized: position embeddings resampled to another resolution.
        re_initialised: fresh, nothing was taken from the file.
        ignored: stored, and not used.
        shapes: of the network's tensors by path.
        stored_shapes: of the stored tensors by path.
    """

    source: str = ''
    loaded: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()
    re_initialised: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    shapes: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    stored_shapes: Mapping[str, Shape] = dataclasses.field(default_factory=dict)

    def summary(self) -> str:
        """One line for people."""
        elements = sum(math.prod(self.shapes[path]) for path in (*self.loaded, *self.resized))
        if not elements:
            return f'random weights: all {len(self.re_initialised)} tensors initialised'
        parts = [f'loaded {len(self.loaded)} tensors from {self.source} ({elements:,} values)']
        parts += [f'resized {path} {self.stored_shapes[path]} → {self.shapes[path]}' for path in self.resized]
        if self.re_initialised:
            classes = self.shapes[HEAD_BIAS][0]
            parts.append(
                f're-initialised the head, {classes} classes (the stored head, {self._stored_head()}, is ignored)'
            )
        return '; '.join(parts)

    def _stored_head(self) -> str:
        shape = self.stored_shapes.get(HEAD_BIAS)
        return f'{shape[0]} classes' if shape else 'of another form'

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
    prefix_tokens: int = 0,
    fresh_head: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], LoadReport]:
    """Puts stored values into a network's variables.

    Args:
        target: the network's variables, nested; only shapes are read, so `jax.eval_shape(network.init, …)` will do.
        stored: the checkpoint's variables, nested.
        source: the checkpoint's file, for messages and the report.
        prefix_tokens: how many position embeddings stand before those of the patches: the family's fact.
        fresh_head: the values of a new head, as `params['head']`. None: the stored head is kept.

    Returns:
        The variables, nested, float32, with the target's structure and shapes; and the report.

    Raises:
        UserError: outside a new head, a tensor that is missing, unexpected or of a shape that cannot be fitted; the
            message lists them, with the nearest stored names.
    """
    wanted = {path: tuple(leaf.shape) for path, leaf in _flatten(target).items()}
    have = {path: np.asarray(value) for path, value in _flatten(stored).items()}
    fresh = {} if fresh_head is None else _flatten({'params': {'head': fresh_head}})
    kept = {path: value for path, value in have.items() if not (fresh and path.startswith(HEAD))}
    _check_names(source, [path for path in wanted if path not in fresh], list(kept))

    values: dict[str, Array] = {}
    resized: list[str] = []
    misfits: list[str] = []
    for path, shape in wanted.items():
        if path in fresh:
            values[path] = jnp.asarray(fresh[path], jnp.float32)
        elif kept[path].shape == shape:
            values[path] = jnp.asarray(kept[path], jnp.float32)
        elif path.endswith(f'/{POSITION_EMBEDDING}') and _fit_by_resizing(kept[path].shape, shape, prefix_tokens):
            grids = [_square(tokens.shape[1] - prefix_tokens) for tokens in (kept[path], jnp.zeros(shape))]
            values[path] = resize_positions(jnp.asarray(kept[path], jnp.float32), prefix_tokens, *grids)
            resized.append(path)
        else:
            misfits.append(f'{path} is {kept[path].shape}, needed {shape}')
    if misfits:
        raise UserError(f'{source}: tensors of another shape ({len(misfits)}): {_listing(misfits, "; ")}')

    report = LoadReport(
        source=source,
        loaded=tuple(sorted(set(kept) - set(resized))),
        resized=tuple(sorted(resized)),
        re_initialised=tuple(sorted(fresh)),
        ignored=tuple(sorted(set(have) - set(kept))),
        shapes=dict(sorted(wanted.items())),
        stored_shapes={path: tuple(value.shape) for path, value in sorted(have.items())},
    )
    return traverse_util.unflatten_dict(values, sep='/'), report


def random_report(variables: Mapping[str, Any]) -> LoadReport:
    """The report for a network of random weights."""
    shapes = {path: tuple(leaf.shape) for path, leaf in sorted(_flatten(variables).items())}
    return LoadReport(re_initialised=tuple(shapes), shapes=shapes)


def resize_positions(
    embeddings: Float[Array, '1 token dim'], prefix_tokens: int, grid: tuple[int, int], new_grid: tuple[int, int]
) -> Float[Array, '1 new_token dim']:
    """Resamples position embeddings to another grid of patches (bicubic, antialiased), prefix tokens untouched.

    As Dosovitskiy et al. (2021), section 3.2, fine-tune at another resolution.

    Args:
        embeddings: prefix tokens first, then the patches row by row.
        prefix_tokens: number of tokens without a place in the image.
        grid: rows and columns of patches they were trained for.
        new_grid: rows and columns wanted.
    """
    dim = embeddings.shape[-1]
    prefix, patches = embeddings[:, :prefix_tokens], embeddings[:, prefix_tokens:]
    patches = jax.image.resize(patches.reshape(1, *grid, dim), (1, *new_grid, dim), 'bicubic', antialias=True)
    return jnp.concatenate([prefix, patches.reshape(1, -1, dim)], axis=1)


def _flatten(variables: Mapping[str, Any]) -> dict[str, Any]:
    return traverse_util.flatten_dict(dict(variables), sep='/')


def _square(patches: int) -> tuple[int, int]:
    side = math.isqrt(max(patches, 0))
    return side, side


def _fit_by_resizing(stored: Shape, wanted: Shape, prefix_tokens: int) -> bool:
    """Whether both are position embeddings of a square grid (input is square) with as many channels."""
    if len(stored) != 3 or len(wanted) != 3 or stored[0] != wanted[0] or stored[2] != wanted[2]:
        return False
    counts = [shape[1] - prefix_tokens for shape in (stored, wanted)]
    return all(count > 0 and math.prod(_square(count)) == count for count in counts)


def _check_names(source: str, wanted: Sequence[str], have: Sequence[str]) -> None:
    missing = sorted(set(wanted) - set(have))
    unexpected = sorted(set(have) - set(wanted))
    if not missing and not unexpected:
        return
    parts = []
    if missing:
        close = difflib.get_close_matches(missing[0], unexpected or have, n=1, cutoff=0.6)
        hint = f' (nearest to the first in the file: {close[0]})' if close else ''
        parts.append(f'missing ({len(missing)}): {_listing(missing)}{hint}')
    if unexpected:
        parts.append(f'unexpected ({len(unexpected)}): {_listing(unexpected)}')
    raise UserError(f'{source}: its tensors are not those of the network: {"; ".join(parts)}')


def _listing(names: Sequence[str], separator: str = ', ') -> str:
    more = f'{separator}… {len(names) - _LISTED} more' if len(names) > _LISTED else ''
    return separator.join(names[:_LISTED]) + more
