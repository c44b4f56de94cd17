"""Settings of a hyper-parameter search: what is varied, how, and what a trial is judged by."""

import dataclasses

from jtransfer import checks
from jtransfer.config.part import Part
from jtransfer.errors import UserError

SAMPLERS = ('tpe', 'random', 'quasi_random', 'cma_es', 'grid')
PRUNERS = ('none', 'median', 'successive_halving', 'hyperband')


@dataclasses.dataclass
class Search(Part):
    """A search through Optuna, for `launch.search` and, nested in every fold, for `launch.crossval`.

    A trial is judged inside the training part: by the validation part, or by inner folds. The test part is looked at
    once, with the settings that were found.

    Attributes:
        space: what is varied, a text a field: `optim.weight_decay=uniform(0, 0.1)`, `optim.learning_rate=log(1e-5,
            1e-2)` (even on a logarithmic scale), `train.steps=int(50, 500)`, `adapters.lora_rank=log_int(2, 64)`,
            `transfer.strategy=choice(linear_probe, fine_tune)`. Both ends are possible. Of `data`, the batch size and
            the sampling may be varied; `train.steps` and `train.epochs` replace each other. Empty: no search.
        trials: how many in all, over all machines that work on the study, failed and pruned ones included, ≥ 1. More
            than before continue a study.
        folds: inner folds by which a trial is judged: the mean of their scores, each of the network that training
            leaves. 0: the best score on the validation part.
        sampler: `tpe`, `random`, `quasi_random`, `cma_es` (ranges alone) or `grid` (choices alone), all of them
            Optuna's.
        pruner: ends trials that fall behind, after a validation or an inner fold: `none`, `median`,
            `successive_halving` or `hyperband`, Optuna's with its own settings.
        storage: where the study is kept: a file that several machines append to, or a database's URL
            (`sqlite:///FILE`). Empty: a file in the run directory.
        seed: of the sampler, ≥ 0. None: the configuration's `seed`.
    """

    space: tuple[str, ...] = ()
    trials: int = 20
    folds: int = 0
    sampler: str = 'tpe'
    pruner: str = 'none'
    storage: str = ''
    seed: int | None = None

    def check(self, where: str) -> None:
        """As `Part.check`; the space is checked where the fields are known."""
        checks.one_of(f'{where}sampler', self.sampler, SAMPLERS)
        checks.one_of(f'{where}pruner', self.pruner, PRUNERS)
        checks.at_least(f'{where}trials', self.trials, 1)
        checks.at_least(f'{where}folds', self.folds, 0)
        if self.folds == 1:
            raise UserError(f'{where}folds=1 is no division: 0 takes the validation part, 2 or more are folds')
        if self.seed is not None:
            checks.seed(f'{where}seed', self.seed)
