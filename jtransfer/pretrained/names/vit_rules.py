"""What the tables of published Vision Transformers are put together from, beside `common`."""

from __future__ import annotations

from jtransfer.pretrained.load.layouts import SAME, Heads, HeadsOut, Layout
from jtransfer.pretrained.load.namemap import Rule
from jtransfer.pretrained.names.common import affine, dense

EMBED = 'params/backbone/embed'
BLOCK = 'backbone/block{i}'
QKV = ('query', 'key', 'value')
HEADS = Heads()
HEADS_OUT = HeadsOut()


def embedding(theirs: str, ours: str, layout: Layout = SAME) -> Rule:
    """A learnt token or the position embeddings, `ours` being the name below the stage embed."""
    return Rule(theirs, f'{EMBED}/{ours}', layout)


def fused(theirs: str, ours: str, parts: tuple[str, ...] = QKV, leaf: str = '.{}') -> tuple[Rule, ...]:
    """A torch layer that gives queries, keys and values (or those `parts` of them) at once.

    Args:
        theirs: its name.
        ours: path of the attention below `params`.
        parts: in the order of its rows.
        leaf: what follows its name, `{}` being weight or bias.
    """
    return tuple(
        Rule(theirs + leaf.format(published), tuple(f'params/{ours}/{part}/{own}' for part in parts), HEADS)
        for published, own in (('weight', 'kernel'), ('bias', 'bias'))
    )


def separate(theirs: tuple[str, str, str, str], ours: str) -> tuple[Rule, ...]:
    """Four torch layers for queries, keys, values and the output of an attention.

    Args:
        theirs: their names.
        ours: path of the attention below `params`.
    """
    projections = (rule for name, part in zip(theirs[:3], QKV, strict=True) for rule in fused(name, ours, (part,)))
    return (*projections, *affine(theirs[3], f'{ours}/out', HEADS_OUT))


def head(names: tuple[str, ...], pooled_parts: int) -> tuple[Rule, ...]:
    """The linear head, or one for each part of the pooled features.

    Args:
        names: of the only head, and of the parts' heads.
        pooled_parts: of the backbone.
    """
    if pooled_parts == 1:
        return dense(names[0], 'head')
    parts = names[-pooled_parts:]
    return tuple(rule for index, name in enumerate(parts) for rule in dense(name, f'head/part{index}'))
