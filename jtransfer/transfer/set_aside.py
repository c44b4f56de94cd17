"""What is meant for pretrained weights has no effect on random ones.

A configuration for fine-tuning slows the backbone, freezes stages or pulls towards the source, because what is there is
worth keeping. With `scratch` there is nothing to keep: the same settings would only hold training back, and a
comparison of strategies would be won by starving the baseline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jtransfer.config.transfer import Transfer

FOR_PRETRAINED = (
    *('backbone_learning_rate_scale', 'stage_learning_rates', 'layer_decay', 'freeze_until', 'frozen_dtype'),
    *('l2_sp', 'l2_sp_head', 'decay_to_source', 'distill'),
)


def for_weights(transfer: Transfer) -> tuple[Transfer, tuple[str, ...]]:
    """The settings as they apply to the weights that the strategy starts from.

    >>> for_weights(Transfer('scratch', layer_decay=0.75))[1]
    ('transfer.layer_decay=0.75',)

    Args:
        transfer: as configured.

    Returns:
        The settings, of `scratch` without those for pretrained weights, and these as `FIELD=VALUE`.
    """
    if transfer.strategy != 'scratch':
        return transfer, ()
    usual = Transfer()
    fields = [name for name in FOR_PRETRAINED if getattr(transfer, name) != getattr(usual, name)]
    # Running statistics of nothing: of new weights only those of the batch mean anything.
    fields += ['batch_norm'] if transfer.batch_norm == 'evaluate' else []
    values = {name: getattr(usual, name) for name in fields}
    aside = tuple(f'transfer.{name}={getattr(transfer, name)}' for name in fields)
    return dataclasses.replace(transfer, **values), aside


def random_weights_notes(aside: Sequence[str], rules: Sequence[tuple[str, str]] = ()) -> tuple[str, ...]:
    """The line that says what became of settings for pretrained weights; nothing where there were none.

    Args:
        aside: what was set aside, as `for_weights` gives it.
        rules: rules of one's own, as they are written, that freeze or slow parts of the backbone.
    """
    said = []
    if aside:
        verb = 'are for pretrained weights and were' if len(aside) > 1 else 'is for pretrained weights and was'
        said.append(f'{", ".join(aside)} {verb} set aside')
    if rules:
        written = ', '.join(f'{pattern}: {treatment}' for pattern, treatment in rules)
        said.append(f'transfer.rules were applied to random weights as written ({written})')
    return (f'scratch: {"; ".join(said)}',) if said else ()
