"""Whether a download can be the file that was meant, by its first bytes, or is what servers send instead."""

from __future__ import annotations

import re
from pathlib import Path

_START = 1024
_INSTEAD = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb'\Z', 'is empty'),
        (rb'(\xef\xbb\xbf)?\s*(<!--.{0,800}?-->\s*)?<(!doctype html|html|head|body|script)\b', 'is an HTML page'),
        (rb'(\xef\xbb\xbf)?\s*<(\?xml|error)\b', 'is an XML message of the server'),
        (rb'version https://git-lfs', 'is a Git LFS pointer, not the file itself'),
    )
)
_ZIP, _PICKLE = rb'PK\x03\x04|PK\x05\x06', rb'\x80[\x02-\x05]'
# What files begin with, by the endings of their names; other endings say nothing.
_BEGINS = {
    '.npz': re.compile(_ZIP),
    '.safetensors': re.compile(rb'.{6}\0\0\{', re.DOTALL),  # the length of a JSON header, then the header
    '.msgpack': re.compile(rb'[\x80-\x8f\xde\xdf]', re.DOTALL),
    **dict.fromkeys(('.pth', '.pt', '.th'), re.compile(rb'%b|%b' % (_ZIP, _PICKLE))),
}


def wrong_kind(path: Path, name: str = '') -> str:
    """What a file is instead of the weights that its name promises; '' if nothing speaks against it.

    Args:
        path: of the file.
        name: whose ending counts. Empty: that of the file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open('rb') as file:
        start = file.read(_START)
    for pattern, what in _INSTEAD:
        if pattern.match(start):
            return what
    ending = Path(name or path.name).suffix.lower()
    begins = _BEGINS.get(ending)
    return '' if begins is None or begins.match(start) else f'is no {ending} file by its first bytes'
