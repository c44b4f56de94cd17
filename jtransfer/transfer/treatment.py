"""What a rule does to the parameters it matches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jtransfer.checks import nearest
from jtransfer.config.optim import SCHEDULES, optimizers
from jtransfer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Treatment:
    """Whether parameters move, and how.

    Attributes:
        trainable: whether they move at all.
        learning_rate_scale: factor on the learning rate, > 0.
        weight_decay: decay coefficient, ≥ 0. None: the configured one on kernels, none on anything else.
        optimizer: of `config.optim.optimizers()`. None: the configured one.
        schedule: of `config.optim.SCHEDULES`. None: the configured one.
        phase: the phase from which on they move, ≥ 0; frozen before.
    """

    trainable: bool = True
    learning_rate_scale: float = 1.0
    weight_decay: float | None = None
    optimizer: str | None = None
    schedule: str | None = None
    phase: int = 0

    @property
    def holds_back(self) -> bool:
        """Whether parameters move less, or later, than others would."""
        return not self.trainable or self.learning_rate_scale < 1 or self.phase > 0


# Setting in a rule's text → field, and what reads its value.
_SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    'learning_rate': ('learning_rate_scale', float),
    'weight_decay': ('weight_decay', float),
    'optimizer': ('optimizer', str),
    'schedule': ('schedule', str),
    'phase': ('phase', int),
}


def parse_treatment(pattern: str, text: str) -> Treatment:
    """The treatment that a rule's text stands for.

    >>> parse_treatment('head/.*', 'learning_rate=0.1,optimizer=sgd')
    Treatment(trainable=True, learning_rate_scale=0.1, weight_decay=None, optimizer='sgd', schedule=None, phase=0)

    Args:
        pattern: the rule's pattern, for the error message.
        text: `freeze`, `train`, or comma-separated settings of `learning_rate` (a factor), `weight_decay`, `optimizer`,
            `schedule` and `phase`.

    Raises:
        UserError: anything else.
    """
    if text == 'freeze':
        return Treatment(trainable=False)
    if text == 'train':
        return Treatment()
    fields: dict[str, Any] = {}
    for item in text.split(','):
        key, equals, value = (part.strip() for part in item.partition('='))
        if key not in _SETTINGS or not equals:
            hint = nearest(key, ('freeze', 'train', *_SETTINGS))
            raise UserError(
                f"the treatment '{text}' of the rule '{pattern}' is not freeze, train, or settings such as "
                f'learning_rate=0.1,weight_decay=0.{hint}'
            )
        field, read = _SETTINGS[key]
        if field in fields:
            raise UserError(f"the rule '{pattern}' sets {key} twice")
        try:
            fields[field] = read(value)
        except ValueError:
            kind = 'whole number' if read is int else 'number'
            raise UserError(f"'{item}' in the rule '{pattern}' needs a {kind} after the equals sign") from None
    treatment = Treatment(**fields)
    if not 0 < treatment.learning_rate_scale < float('inf'):
        raise UserError(f"learning_rate in the rule '{pattern}' must be above 0; to hold parameters still, use freeze")
    if not 0 <= (treatment.weight_decay or 0.0) < float('inf'):
        raise UserError(f"weight_decay in the rule '{pattern}' must be at least 0")
    if treatment.phase < 0:
        raise UserError(f"phase in the rule '{pattern}' must be at least 0, the first")
    for name, chosen, known in (
        ('optimizer', treatment.optimizer, optimizers()),
        ('schedule', treatment.schedule, SCHEDULES),
    ):
        if chosen is not None and chosen not in known:
            raise UserError(f"{name}={chosen} in the rule '{pattern}' is not one of {', '.join(known)}")
    return treatment
