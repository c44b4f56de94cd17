"""What the arrays of a file are: images, labels and what goes with them, of which part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from jtransfer.config.data import Data
from jtransfer.data.sources.part_names import FIELDS, check_known, check_named, named_parts, part_of_name, two_of_a_kind
from jtransfer.errors import UserError
from jtransfer.text.outside import first_few, printable

# What the arrays of a part are called, by the part's name or without it.
NAMES = {
    'images': ('images', 'image', 'x'),
    'labels': ('labels', 'label', 'y'),
    'groups': ('groups',),
    'weights': ('weights',),
    'ids': ('ids',),
}
CLASS_NAMES = 'class_names'
_FIELD_OF_WORD = {word: field for field, words in NAMES.items() for word in words}


@dataclasses.dataclass(frozen=True)
class FoundArrays:
    """The names of arrays by what they are.

    Attributes:
        parts: of every part that has images, the name of the array of each field; '' is an undivided file.
        unread: names of arrays that are nothing of these, or of a part without images.
    """

    parts: dict[str, dict[str, str]]
    unread: tuple[str, ...]

    def named(self, field: str) -> list[str]:
        """The names of a field's arrays in all parts that have one."""
        return [own[field] for own in self.parts.values() if field in own]


def find_arrays(arrays: Mapping[str, np.ndarray], data: Data, where: str) -> FoundArrays:
    """Understands `train_images`, `images_train`, `x_train` and `x`, in any case, with the parts' names of folders.

    Args:
        arrays: of the file.
        data: the configuration, which may name the parts (`data.train_split='tr'` for `tr_images`).
        where: names the file in errors.

    Raises:
        UserError: no images, images of parts and of none, two arrays for one thing, or images of what is no part where
            no part is named.
    """
    parts: dict[str, dict[str, str]] = {}
    unread, odd = [], []
    named = named_parts(data)
    stated: dict[str, str] = {}
    for name in arrays:
        if name == CLASS_NAMES:
            continue
        field, word = _divided(name)
        part = part_of_name(word, data) if word else ''
        if not field or (word and not part):
            unread.append(name)
            odd += [name] if field == 'images' and arrays[name].ndim > 2 else []
            continue
        stated.setdefault(word, part)
        own = parts.setdefault(part, {})
        if field in own:
            raise (
                two_of_a_kind(where, [own[field], name], part)
                if part
                else UserError(f"{where} has both '{own[field]}' and '{name}': leave one of them out")
            )
        own[field] = name
    unread += [name for own in parts.values() if 'images' not in own for name in own.values()]
    parts = {part: own for part, own in parts.items() if 'images' in own}
    if not parts:
        more = f'; {FIELDS} say what else parts are called' if odd else ''
        raise UserError(f'{where} has no array called images or x, but {first_few(list(arrays)) or "none"}{more}')
    if '' in parts and len(parts) > 1:
        raise UserError(f'{where} has images both of parts ({", ".join(filter(None, parts))}) and of none')
    check_named(where, named, list(stated))
    if '' in parts:
        return FoundArrays(parts, tuple(unread))
    chosen = {part: word for word, part in stated.items()}
    check_known(where, chosen, [f"'{printable(name)}' ({len(arrays[name]):,})" for name in odd], named)
    return FoundArrays(parts, tuple(unread))


def _divided(name: str) -> tuple[str, str]:
    """The field that an array is, and the name of its part, each '' for none."""
    folded = name.casefold()
    if folded in _FIELD_OF_WORD:
        return _FIELD_OF_WORD[folded], ''
    for word, field in _FIELD_OF_WORD.items():
        if folded.endswith(f'_{word}'):
            return field, name[: -len(word) - 1]
        if folded.startswith(f'{word}_'):
            return field, name[len(word) + 1 :]
    return '', ''
