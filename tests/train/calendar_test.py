"""What is done after which step."""

import dataclasses

import pytest

from jtransfer.config import Train, Transfer
from jtransfer.train.calendar import make_calendar

TRAIN = Train(log_every=5, evaluate_every=3, checkpoint_every=4, tensorboard=False, progress=False)


def steps(calendar, name):
    return [step for step in range(1, calendar.end + 1) if getattr(calendar, name)(step)]


@pytest.fixture(scope='module')
def parts(toy):
    return toy.make('dense', Transfer('lp_ft', first_phase=0.5), train=TRAIN, steps=14)[0]


def test_everything_is_done_after_the_last_step_and_a_line_is_written_with_all_of_it(parts):
    calendar = make_calendar(parts, validated=True, written=True)
    assert steps(calendar, 'evaluates') == [3, 6, 9, 12, 14]
    assert steps(calendar, 'saves') == [4, 8, 12, 14]
    assert steps(calendar, 'changes') == [7]
    assert steps(calendar, 'tells') == [3, 4, 5, 6, 7, 8, 9, 10, 12, 14]


def test_without_validation_and_files_only_lines_and_phases_are_left(parts):
    calendar = make_calendar(parts, validated=False, written=False)
    assert steps(calendar, 'evaluates') == steps(calendar, 'saves') == []
    assert steps(calendar, 'tells') == [5, 7, 10, 14]


def test_what_is_not_configured_happens_ten_times_and_a_run_may_stop_before_the_end(parts):
    train = Train(stop_step=9)
    config = dataclasses.replace(parts.config, train=train)
    calendar = make_calendar(dataclasses.replace(parts, config=config, total_steps=40), validated=True, written=True)
    assert steps(calendar, 'evaluates') == steps(calendar, 'saves') == [4, 8, 9]
