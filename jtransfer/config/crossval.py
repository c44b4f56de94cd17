"""Settings of cross-validation: the folds, how they are run, and what becomes of their networks."""

import dataclasses

from jtransfer import checks
from jtransfer.config.part import Part
from jtransfer.errors import UserError

SPLITTERS = ('auto', 'k_fold', 'stratified', 'grouped', 'stratified_grouped', 'leave_one_group_out', 'multi_label')
AFTERWARDS = ('none', 'ensemble', 'soup', 'refit')


@dataclasses.dataclass
class CrossVal(Part):
    """The folds, for `launch.crossval`.

    A source's own test part is in no fold, and its own validation part chooses the best checkpoint in every fold;
    without one, `data.validation_fraction` of each fold's training part does. `data.test_fraction` is for single runs.

    Attributes:
        folds: how many, ≥ 2.
        repeats: of the whole division, each by another draw, ≥ 1.
        splitter: `k_fold`, `stratified`, `grouped`, `stratified_grouped`, `leave_one_group_out` (scikit-learn's) or
            `multi_label` (iterative stratification; Sechidis et al., 2011). `auto`: stratified where there are
            classes, by groups where there are groups or duplicates.
        seed: of the folds. None: `data.split_seed`, or the configuration's `seed`.
        file: a JSON file of folds, made by an earlier run, to use again. Empty: make them.
        test_fraction: share of the examples held out before the folds are made, on which what comes afterwards is
            tested, where the source has no test part of its own, in [0, 1).
        side_by_side: train all folds at once, over the devices.
        afterwards: what the networks of the folds are used for: `ensemble` (mean of their probabilities), `soup`
            (greedy average of their weights, chosen on `soup_fraction`), `refit` (on all examples, for the mean of the
            folds' best steps) or `none`.
        soup_fraction: share of the examples held out before the folds are made, to choose the soup's members by, where
            the source has no validation part of its own; in (0, 1).
        duplicate_embeddings: also compare pictures by the features of the configured backbone, by cosine similarity.
            0: do not, else the least similarity of a duplicate, in (0, 1).
    """

    folds: int = 5
    repeats: int = 1
    splitter: str = 'auto'
    seed: int | None = None
    file: str = ''
    test_fraction: float = 0.0
    side_by_side: bool = False
    afterwards: str = 'none'
    soup_fraction: float = 0.1
    duplicate_embeddings: float = 0.0

    def check(self, where: str) -> None:
        """As `Part.check`."""
        checks.one_of(f'{where}splitter', self.splitter, SPLITTERS)
        checks.one_of(f'{where}afterwards', self.afterwards, AFTERWARDS)
        checks.at_least(f'{where}folds', self.folds, 2)
        checks.at_least(f'{where}repeats', self.repeats, 1)
        if self.seed is not None:
            checks.seed(f'{where}seed', self.seed)
        for name in ('test_fraction', 'soup_fraction', 'duplicate_embeddings'):
            checks.fraction(f'{where}{name}', getattr(self, name))
        if not self.soup_fraction:
            raise UserError(f'{where}soup_fraction=0 leaves nothing to choose the members of a soup by')
        if self.afterwards == 'soup' and self.test_fraction + self.soup_fraction >= 1:
            raise UserError(f'{where}test_fraction + {where}soup_fraction must leave examples for folds (be below 1)')
        if self.repeats > 1 and self.splitter == 'leave_one_group_out':
            raise UserError(f'{where}splitter=leave_one_group_out has one division only: leave {where}repeats at 1')
