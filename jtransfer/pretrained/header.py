"""What an export of ours says of itself in its safetensors header, so that the file alone is a whole model.

Readers of PyTorch pass over it; `load_model` needs neither an architecture nor class names for such a file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.files.reading import parse_json
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.positions import METHODS
from jtransfer.pretrained.fields import OBJECT, TEXT, Kind, check_fields
from jtransfer.pretrained.load import heads
from jtransfer.tasks.base import Task
from jtransfer.tasks.task_json import from_dict, to_dict

_PREFIX = 'jtransfer.'
_VALUES = ('options', 'preprocessing', 'tasks')
_LIST = Kind('a list', lambda value: isinstance(value, list))


@dataclasses.dataclass(frozen=True)
class Header:
    """The facts of a header.

    Attributes:
        architecture: name of the variant.
        naming: of the tensors' names.
        preprocessing: how images must look.
        tasks: what the only head is for; none for a network without a head.
        options: fields of the backbone that differ from the variant.
        positions: how position embeddings are resized; '' as the naming's readers do it.
    """

    architecture: str
    naming: str
    preprocessing: ImagePreprocessor
    tasks: tuple[Task, ...]
    options: Mapping[str, Any]
    positions: str = ''

    def to_metadata(self) -> dict[str, str]:
        """As texts by name. Class names stand alone too, for people."""
        values: dict[str, Any] = {
            'class_names': list(heads.class_names(self.tasks)),
            'options': dict(self.options),
            'preprocessing': self.preprocessing.to_dict(),
            'tasks': [to_dict(task) for task in self.tasks],
        }
        texts = {name: json.dumps(value, sort_keys=True, ensure_ascii=False) for name, value in values.items()}
        texts |= {'architecture': self.architecture, 'naming': self.naming, 'positions': self.positions}
        return {f'{_PREFIX}{name}': text for name, text in texts.items() if text}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> Header | None:
        """The inverse; None for a file that says nothing of the kind.

        Args:
            metadata: of the file.
            source: what to call the file in messages.

        Raises:
            UserError: a header that somebody has damaged.
        """
        if f'{_PREFIX}architecture' not in metadata:
            return None
        texts = {name: metadata.get(f'{_PREFIX}{name}', '') for name in ('architecture', 'naming', 'positions')}
        try:
            check_fields(texts, dict.fromkeys(texts, TEXT), 'it')
            if texts['positions'] and texts['positions'] not in METHODS:
                raise UserError(f'positions={texts["positions"]!r} must be one of {", ".join(METHODS)}')
            if missing := [name for name in _VALUES if f'{_PREFIX}{name}' not in metadata]:
                raise UserError(f'there is no {_PREFIX}{missing[0]}')
            values = {name: parse_json(metadata[f'{_PREFIX}{name}'], f'{_PREFIX}{name}') for name in _VALUES}
            check_fields(values, {'options': OBJECT, 'preprocessing': OBJECT, 'tasks': _LIST}, 'it')
            options, preprocessing, tasks = (values[name] for name in _VALUES)
            return cls(
                **texts,
                preprocessing=ImagePreprocessor.from_dict(preprocessing),
                tasks=tuple(from_dict(task) for task in tasks),
                options=options,
            )
        except UserError as error:
            raise UserError(f'{source}: its header has {_PREFIX}… entries that cannot be read: {error}') from None
