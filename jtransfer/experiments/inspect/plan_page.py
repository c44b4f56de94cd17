"""A run before it runs, as a person reads it."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence

from rich.table import Table

from jtransfer import rules
from jtransfer.errors import UserError
from jtransfer.experiments.inspect.models import plain_table
from jtransfer.models.mode import is_frozen
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import is_classifier
from jtransfer.text.terminal import PlainConsole
from jtransfer.train.cost import StepCost
from jtransfer.transfer.plan import Plan


@dataclasses.dataclass(frozen=True)
class PlanReport:
    """A run before it runs.

    Attributes:
        model: the network, with shapes for variables.
        plan: which parameters move, of all phases.
        classes: the number of classes, and in words where it comes from.
        schedule: the configured one.
        group_bytes: bytes of the optimiser's state, by group.
        phases: costs of a step, by phase.
        full: costs of a step of plain full fine-tuning.
        backward: what backward work the compiled steps do for frozen parameters, by phase; see `frozen_backward`.
        batches: costs of a step of the last phase for other batch sizes.
    """

    model: Model
    plan: Plan
    classes: tuple[int, str]
    schedule: str
    group_bytes: Mapping[str, int]
    phases: tuple[StepCost, ...]
    full: StepCost
    backward: tuple[tuple[str, ...], ...]
    batches: tuple[StepCost, ...]

    def check(self) -> None:
        """Raises `UserError` if the compiled step does backward work for frozen parameters."""
        for phase, found in enumerate(self.backward):
            if found:
                more = f' (and {len(found) - 1} more)' if len(found) > 1 else ''
                where = f' in phase {phase}' if len(self.phases) > 1 else ''
                raise UserError(
                    f'the compiled step does backward work for frozen parameters{where}: {found[0]}{more}; '
                    'that is a fault of the library, not of the configuration'
                )

    def __str__(self) -> str:
        """The report as plain text."""
        plan, size = self.plan, self.model.preprocessing.size_in_words()
        console = PlainConsole(file=io.StringIO(), width=200)

        def say(line: str) -> None:
            console.print(line, soft_wrap=True)

        (count, origin), what = self.classes, 'classes' if is_classifier(self.model.tasks) else 'outputs'
        say(f'{self.model.architecture}, input {size}, {count} {what} ({origin})')
        say(f'trained: {plan.trained()}; frozen: {plan.frozen()}')
        for line in plan.notes:
            say(line)
        say(f'optimiser state: {_bytes(sum(self.group_bytes.values()))}')
        for table in (self._groups(), self._norms(), self._costs(), self._batches()):
            if table is not None:
                console.print(table)
        say(self._verdict())
        text = console.file.getvalue()  # type: ignore[attr-defined]
        lines = [line.rstrip() for line in text.splitlines()]
        # rich puts an empty line above and below a table.
        return '\n'.join(line for line, after in zip(lines, [*lines[1:], '.'], strict=True) if line or after) + '\n'

    def _groups(self) -> Table:
        table = _table(
            ('group', 'rule', 'from phase', 'schedule'),
            ('tensors', 'elements', 'learning rate ×', 'decay', 'optimiser state'),
        )
        for row in self.plan.rows():
            moves = row['trainable']
            table.add_row(
                *(row['group'], row['pattern'], str(row['phase']) if moves else 'frozen'),
                (row['schedule'] or self.schedule) if moves else '-',
                f'{row["tensors"]:,}',
                f'{row["elements"]:,}',
                f'{row["learning_rate_scale"]:g}' if moves else '-',
                f'{row["weight_decay"]:g}' if moves else '-',
                _bytes(self.group_bytes[row['group']]) if moves else '-',
            )
        tensors = sum(len(group.paths) for group in self.plan.groups)
        total = _bytes(sum(self.group_bytes.values()))
        table.add_row('total', '', '', '', f'{tensors:,}', f'{self.plan.elements:,}', '', '', total)
        return table

    def _norms(self) -> Table | None:
        modes = [batch_norm_modes(self.model, self.plan.at_phase(phase)) for phase in range(len(self.phases))]
        if not modes[0]:
            return None
        table = _table(('batch normalisation', *self._phase_names('normalises with')), ())
        for stage in modes[0]:
            table.add_row(stage, *(of_phase[stage] for of_phase in modes))
        return table

    def _costs(self) -> Table:
        one = self.phases[0]
        devices = f' on {one.devices} devices' if one.devices > 1 else ''
        table = _table(
            (f'a step of {one.batch_size} images{devices}',),
            ('operations', 'an image', 'of full', 'peak bytes', 'of full', 'temporaries', 'optimiser state'),
        )
        named = [*zip(self._phase_names('this plan'), self.phases, strict=True), ('full fine-tuning', self.full)]
        for name, cost in named:
            table.add_row(
                name,
                _count(cost.flops),
                _count(cost.flops_per_image),
                f'{cost.flops / self.full.flops:.1%}',
                _bytes(cost.peak_bytes),
                f'{cost.peak_bytes / self.full.peak_bytes:.1%}',
                _bytes(cost.temp_bytes),
                _bytes(cost.optimizer_bytes),
            )
        return table

    def _batches(self) -> Table | None:
        if not self.batches:
            return None
        table = _table((), ('images a step', 'peak bytes', 'temporaries', 'operations'))
        for cost in self.batches:
            cells = (_bytes(cost.peak_bytes), _bytes(cost.temp_bytes), _count(cost.flops))
            table.add_row(f'{cost.batch_size:,}', *cells)
        return table

    def _verdict(self) -> str:
        if any(self.backward):
            return '\n'.join(
                f'backward work for frozen parameters: {line}' for found in self.backward for line in found
            )
        if all_move(self.plan.at_phase(0)):
            return 'nothing is frozen'
        return 'no backward work for frozen parameters in the compiled program'

    def _phase_names(self, only: str) -> list[str]:
        return [f'phase {phase}' for phase in range(len(self.phases))] if len(self.phases) > 1 else [only]


def batch_norm_modes(model: Model, plan: Plan) -> dict[str, str]:
    """By stage, which statistics its batch normalisations use in training; empty for a network without any."""
    frozen = plan.frozen_modules
    stages: dict[str, list[bool]] = {f'backbone/{stage}': [] for stage in model.network.stages}
    for path in rules.flatten(model.variables.get('batch_stats', {})):
        module = path.split('/')[:-1]
        if path.endswith('/mean'):
            stages.setdefault('/'.join(module[:2]), []).append(is_frozen(module, frozen))
    return {stage: _mode(layers) for stage, layers in stages.items() if layers}


def _mode(layers: Sequence[bool]) -> str:
    running, count = sum(layers), len(layers)
    if 0 < running < count:
        return f'batch statistics in {count - running} of {count} layers, running statistics in the others'
    return f'{"running" if running else "batch"} statistics ({count} layer{"s" if count > 1 else ""})'


def all_move(plan: Plan) -> bool:
    """Whether nothing is frozen."""
    return all(group.trainable for group in plan.groups)


def _table(texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = plain_table(*texts)
    for heading in numbers:
        table.add_column(heading, justify='right', no_wrap=True)
    return table


def _bytes(number: int) -> str:
    for unit, size in (('GiB', 2**30), ('MiB', 2**20), ('KiB', 2**10)):
        if number >= size:
            return f'{number / size:.1f} {unit}'
    return f'{number} B'


def _count(number: float) -> str:
    for unit, size in (('T', 1e12), ('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if number >= size:
            return f'{number / size:.3g} {unit}FLOP'
    return f'{number:.3g} FLOP'
