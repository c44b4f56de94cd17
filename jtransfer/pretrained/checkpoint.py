"""Our own checkpoint: one safetensors file with a whole model, and all that is needed to use it rightly.

Arrays are named by their '/'-joined path in the variables (`params/backbone/…`, `params/head/…`, `batch_stats/…`).
Metadata: `format`, `architecture`, `num_classes`, `class_names`, `image_size`, `preprocessing`, and where there are any
`options` (what differs from the architecture's variant), `positions` (how position embeddings are resized) and
`training` (where the weights come from); all but the first two and `positions` are JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from jtransfer.errors import UserError
from jtransfer.preprocessing import Preprocessing
from jtransfer.pretrained.files import read_safetensors, write_safetensors
from jtransfer.pretrained.positions import DEFAULT_METHOD
from jtransfer.pretrained.stored import Stored, head_outputs

FORMAT = 'jtransfer/1'


def save_model(
    path: str | os.PathLike[str],
    variables: Mapping[str, Any],
    *,
    architecture: str,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    training: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    positions: str = DEFAULT_METHOD,
) -> None:
    """Writes a model in one piece; equal inputs give equal bytes.

    Args:
        path: of the `.safetensors` file; its folder must exist.
        variables: the nested Flax variables, whole: frozen parameters and statistics too.
        architecture: name of the variant.
        class_names: of the head's outputs, in order; none for a network without a head.
        preprocessing: how images must look to these weights.
        training: where they come from, JSON values.
        options: fields of the backbone that differ from the variant, as for `models.create`.
        positions: how the position embeddings of these weights are resized, see `positions.resize_positions`.

    Raises:
        UserError: the number of class names is not that of the head's outputs, or a value is not finite.
    """
    arrays = {
        name: np.asarray(value)
        for name, value in traverse_util.flatten_dict(jax.device_get(dict(variables)), sep='/').items()
    }
    _check_head(path, arrays, len(class_names))
    metadata = {
        'format': FORMAT,
        'architecture': architecture,
        'num_classes': _to_json(len(class_names)),
        'class_names': _to_json(list(class_names)),
        'image_size': _to_json(preprocessing.image_size),
        'preprocessing': _to_json(preprocessing.to_dict()),
    }
    if options:
        metadata['options'] = _to_json(dict(options))
    if positions != DEFAULT_METHOD:
        metadata['positions'] = positions
    if training is not None:
        metadata['training'] = _to_json(dict(training))
    write_safetensors(path, arrays, metadata)


def open_model(path: str | os.PathLike[str]) -> Stored:
    """Reads a checkpoint of ours.

    Raises:
        UserError: the file cannot be read, is not a checkpoint of ours, or its parts contradict each other.
    """
    arrays, metadata = read_safetensors(path)
    if metadata.get('format') != FORMAT:
        stated = f'its format is {metadata["format"]!r}' if 'format' in metadata else 'its metadata states no format'
        raise UserError(f"{path}: not a checkpoint of this library: {stated}, expected '{FORMAT}'")
    preprocessing = Preprocessing.from_dict(_from_json(path, metadata, 'preprocessing', dict))
    image_size = _from_json(path, metadata, 'image_size', int)
    class_names = _from_json(path, metadata, 'class_names', list)
    num_classes = _from_json(path, metadata, 'num_classes', int)
    if image_size != preprocessing.image_size:
        raise UserError(f'{path}: image_size={image_size} contradicts its preprocessing, {preprocessing.image_size}')
    if num_classes != len(class_names):
        raise UserError(f'{path}: num_classes={num_classes}, but {len(class_names)} class names')
    _check_head(path, arrays, num_classes)
    return Stored(
        path=Path(path),
        variables=traverse_util.unflatten_dict(arrays, sep='/'),
        architecture=_text(path, metadata, 'architecture'),
        class_names=tuple(str(name) for name in class_names),
        preprocessing=preprocessing,
        training=_from_json(path, metadata, 'training', dict) if 'training' in metadata else {},
        options=_from_json(path, metadata, 'options', dict) if 'options' in metadata else {},
        positions=metadata.get('positions', DEFAULT_METHOD),
    )


def _check_head(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], num_classes: int) -> None:
    outputs = head_outputs(arrays)
    if outputs is None and num_classes:
        raise UserError(f"{path}: there is no tensor 'params/head/bias': a saved model must be whole, head included")
    if (outputs or 0) != num_classes:
        raise UserError(f'{path}: the head has {outputs} outputs, but there are {num_classes} class names')


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _text(path: str | os.PathLike[str], metadata: Mapping[str, str], key: str) -> str:
    if key not in metadata:
        raise UserError(f"{path}: the metadata has no '{key}'")
    return metadata[key]


def _from_json(path: str | os.PathLike[str], metadata: Mapping[str, str], key: str, kind: type) -> Any:
    try:
        value = json.loads(_text(path, metadata, key))
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, kind):
        raise UserError(f"{path}: the metadata's '{key}' is not a JSON {kind.__name__}: {metadata[key][:60]!r}")
    return value
