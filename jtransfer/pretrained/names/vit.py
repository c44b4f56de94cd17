"""Published names of Vision Transformers."""

from __future__ import annotations

from collections.abc import Sequence

from jtransfer.models.vit.network import ViT
from jtransfer.pretrained.load.namemap import NameMap
from jtransfer.pretrained.names import vit_google, vit_huggingface, vit_timm
from jtransfer.pretrained.names.vit_clip import OPENAI_CLIP


def namings(backbone: ViT) -> Sequence[NameMap]:
    """All of them, timm's first: what a file lacks or has beyond the network is for the load to say."""
    huggingface = (
        vit_huggingface.vit(backbone),
        vit_huggingface.deit(backbone),
        vit_huggingface.dinov2(backbone),
        vit_huggingface.clip(backbone),
        vit_huggingface.siglip(backbone),
    )
    vit, _, dinov2, clip, _ = huggingface
    return (
        vit_timm.timm(backbone),
        vit_timm.dinov2(backbone),
        vit_timm.deit(backbone),
        *huggingface,
        # The library has no Flax form of the others.
        *(vit_huggingface.in_flax(naming) for naming in (vit, dinov2, clip)),
        vit_google.vit_jax(backbone),
        vit_google.big_vision(backbone),
        vit_google.big_vision_scan(backbone),
        OPENAI_CLIP,
    )
