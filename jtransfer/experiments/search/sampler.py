"""Optuna's samplers and pruners by name, the former drawing by (seed, number of the trial)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jtransfer.errors import UserError
from jtransfer.experiments.search.space import Dimension


def check_sampler(name: str, space: Sequence[Dimension]) -> None:
    """Raises `UserError` for a sampler that does not fit the space, or whose package is missing."""
    numbers = [dimension for dimension in space if not dimension.choices]
    choices = [dimension for dimension in space if dimension.choices]
    if name == 'grid' and numbers:
        raise UserError(f'search.sampler=grid goes through choices, and {numbers[0].field} is a range: use choice(…)')
    if name == 'cma_es':
        if choices:
            raise UserError(f'search.sampler=cma_es is for ranges, and {choices[0].field} is a choice: use tpe')
        if len(numbers) < 2:
            raise UserError('search.sampler=cma_es is for two fields or more: use tpe')
        try:
            import cmaes  # noqa: F401
        except ImportError:
            raise UserError('search.sampler=cma_es needs the package cmaes: pip install cmaes') from None


def grid_size(space: Sequence[Dimension]) -> int:
    """How many combinations the choices of a space have."""
    return math.prod(len(dimension.choices) for dimension in space)


def make_pruner(name: str) -> Any:
    """The pruner of `search.pruner`, with Optuna's defaults."""
    from optuna import pruners

    if name == 'median':
        return pruners.MedianPruner()
    if name == 'successive_halving':
        return pruners.SuccessiveHalvingPruner()
    return pruners.HyperbandPruner() if name == 'hyperband' else pruners.NopPruner()


def make_sampler(name: str, space: Sequence[Dimension], seed: int) -> Any:
    """The sampler of `search.sampler`, made anew for every trial with a seed of its own.

    Optuna's samplers draw from the state of one generator. Two processes with the same seed would then try the same
    settings, and one that goes on after a stop would begin its sequence again. `quasi_random` and `grid` keep the one
    seed, for all processes must agree on the sequence.

    Args:
        name: of `SAMPLERS`.
        space: what is varied.
        seed: ≥ 0.
    """
    from optuna import samplers

    def of_trial(number: int) -> Any:
        drawn = int(np.random.default_rng((seed, number)).integers(2**32))
        if name == 'random':
            return samplers.RandomSampler(seed=drawn)
        if name == 'cma_es':
            return samplers.CmaEsSampler(seed=drawn, warn_independent_sampling=False)
        if name == 'grid':
            return samplers.GridSampler({each.field: each.choices for each in space}, seed=seed % 2**32)
        if name == 'quasi_random':
            return samplers.QMCSampler(
                scramble=True,
                seed=seed % 2**32,
                independent_sampler=samplers.RandomSampler(seed=drawn),
                warn_independent_sampling=False,
                warn_asynchronous_seeding=False,
            )
        return samplers.TPESampler(seed=drawn)

    class ByNumber(samplers.BaseSampler):
        """Hands every trial to a sampler of its own."""

        def __init__(self) -> None:
            self._sampler = of_trial(0)

        def before_trial(self, study: Any, trial: Any) -> None:
            self._sampler = of_trial(trial.number)
            self._sampler.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._sampler.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._sampler.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return self._sampler.sample_independent(study, trial, param_name, param_distribution)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            if name != 'grid':  # which would stop a loop of Optuna's own
                self._sampler.after_trial(study, trial, state, values)

    return ByNumber()
