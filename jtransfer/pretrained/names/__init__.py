"""The name maps: a file a family, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jtransfer.pretrained.load.namemap import NameMap
from jtransfer.pretrained.names import alexnet, bit, convnext, googlenet, mobilenet_v2, resnet, vgg, vit

# A family's namings may depend on the network (the indices of VGG's layers do).
_NAMINGS: dict[str, Callable[[Any], Sequence[NameMap]]] = {
    'alexnet': alexnet.namings,
    'bit': bit.namings,
    'convnext': convnext.namings,
    'googlenet': googlenet.namings,
    'mobilenet_v2': mobilenet_v2.namings,
    'resnet': resnet.namings,
    'vgg': vgg.namings,
    'vit': vit.namings,
}


def add_namings(family: str, make: Callable[[Any], Sequence[NameMap]]) -> None:
    """Makes the namings of a family outside this package known; see `models.add_family`.

    Args:
        family: of the variants.
        make: from a backbone to the namings in which such networks are published, the most usual first.
    """
    _NAMINGS[family] = make


def namings(family: str, backbone: Any) -> Sequence[NameMap]:
    """The namings in which a network of a family is published, the most usual first; none of a family without any.

    Args:
        family: of the variant.
        backbone: the module.
    """
    return _NAMINGS[family](backbone) if family in _NAMINGS else ()
