"""What metrics say of themselves unless their kind says otherwise."""

import dataclasses

import numpy as np
import pytest

from jtransfer.tasks.metrics.figure import SHARE, Figure
from jtransfer.tasks.metrics.measured import Measured


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    pair: tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kappa(Measured):
    kappa: float
    parts: tuple[Part, ...] = (Part(pair=(1, 2)),)
    matrix: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(2), compare=False)

    @property
    def score_figure(self):
        return Figure('kappa', self.kappa, SHARE, (0.25, 0.75), self.confidence)


def test_lines_have_the_interval():
    metrics = Kappa(examples=1200, loss=0.5, kappa=0.5, confidence=0.9)
    assert metrics.headline() == 'kappa 50.0% (90% interval 25.0% to 75.0%) on 1,200 examples'
    assert metrics.title() == ('kappa 50.0%', '90% interval 25.0% to 75.0%, 1,200 examples')
    assert metrics.describe('test') == f'{metrics.headline()} (test)'
    assert metrics.of_tasks() == {'': metrics}


def test_records_have_every_field_but_arrays():
    values = Kappa(examples=12, loss=0.5, kappa=0.5).to_dict()
    assert values['parts'] == [{'pair': [1, 2]}]
    assert 'matrix' not in values
    assert 'absent' not in values
    absent = Kappa(examples=12, loss=0.5, kappa=0.5).with_absent(('a',))
    assert absent.to_dict()['absent'] == ['a']
    assert absent.without_figure() == ('a',)


def test_a_kind_must_say_its_score():
    with pytest.raises(NotImplementedError):
        Measured(examples=1, loss=0.0).score  # noqa: B018
