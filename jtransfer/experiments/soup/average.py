"""What a soup is made with: networks to average, images to judge an average by, images to take its statistics over."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

from jtransfer import rules
from jtransfer.config import Config
from jtransfer.evaluate.forward import Forward, make_forward
from jtransfer.experiments.data.read import Examples
from jtransfer.experiments.run.score import score
from jtransfer.experiments.soup.recalibrate import Statistics, make_statistics, mixed_batches, recalibrate_statistics
from jtransfer.pretrained.model import Model
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.transfer import averaging
from jtransfer.transfer.averaging import Variables

_STATISTICS = 'batch_stats'


@dataclasses.dataclass(frozen=True, eq=False)
class WeightAverager:
    """What scores a network on the validation part, and corrects the statistics of an average.

    Attributes:
        model: the network; its variables are of no account.
        config: of the first run.
        trees: what can be averaged, by name.
        validation: held-out examples, if there are any.
        training: what statistics are taken over; None: they stay averaged.
    """

    model: Model
    config: Config
    trees: Mapping[str, Variables]
    validation: Examples | None
    training: Examples | None

    @functools.cached_property
    def forward(self) -> Forward:
        return make_forward(self.model.network, self.model.preprocessing)

    @functools.cached_property
    def statistics(self) -> Statistics:
        return make_statistics(self.model.network, self.model.preprocessing)

    def metrics(self, examples: Examples, variables: Variables) -> Measured:
        return score(self.model, examples, self.config, variables=variables, forward=self.forward).metrics

    def score(self, variables: Variables) -> float | None:
        """On the validation part, the accuracy where there is one label an image; None without a validation part."""
        return None if self.validation is None else self.metrics(self.validation, variables).score

    def judged(self, variables: Variables) -> tuple[float, float]:
        """Score and loss on the validation part, which must be there."""
        assert self.validation is not None
        metrics = self.metrics(self.validation, variables)
        return metrics.score, metrics.loss

    def corrects(self, members: Sequence[str]) -> int:
        """Over how many images the statistics of an average are to be taken; 0 where they belong to a member."""
        trees = [self.trees[name] for name in members]
        return len(self.training.held) if self.training is not None and statistics_move(trees) else 0

    def finish(self, members: tuple[str, ...], average: Variables) -> Variables:
        """The average with statistics of its own."""
        if self.training is None or not self.corrects(members):
            return average
        still = averaging.unmoved((self.trees[name] for name in members), _STATISTICS)
        batches = mixed_batches(self.training, self.config.evaluate.batch_size, self.config.seed)
        return recalibrate_statistics(self.model, batches, variables=average, frozen=still, statistics=self.statistics)


def statistics_move(trees: Iterable[Variables]) -> bool:
    """Whether any statistics differ between the trees."""
    trees = list(trees)
    modules = {path.rpartition('/')[0] for path in rules.flatten(trees[0].get(_STATISTICS, {}))}
    return modules != set(averaging.unmoved(trees, _STATISTICS))
