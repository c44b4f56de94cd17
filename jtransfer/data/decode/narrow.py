"""Images of 16 bits that use a sliver of their range, such as a camera's 12 bits: scaled by 65,535 they are dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jtransfer.text.outside import printable

# Values from least to largest in less than a quarter of the range: 14 bits or fewer.
NARROW = 2**14


class Narrow(NamedTuple):
    """What such an image uses.

    Attributes:
        low: least value, 0 to 65,535.
        high: largest value.
        grey: whether it is a grey one of a file, for which `data.pixel_range` counts.
    """

    low: int
    high: int
    grey: bool


def narrow_of(low: int, high: int, grey: bool = True) -> Narrow | None:
    """What is to be said of an image with these extreme values; nothing of one that is the same all over."""
    return Narrow(int(low), int(high), grey) if 0 < high - low < NARROW else None


def narrow_note(found: Mapping[str, Narrow], total: int) -> str:
    """A line about the images that were found, and what to do.

    Args:
        found: by id, one or more.
        total: how many images were read.
    """
    name, first = next(iter(found.items()))
    low, high = min(one.low for one in found.values()), max(one.high for one in found.values())
    # A camera's or a scanner's bits rather than what these images happen to hold.
    bits = next((bits for bits in (8, 10, 12, 14) if high < 2**bits), 16)
    ends = f'0,{2**bits - 1}' if bits < 16 else f'{low},{high}'
    if not all(one.grey for one in found.values()):
        advice = 'scale them to 8 bits (data.pixel_range is for grey images in files alone)'
    else:
        advice = f'data.pixel_range={ends} says which values are black and white'
        advice += ' in all images of 16 bits' if len(found) < total else ''
    return (
        f'{len(found):,} of {total:,} images have 16 bits and use less than a quarter of their range (first '
        f'{printable(name)}: {first.low:,} to {first.high:,}): they come out with little contrast; {advice}'
    )


def narrow_in(example: Mapping[str, Any]) -> Narrow | None:
    """What an example's source noticed when it decoded the image, if anything."""
    found: Narrow | None = example.get('narrow')
    return found
