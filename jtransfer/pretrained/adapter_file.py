"""Adapter files: a trained network as what differs from its base, with the hash that the base is known by.

A small safetensors file of format `jtransfer-adapter/1`. Tensors have the names that they have in a whole checkpoint:
`params/adapters/…`, `params/head/…` or `params/heads/…`, every other parameter that differs from the base's, and all
of `batch_stats/…`, so that an adapter is never without its head or its statistics. Metadata: that of a checkpoint
(`checkpoint.py`), and `base`, see `base.Base`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jtransfer import rules
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.pretrained.checkpoint import ADAPTER_FORMAT, save_model
from jtransfer.pretrained.files.safetensors import is_safetensors, read_metadata
from jtransfer.pretrained.load.base import BACKBONE, Base, base_hash, kept_values
from jtransfer.pretrained.model import Model, load_model

ADAPTER_FILE = 'adapter.safetensors'


def save_adapter(
    path: str | os.PathLike[str],
    model: Model,
    *,
    base: Model,
    checkpoint: str = '',
    frozen_dtype: str = 'float32',
    training: Mapping[str, Any] | None = None,
) -> None:
    """Writes what a trained model has that its base has not, in one piece; equal inputs give equal bytes.

    Of the backbone's parameters, those are written whose values are not those of the base, bit for bit, whatever the
    plan said: on its base the file gives exactly the model. Position embeddings and first kernels fitted to another
    image size or number of channels are written too.

    Args:
        path: of the `.safetensors` file; missing folders above it are made.
        model: as it was trained, adapters not merged.
        base: the model that training started from, as `load_model` gave it, or adapted.
        checkpoint: what the base is to be loaded by. Empty: what its load report says. A file or a directory is
            written down as an absolute path, and as a path from the adapter file, so that both may move together.
        frozen_dtype: type that frozen kernels were kept in, `transfer.frozen_dtype`.
        training: where the values come from, JSON values.

    Raises:
        UserError: the base has random weights, or is not of the same network, or a value is not finite.
    """
    report = base.load_report
    if not any(name.startswith(BACKBONE) for name in report.loaded):
        raise UserError('an adapter file needs a base that can be loaded again, and this one has random weights')
    values = {
        name: np.asarray(value, np.float32) for name, value in rules.flatten(jax.device_get(model.variables)).items()
    }
    kept = {name: v for name, v in kept_values(base.variables, frozen_dtype).items() if name.startswith(BACKBONE)}
    own = {name for name in values if name.startswith(BACKBONE)}
    if model.architecture != base.architecture or own != set(kept):
        raise UserError(
            f'the base, {base.architecture}, is not of the network that was trained, {model.architecture}: '
            'pass the model that training started from'
        )
    same = {
        name
        for name, value in kept.items()
        if name.startswith('params/') and name in report.loaded and _same_bits(value, values[name])
    }
    name = _pinned(checkpoint, report.source)
    save_model(
        path,
        rules.unflatten({name: value for name, value in values.items() if name not in same}),
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        training=training,
        options=model.options,
        positions=model.positions,
        adaptation=model.adaptation,
        tasks=model.tasks,
        base=Base.named(name, path, base_hash(base.variables, report), frozen_dtype),
    )


def load_adapter(path: str | os.PathLike[str], base: str | os.PathLike[str] = '') -> Model:
    """The model that an adapter file was saved from, bit for bit; `load_model` takes the file too.

    Args:
        path: of the adapter file.
        base: where its base now is: a catalogue name, a file, a run directory, as for `load_model`. Empty: where the
            adapter file says that it was.

    Raises:
        UserError: no adapter file, or a base that is not there or is not the one the adapter was trained on.
    """
    file = expanded(path)
    kind = read_metadata(file).get('format', '') if file.is_file() and is_safetensors(file) else ''
    if kind != ADAPTER_FORMAT:
        raise UserError(
            f'{file} is no adapter file (a .safetensors file of format {ADAPTER_FORMAT}); load_model takes others'
        )
    return load_model(file, base=base)


def _pinned(checkpoint: str, source: str) -> str:
    """The name of a base: as it was given, with the commit where the report knows it."""
    return source if not checkpoint or source.startswith(f'{checkpoint}@') else checkpoint


def _same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and first.tobytes() == second.tobytes()
