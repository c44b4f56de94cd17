"""What a training says while it is under way, and in which order it takes note of a validation."""

import contextlib

import pytest

from jtransfer.config import Train, Transfer
from jtransfer.train import loop
from jtransfer.train.logs.log import read_log
from tests.train.folds import OnceFolds, feeder, folders

STEPS = 4
TRAIN = Train(log_every=1, evaluate_every=2, tensorboard=False, progress=True)


class Ended(Exception):
    pass


@pytest.fixture
def told(monkeypatch):
    """The title of the progress bar, and what it is told."""
    said = []

    @contextlib.contextmanager
    def bar(title, total, *, start, show):
        said.append((title, total, start, show))
        yield lambda step, text=None: said.append((step, text))

    monkeypatch.setattr(loop, 'progress_bar', bar)
    return said


def test_a_plain_run_tells_of_itself_and_several_lanes_of_their_means(toy, told):
    parts, variables = toy.make('dense', Transfer('lp_ft', first_phase=0.5), train=TRAIN, steps=STEPS)
    placement, both = toy.placement(1), OnceFolds(2, 1)
    scores = iter((0.25, 0.5))
    loop.fit(parts, variables, toy.feeder(placement), placement, validate=lambda _: {'score': next(scores)})
    loop.fit_lanes(
        parts, variables, feeder(2, both), both, validate=lambda number, _: {'top1': (0.25, 0.5)[number], 'loss': 1.0}
    )
    (alone, *first), (together, *second) = told[: STEPS + 1], told[STEPS + 1 :]
    assert alone == (parts.config.name, STEPS, 0, True)
    assert together == (f'{parts.config.name}, 2 folds', STEPS, 0, True)
    assert [step for step, _ in first] == [step for step, _ in second] == [1, 2, 3, 4]
    assert all(text.startswith('loss ') and '  accuracy ' in text for _, text in first + second)
    assert ['validation' in text for _, text in first] == ['validation' in text for _, text in second]
    assert '  validation 0.250  now training ' in first[1][1]
    assert first[3][1].endswith('  validation 0.500')
    assert '  validation 37.5%  now training ' in second[1][1]


def test_whoever_observes_a_validation_may_end_the_training_before_its_line_is_written(toy, tmp_path):
    parts, variables = toy.make('dense', train=TRAIN, steps=STEPS)
    placement = toy.placement(1)
    seen = []

    def observe(step, scores):
        seen.append((step, scores))
        if step == STEPS:
            raise Ended

    with pytest.raises(Ended):
        loop.fit(
            parts,
            variables,
            toy.feeder(placement),
            placement,
            validate=lambda _: {'top1': 0.5},
            observe=observe,
            run_dir=tmp_path,
        )
    assert seen == [(2, {'top1': 0.5}), (4, {'top1': 0.5})]
    assert [line['step'] for line in read_log(tmp_path / 'metrics.jsonl')] == [1, 2, 3]


def test_as_many_run_directories_as_lanes_are_asked_for(toy, tmp_path):
    parts, variables = toy.make('dense', train=TRAIN, steps=STEPS)
    placement = OnceFolds(2, 1)
    with pytest.raises(ValueError, match='3 run directories for 2 lanes'):
        loop.fit_lanes(parts, variables, feeder(2, placement), placement, run_dirs=folders(tmp_path, 3))
