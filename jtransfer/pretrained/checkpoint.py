"""Our own checkpoint: one safetensors file with a whole model, and all that is needed to use it rightly.

Arrays are named by their '/'-joined path in the variables (`params/backbone/…`, `params/head/…`, `batch_stats/…`).
Metadata: `format`, `architecture`, `num_classes`, `class_names`, `image_size`, `preprocessing`, and where there are any
`options` (what differs from the architecture's variant), `positions` (how position embeddings are resized), `adapters`
(what the tensors `params/adapters/…` add to the network), `tasks` (what the heads are for, unless that is one label an
image; the parameters of several heads are `params/heads/NAME/…`) and `training` (where the weights come from); all but
the first two and `positions` are JSON.

An adapter file (`adapter_file.py`) is written and read here too: the names and metadata are the same, of the tensors it
has those that its base has not, and of metadata also `base`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from jtransfer import adapters
from jtransfer.adapters import Adaptation
from jtransfer.errors import UserError
from jtransfer.files.reading import parse_json
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.kinds import preprocessor_from
from jtransfer.models.positions import DEFAULT_METHOD, METHODS
from jtransfer.pretrained.files.safetensors import read_metadata, read_safetensors, write_safetensors
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.load.base import Base
from jtransfer.pretrained.load.stored import Stored, head_outputs, shapes_of
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.task_json import from_dict, to_dict
from jtransfer.text.outside import clipped

FORMAT = 'jtransfer/1'
ADAPTER_FORMAT = 'jtransfer-adapter/1'
_ADAPTERS = 'params/adapters/'


def save_model(
    path: str | os.PathLike[str],
    variables: Mapping[str, Any],
    *,
    architecture: str,
    class_names: Sequence[str],
    preprocessing: Preprocessor,
    training: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    positions: str = DEFAULT_METHOD,
    adaptation: Adaptation | None = None,
    base: Base | None = None,
    tasks: Sequence[Task] = (),
) -> None:
    """Writes a model in one piece, in float32; equal inputs give equal bytes.

    Args:
        path: of the `.safetensors` file; missing folders above it are made.
        variables: the nested Flax variables, whole: frozen parameters and statistics too.
        architecture: name of the variant.
        class_names: of the head's outputs, in order; none for a network without a head, or with several.
        preprocessing: how images must look to these weights.
        training: where they come from, JSON values.
        options: fields of the backbone that differ from the variant, as for `models.create`.
        positions: how the position embeddings of these weights are resized, see `positions.resize_positions`.
        adaptation: what is added to the network, where it is adapted (`model.adaptation`); it stays apart.
            `merge_model` before this makes an ordinary file of LoRA and SSF.
        base: makes an adapter file, of variables that are not whole: see `adapter_file.save_adapter`.
        tasks: what the heads are for (`model.tasks`). Empty: one label an image, of `class_names`.

    Raises:
        UserError: class names, tasks and heads do not fit each other, adapters without `adaptation` or the
            other way round, or a value that is not finite.
    """
    arrays = {
        name: np.asarray(value, np.float32)
        for name, value in traverse_util.flatten_dict(jax.device_get(dict(variables)), sep='/').items()
    }
    tasks = tuple(tasks) or _usual(class_names)
    if heads.class_names(tasks) != tuple(class_names):
        raise UserError(
            f'{path}: class_names={tuple(class_names)} are not those of the tasks, {heads.class_names(tasks)}'
        )
    _check_heads(path, arrays, tasks)
    _check_adapters(path, arrays, adaptation)
    metadata = {
        'format': FORMAT if base is None else ADAPTER_FORMAT,
        'architecture': architecture,
        'num_classes': _to_json(len(class_names)),
        'class_names': _to_json(list(class_names)),
        'preprocessing': _to_json(preprocessing.to_dict()),
    }
    if isinstance(preprocessing, ImagePreprocessor):
        metadata['image_size'] = _to_json(preprocessing.image_size)
    if options:
        metadata['options'] = _to_json(dict(options))
    if positions != DEFAULT_METHOD:
        metadata['positions'] = positions
    if adaptation is not None:
        metadata['adapters'] = _to_json(adapters.to_dict(adaptation))
    if tasks != _usual(class_names):
        metadata['tasks'] = _to_json([to_dict(task) for task in tasks])
    if base is not None:
        metadata['base'] = _to_json(dataclasses.asdict(base))
    if training is not None:
        metadata['training'] = _to_json(dict(training))
    write_safetensors(path, arrays, metadata)


def open_model(path: str | os.PathLike[str]) -> Stored:
    """Reads a checkpoint of ours.

    Raises:
        UserError: the file cannot be read, is not a checkpoint of ours, or its parts contradict each other.
    """
    return _open(path, FORMAT)[0]


def open_adapter(path: str | os.PathLike[str]) -> tuple[Stored, Base]:
    """Reads an adapter file: what it holds, whose variables are not whole, and its base.

    Raises:
        UserError: the file cannot be read, is no adapter file, or its parts contradict each other.
    """
    stored, metadata = _open(path, ADAPTER_FORMAT)
    return stored, _base(path, metadata)


def read_base(path: str | os.PathLike[str]) -> Base:
    """The base of an adapter file, without its tensors.

    Raises:
        UserError: the file cannot be read, or does not say.
    """
    return _base(path, read_metadata(path))


def _base(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Base:
    fields = _from_json(path, metadata, 'base', dict)
    names = {field.name for field in dataclasses.fields(Base)}
    if set(fields) != names or not all(isinstance(value, str) for value in fields.values()):
        raise UserError(
            f"{path}: the metadata's 'base' must have {', '.join(sorted(names))}, unlike {clipped(str(fields), 200)}"
        )
    return Base(**fields)


def _open(path: str | os.PathLike[str], expected: str) -> tuple[Stored, dict[str, str]]:
    arrays, metadata = read_safetensors(path)
    if metadata.get('format') != expected:
        stated = f'its format is {metadata["format"]!r}' if 'format' in metadata else 'its metadata states no format'
        what = 'a checkpoint' if expected == FORMAT else 'an adapter file'
        raise UserError(f"{path}: not {what} of this library: {stated}, expected '{expected}'")
    try:
        preprocessing = preprocessor_from(_from_json(path, metadata, 'preprocessing', dict))
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f'{path}: {error}') from None
    _check_nesting(path, arrays)
    class_names = _from_json(path, metadata, 'class_names', list)
    num_classes = _from_json(path, metadata, 'num_classes', int)
    if isinstance(preprocessing, ImagePreprocessor):
        _check_image_size(path, metadata, preprocessing)
    if num_classes != len(class_names):
        raise UserError(f'{path}: num_classes={num_classes}, but {len(class_names)} class names')
    if not all(isinstance(name, str) for name in class_names):
        raise UserError(f"{path}: the metadata's 'class_names' must be texts: {clipped(str(class_names))}")
    tasks = _tasks(path, metadata, class_names)
    _check_heads(path, arrays, tasks)
    adaptation = _adaptation(path, metadata)
    _check_adapters(path, arrays, adaptation)
    positions = metadata.get('positions', DEFAULT_METHOD)
    if positions not in METHODS:
        raise UserError(f"{path}: the metadata's 'positions' must be one of {', '.join(METHODS)}: {clipped(positions)}")
    stored = Stored(
        path=Path(path),
        variables=traverse_util.unflatten_dict(arrays, sep='/'),
        architecture=_text(path, metadata, 'architecture'),
        class_names=tuple(class_names),
        preprocessing=preprocessing,
        training=_from_json(path, metadata, 'training', dict) if 'training' in metadata else {},
        options=_from_json(path, metadata, 'options', dict) if 'options' in metadata else {},
        positions=positions,
        adaptation=adaptation,
        tasks=tasks,
    )
    return stored, metadata


def _check_image_size(
    path: str | os.PathLike[str], metadata: Mapping[str, str], preprocessing: ImagePreprocessor
) -> None:
    image_size = _from_json(path, metadata, 'image_size', int)
    if image_size != preprocessing.image_size:
        raise UserError(f'{path}: image_size={image_size} contradicts its preprocessing, {preprocessing.image_size}')


def _check_nesting(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Raises `UserError` where a tensor stands in the place of a module: `params/head` beside `params/head/bias`."""
    modules = {name[:end] for name in arrays for end, letter in enumerate(name) if letter == '/'}
    if both := sorted(modules & set(arrays)):
        raise UserError(f"{path}: the tensor '{both[0]}' cannot be, since there are tensors '{both[0]}/…', too")


def _usual(class_names: Sequence[str]) -> tuple[Task, ...]:
    return (single_label(class_names),) if class_names else ()


def _tasks(path: str | os.PathLike[str], metadata: Mapping[str, str], class_names: Sequence[str]) -> tuple[Task, ...]:
    if 'tasks' not in metadata:
        return _usual(class_names)
    try:
        tasks = heads.check_tasks(from_dict(values) for values in _from_json(path, metadata, 'tasks', list))
    except UserError as error:
        raise UserError(f"{path}: the metadata's 'tasks' cannot be: {error}") from None
    if heads.class_names(tasks) != tuple(class_names):
        raise UserError(f"{path}: the metadata's 'tasks' and 'class_names' contradict each other")
    return tasks


def _adaptation(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Adaptation | None:
    if 'adapters' not in metadata:
        return None
    try:
        return adapters.from_dict(_from_json(path, metadata, 'adapters', dict))
    except UserError as error:
        raise UserError(f'{path}: {error}') from None


def _check_adapters(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], adaptation: Adaptation | None
) -> None:
    there = any(name.startswith(_ADAPTERS) for name in arrays)
    if there and adaptation is None:
        raise UserError(
            f'{path}: there are tensors {_ADAPTERS}…, but nothing says what they add to the network: '
            'pass adaptation=model.adaptation, or merge them first'
        )
    if adaptation is not None and not there:
        raise UserError(f'{path}: the network is adapted, but there are no tensors {_ADAPTERS}…')


def _check_heads(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], tasks: Sequence[Task]) -> None:
    shapes = shapes_of(arrays)
    if any(task.name for task in tasks):
        there = {head for name in arrays if (head := heads.head_of(name))}
        if extra := sorted(there - {heads.path_of(task) for task in tasks}):
            raise UserError(f'{path}: there is a head {extra[0]}, and no task is for it')
    for task in tasks:
        head = heads.path_of(task)
        outputs = head_outputs(shapes, head)
        if outputs is None:
            raise UserError(
                f"{path}: there is no tensor 'params/{head}/bias': a saved model must be whole, head included"
            )
        if outputs != task.outputs:
            called = f'head of {task.name}' if task.name else 'head'
            raise UserError(f'{path}: the {called} has {outputs} outputs, but there are {task.outputs} class names')
    if not tasks and (outputs := head_outputs(shapes)):
        raise UserError(f'{path}: the head has {outputs} outputs, but there are 0 class names')


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _text(path: str | os.PathLike[str], metadata: Mapping[str, str], key: str) -> str:
    if key not in metadata:
        raise UserError(f"{path}: the metadata has no '{key}'")
    return metadata[key]


def _from_json(path: str | os.PathLike[str], metadata: Mapping[str, str], key: str, kind: type) -> Any:
    text = _text(path, metadata, key)
    value = parse_json(text, f"{path}: the metadata's '{key}'")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{path}: the metadata's '{key}' is not a JSON {kind.__name__}: {text[:60]!r}")
    return value
