"""What a rule does to the parameters it matches."""

from __future__ import annotations

import dataclasses

from jtransfer.config_check import nearest
from jtransfer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Treatment:
    """Whether parameters move, and how.

    Attributes:
        trainable: whether they move at all.
        learning_rate_scale: factor on the learning rate, > 0.
        weight_decay: decay coefficient, ≥ 0. None: the configured one on kernels, none on anything else.
    """

    trainable: bool = True
    learning_rate_scale: float = 1.0
    weight_decay: float | None = None


def parse_treatment(pattern: str, text: str) -> Treatment:
    """The treatment that a rule's text stands for.

    >>> parse_treatment('head/.*', 'learning_rate=0.1,weight_decay=0')
    Treatment(trainable=True, learning_rate_scale=0.1, weight_decay=0.0)

    Args:
        pattern: the rule's pattern, for the error message.
        text: `freeze`, `train`, or comma-separated settings of `learning_rate` (a factor) and `weight_decay`.

    Raises:
        UserError: anything else.
    """
    if text == 'freeze':
        return Treatment(trainable=False)
    if text == 'train':
        return Treatment()
    settings = {}
    for item in text.split(','):
        key, equals, value = (part.strip() for part in item.partition('='))
        if key not in ('learning_rate', 'weight_decay') or not equals:
            hint = nearest(key, ('freeze', 'train', 'learning_rate', 'weight_decay'))
            raise UserError(
                f"the treatment '{text}' of the rule '{pattern}' is not freeze, train, or settings such as "
                f'learning_rate=0.1,weight_decay=0.{hint}'
            )
        try:
            settings[key] = float(value)
        except ValueError:
            raise UserError(f"'{item}' in the rule '{pattern}' needs a number after the equals sign") from None
    if not 0 < settings.get('learning_rate', 1.0) < float('inf'):
        raise UserError(f"learning_rate in the rule '{pattern}' must be above 0; to hold parameters still, use freeze")
    if not 0 <= settings.get('weight_decay', 0.0) < float('inf'):
        raise UserError(f"weight_decay in the rule '{pattern}' must be at least 0")
    return Treatment(True, settings.get('learning_rate', 1.0), settings.get('weight_decay'))
