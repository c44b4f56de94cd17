"""What parts are called: from the name of a folder, a split or a table's cell to `train`, `validation` or `test`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from jtransfer.checks import nearest
from jtransfer.config.data import Data
from jtransfer.errors import UserError
from jtransfer.text.outside import first_few, printable

PARTS = ('train', 'validation', 'test')
WORDS = {
    'train': ('train', 'training'),
    'validation': ('val', 'valid', 'validation', 'dev', 'eval', 'evaluation'),
    'test': ('test', 'testing'),
}
# What is said beside the word: `training_set`, `test-images`, `ValData`.
_BESIDE = (
    *('set', 'sets', 'data', 'dataset', 'split', 'part', 'subset', 'folder', 'dir', 'image', 'images', 'img', 'imgs'),
    *('photo', 'photos', 'picture', 'pictures', 'sample', 'samples', 'example', 'examples'),
)
_PART_OF_WORD = {word: part for part, words in WORDS.items() for word in words}
_GLUED = re.compile(f'({"|".join(_BESIDE)})*({"|".join(_PART_OF_WORD)})({"|".join(_BESIDE)})*')

FIELDS = 'data.train_split, data.validation_split and data.test_split'


def part_called(name: str) -> str:
    """The part that a name stands for by convention, or '' for none of them.

    Case, hyphens, underscores, spaces and words such as `set`, `data` and `images` do not matter.

    >>> part_called('training_set'), part_called('Test-Images'), part_called('bus'), part_called('train2')
    ('train', 'test', '', '')
    """
    found = _GLUED.fullmatch(_letters(name))
    return _PART_OF_WORD[found[2]] if found else ''


def named_parts(data: Data) -> dict[str, str]:
    """What the person calls the parts, those that are named."""
    named = {'train': data.train_split, 'validation': data.validation_split, 'test': data.test_split}
    return {part: name for part, name in named.items() if name}


def part_of_name(name: str, data: Data) -> str:
    """The part that a name stands for: `train`, `validation`, `test`, or '' for none of them.

    What the configuration calls a part is matched exactly and goes before the conventional names.
    """
    named = named_parts(data)
    part = part_called(name)
    return next((own for own, stated in named.items() if stated == name), '' if part in named else part)


def choose_splits(splits: Iterable[str], named: Mapping[str, str], where: str) -> dict[str, str]:
    """The split of every part of a data set whose splits have names; an unnamed part is found by convention.

    Args:
        splits: what there is.
        named: what the person calls the parts, those that are named; taken as it is.
        where: names the data set in errors.

    Raises:
        UserError: two splits by the name of one part.
    """
    chosen = {}
    for part in PARTS:
        found = [named[part]] if part in named else [name for name in splits if part_called(name) == part]
        found = [name for name in found if part in named or name not in named.values()]
        if len(found) > 1:
            raise two_of_a_kind(where, found, part)
        if found:
            chosen[part] = found[0]
    return chosen


def check_one_each(parts: Mapping[str, str], where: str) -> None:
    """Checks that each part has one name, in whatever case, hyphens, underscores and spaces.

    Args:
        parts: the part of every name, '' for none of them.
        where: names what has them in errors.

    Raises:
        UserError: two names of one part.
    """
    for part in PARTS:
        own: dict[str, str] = {}
        for name in (name for name, of in parts.items() if of == part):
            own.setdefault(_letters(name), name)
        if len(own) > 1:
            raise two_of_a_kind(where, list(own.values()), part)


def two_of_a_kind(where: str, names: Sequence[str], part: str) -> UserError:
    """The error for two folders, splits, arrays or cells of one part."""
    both = ' and '.join(f"'{printable(name)}'" for name in names)
    return UserError(f'{where} has both {both}: say which one with data.{part}_split')


def check_named(where: str, named: Mapping[str, str], splits: Sequence[str]) -> None:
    """Raises `UserError` for a part that is named as nothing is called."""
    for part, name in named.items():
        if name not in splits:
            raise UserError(f'data.{part}_split={name!r}: {where} has no such split.{nearest(name, list(splits))}')


def check_known(
    where: str, chosen: Mapping[str, str], unknown: Sequence[str], named: Mapping[str, str], otherwise: str = ''
) -> None:
    """Raises `UserError` where there is more than the parts, and the person has named none of them.

    Args:
        where: names the data set in the error.
        chosen: names of the parts.
        unknown: names of what is in none, with whatever is to be said of each.
        named: what the person calls the parts, those that are named.
        otherwise: what else would be right.
    """
    if not unknown or named:
        return
    parts = ', '.join(f"'{printable(name)}'" for name in chosen.values())
    alone = f'; data.train_split={printable(chosen["train"])} leaves it out' if 'train' in chosen else ''
    raise UserError(
        f'{where} has parts by known names ({parts}) and beside them {first_few(unknown)}, which is none that can '
        f'be read: say which parts there are with {FIELDS}{alone}{otherwise}'
    )


def _letters(name: str) -> str:
    return ''.join(re.findall(r'[^\W_]+', unicodedata.normalize('NFKC', name).casefold()))
