"""The catalogue of published weights: a line a file of weights, in the tables of `published/`.

What the columns mean and where their facts come from is told in docs/catalogue.md.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.resources
import re
from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from typing import Any

from jtransfer import models
from jtransfer.checks import nearest
from jtransfer.errors import UserError
from jtransfer.files.reading import parse_json
from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.models.variant import HALF
from jtransfer.models.vit.variants import CLIP_MEAN, CLIP_STD

# The tables, in the order in which the catalogue lists them.
TABLES = ('shipped', 'timm', 'huggingface', 'torchvision', 'google', 'facebook', 'github')

# What the parameters of architectures are counted with.
ARCHITECTURE_CLASSES = 1000

# Mean and standard deviation of the channels, by the name that stands in the column `norm`.
NORMS = {'imagenet': (IMAGENET_MEAN, IMAGENET_STD), 'half': (HALF, HALF), 'clip': (CLIP_MEAN, CLIP_STD)}

_SUGGESTIONS = 3


@dataclasses.dataclass(frozen=True)
class Entry:
    """Weights that somebody published, and what must be known to use them.

    Attributes:
        name: under which they are asked for: `timm/resnet50.a1_in1k`, `torchvision/resnet50.IMAGENET1K_V2`, or the
            address of the file itself.
        architecture: name of the variant (`models.describe`).
        options: fields of its backbone that these weights need otherwise than the variant has them.
        naming: of the tensors, the name of a name map of the family. '': the names in the file decide.
        repo: repository on the Hugging Face hub; '' for a URL and a file of this package.
        file: file in the repository, the URL (https:// or gs://), or the file in the folder weights/ of this package.
        revision: commit of the hub repository, where it is known.
        sha256: digest of the file or its first digits, where they are published.
        num_classes: outputs of the published head. 0: there is none.
        parameters: of our network with that head, at the resolution of `preprocessing`.
        bytes: size of the file, approximately: as published, or else four for each parameter and running statistic in
            it, those that our network leaves out (a text tower) included.
        preprocessing: how pictures must look.
        licence: of the weights, an SPDX identifier where there is one.
        accuracy: ImageNet-1k top-1 as reported, percent. None: not reported, or there is no such head.
        accuracy_size: side of the pictures it was measured on, pixels.
        about: what they were trained on, and what is peculiar.
        source: where these facts come from.
    """

    name: str
    architecture: str
    options: Mapping[str, Any]
    naming: str
    repo: str
    file: str
    revision: str
    sha256: str
    num_classes: int
    parameters: int
    bytes: int
    preprocessing: ImagePreprocessor
    licence: str
    accuracy: float | None
    accuracy_size: int | None
    about: str
    source: str


def entries() -> Mapping[str, Entry]:
    """All entries by name: the tables in the order of `TABLES`, the rows in theirs.

    Raises:
        ValueError: a row that cannot be; the message has the table and the line. Tests keep that from happening.
    """
    return _entries()


def find(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: there is none; the message has the nearest names.
    """
    known = entries()
    if name not in known:
        raise UserError(
            f"the catalogue has no '{name}' (python -m launch.models lists what it has){_nearest_names(name)}"
        )
    return known[name]


def matching(
    pattern: str = '',
    *,
    family: str = '',
    licence: str = '',
    max_parameters: int | None = None,
    min_accuracy: float | None = None,
) -> list[Entry]:
    """The entries that fulfil all conditions, in the catalogue's order.

    Args:
        pattern: words, each of which has to occur in the name, the architecture or the description, upper or lower
            case; a word may be a regular expression (`^timm/ in1k$`).
        family: of the network: `resnet`, `vit`, ….
        licence: exactly.
        max_parameters: at most so many, the head included.
        min_accuracy: ImageNet-1k top-1 as reported, at least, percent.

    Raises:
        UserError: a regular expression that is none, or a family or licence that no entry has.
    """
    found = list(entries().values())
    words = [_compile(word) for word in pattern.split()]
    if family:
        _known('family', family, {models.describe(entry.architecture).family for entry in found})
    if licence:
        _known('licence', licence, {entry.licence for entry in found})
    return [
        entry
        for entry in found
        if all(any(word.search(text) for text in (entry.name, entry.architecture, entry.about)) for word in words)
        and (not family or models.describe(entry.architecture).family == family)
        and (not licence or entry.licence == licence)
        and (max_parameters is None or entry.parameters <= max_parameters)
        and (min_accuracy is None or (entry.accuracy is not None and entry.accuracy >= min_accuracy))
    ]


def architecture_parameters() -> Mapping[str, int]:
    """Parameters of every architecture with a head of `ARCHITECTURE_CLASSES`, at its own resolution."""
    text = (_folder() / 'architectures.tsv').read_text(encoding='utf-8')
    rows = (line.split('\t') for line in text.splitlines()[1:])
    return {name: int(parameters) for name, parameters in rows}


def read_table(text: str, table: str) -> list[Entry]:
    """The rows of a table.

    Args:
        text: lines of tab-separated values, the first of which names the columns, in any order.
        table: its name, for messages.

    Raises:
        ValueError: a row that cannot be; the message begins with table:line.
    """
    lines = text.splitlines()
    header = lines[0].split('\t') if lines else []
    if set(header) != set(COLUMNS) or len(header) != len(COLUMNS):
        raise ValueError(f'{table}:1: the columns must be {", ".join(COLUMNS)}')
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split('\t')
        try:
            if len(cells) != len(header):
                raise ValueError(f'{len(cells)} cells for {len(header)} columns')
            rows.append(_entry(dict(zip(header, cells, strict=True))))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{table}:{number}: {type(error).__name__}: {error}') from error
    return rows


def _folder() -> Traversable:
    return importlib.resources.files('jtransfer.pretrained') / 'published'


@functools.cache
def _entries() -> Mapping[str, Entry]:
    known: dict[str, Entry] = {}
    for table in TABLES:
        file = f'{table}.tsv'
        for entry in read_table((_folder() / file).read_text(encoding='utf-8'), file):
            if entry.name in known:
                raise ValueError(f"{file}: '{entry.name}' is there twice")
            known[entry.name] = entry
    return known


def _entry(cells: Mapping[str, str]) -> Entry:
    mean, std = NORMS[cells['norm']]
    for column in ('name', 'architecture', 'file', 'licence', 'about', 'source'):
        if not cells[column].strip():
            raise ValueError(f'{column} is empty')
    # A misread preprocessing would be silent: only these two are known.
    if cells['squash'] not in ('', 'yes'):
        raise ValueError(f"squash is {cells['squash']!r}, neither empty nor 'yes'")
    preprocessing = ImagePreprocessor(
        int(cells['image_size']),
        mean,
        std,
        interpolation=cells['interpolation'],
        crop_fraction=float(cells['crop_fraction']),
        squash=cells['squash'] == 'yes',
        # The library, and with it everybody whose files are named like this, rounds the crop's place down.
        crop_rounding='floor' if cells['naming'].startswith('huggingface') else 'round',
    )
    texts = ('name', 'architecture', 'naming', 'repo', 'file', 'revision', 'sha256', 'licence', 'about', 'source')
    return Entry(
        **{column: cells[column] for column in texts},
        options=_options(cells['options']),
        num_classes=int(cells['num_classes']),
        parameters=int(cells['parameters']),
        bytes=int(cells['bytes']),
        preprocessing=preprocessing,
        accuracy=_optional(float, cells['accuracy']),
        accuracy_size=_optional(int, cells['accuracy_size']),
    )


def _options(text: str) -> dict[str, Any]:
    options = parse_json(text, 'options') if text else {}
    if not isinstance(options, dict):
        raise ValueError(f'options are no JSON object: {text}')
    return options


def _optional(kind: Callable[[str], Any], text: str) -> Any:
    return kind(text) if text else None


def _nearest_names(name: str) -> str:
    # Most often it is the prefix, or the tag after the architecture, that is missing.
    known = list(entries())
    close = [other for other in known if name and name in other][:_SUGGESTIONS]
    close = close or difflib.get_close_matches(name, known, n=_SUGGESTIONS, cutoff=0.5)
    return f'; nearest: {", ".join(close)}' if close else ''


def _compile(word: str) -> re.Pattern[str]:
    try:
        return re.compile(word, re.IGNORECASE)
    except re.error as error:
        raise UserError(f"'{word}' is not a regular expression: {error}") from None


def _known(what: str, value: str, known: set[str]) -> None:
    if value not in known:
        raise UserError(f"no entry of the catalogue has the {what} '{value}'.{nearest(value, known)}")


_OF_PREPROCESSING = ('image_size', 'norm', 'interpolation', 'crop_fraction', 'squash')
_FIELDS = tuple(field.name for field in dataclasses.fields(Entry))
_PLACE = _FIELDS.index('preprocessing')
COLUMNS = (*_FIELDS[:_PLACE], *_OF_PREPROCESSING, *_FIELDS[_PLACE + 1 :])
