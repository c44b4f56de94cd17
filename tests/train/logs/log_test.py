"""The metrics of a run: every step once, whatever happened to the run before."""

import itertools
import json
import math
import time

import numpy as np
import pytest

from jtransfer.errors import RunWarning, UserError, WritingError
from jtransfer.train.logs.log import MetricLog, read_log
from tests.full_disk import files_up_to


def write(directory, steps, **settings):
    log = MetricLog(directory, **{'tensorboard': False, **settings})
    for step in steps:
        log.write(step, {'loss': step / 2})
    log.close()


def steps_of(directory):
    return [line['step'] for line in read_log(directory / 'metrics.jsonl')]


def events(directory):
    """The scalars of all event files, as TensorBoard reads them: what a restart purges is gone."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in sorted((directory / 'tensorboard').iterdir()):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], 'little')
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.HasField('session_log') and event.session_log.status == event.session_log.START:
                found = {key: values for key, values in found.items() if key[1] < event.step}
            for value in event.summary.value:
                found.setdefault((value.tag, event.step), []).append(value.simple_value)
    return found


def test_a_line_a_step(tmp_path):
    write(tmp_path, [1, 2])
    lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{'step': 1, 'loss': 0.5}, {'step': 2, 'loss': 1.0}]


def test_lines_are_on_disk_at_once(tmp_path):
    log = MetricLog(tmp_path, tensorboard=False)
    log.write(1, {'loss': np.float32(0.25)})
    assert read_log(tmp_path / 'metrics.jsonl') == [{'step': 1, 'loss': 0.25}]
    log.close()


def test_a_resumed_run_drops_what_it_will_write_again(tmp_path):
    write(tmp_path, range(1, 9))
    write(tmp_path, [6, 7, 8, 9], start_step=5)
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_run_that_starts_anew_drops_everything(tmp_path):
    write(tmp_path, range(1, 4))
    write(tmp_path, [1])
    assert steps_of(tmp_path) == [1]


def test_what_is_not_finite_becomes_null(tmp_path):
    log = MetricLog(tmp_path, tensorboard=False)
    log.write(1, {'nan': math.nan, 'inf': np.float32(np.inf), 'one': 1})
    log.close()
    text = (tmp_path / 'metrics.jsonl').read_text()
    assert json.loads(text, parse_constant=lambda name: 1 / 0) == {'step': 1, 'nan': None, 'inf': None, 'one': 1.0}


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    write(tmp_path, range(1, 4))
    path = tmp_path / 'metrics.jsonl'
    for cut in range(2, 12):
        path.write_text('{"step": 1, "loss": 0.5}\n' + '{"step": 2, "loss": 1.0}'[:cut])
        assert steps_of(tmp_path) == [1]
    write(tmp_path, [2], start_step=1)
    assert steps_of(tmp_path) == [1, 2]
    assert path.read_text().endswith('{"step": 2, "loss": 1.0}\n')


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('', 'an empty file'),
        ('{"step": 2', 'no JSON'),
        ('\x00\x00', 'no JSON'),
        ('5', 'its JSON is no object'),
        ('{"loss": 1.0}', "it has no 'step'"),
        ('{"step": "2"}', "'step' must be a whole number"),
        ('{"step": 2, "loss": [1]}', "'loss' must be a number or null"),
        ('[' * 100_000, 'JSON that is nested too deeply'),
        ('{"step": 1' + '0' * 50 + '}', 'a number of 51 digits'),
    ],
)
def test_a_damaged_line_within_is_one_line(tmp_path, line, message):
    path = tmp_path / 'metrics.jsonl'
    path.write_text(f'{{"step": 1, "loss": 0.5}}\n{line}\n{{"step": 3, "loss": 0.5}}\n')
    with pytest.raises(UserError, match=f'^line 2 of .*metrics.jsonl is damaged: {message}.*; delete the line') as told:
        read_log(path)
    assert '\n' not in str(told.value)


def test_a_full_disk_is_one_line_and_takes_no_line_that_was_there(tmp_path):
    log = MetricLog(tmp_path, tensorboard=False)
    with files_up_to(100), pytest.raises(WritingError, match=r'metrics\.jsonl cannot be written: File too large'):
        _ = [log.write(step, {'loss': 0.5}) for step in range(1, 9)]
    log.close()
    assert (tmp_path / 'metrics.jsonl').stat().st_size == 100
    assert steps_of(tmp_path) == [1, 2, 3, 4]


def test_no_file_no_lines(tmp_path):
    assert read_log(tmp_path / 'metrics.jsonl') == []


def test_tensorboard_gets_the_same_numbers(tmp_path):
    write(tmp_path, [1, 2], tensorboard=True)
    assert events(tmp_path) == {('loss', 1): [0.5], ('loss', 2): [1.0]}


def test_tensorboard_shows_every_step_once_after_a_resume(tmp_path, monkeypatch):
    seconds = itertools.count(1_800_000_000)  # event files are named by the second they were begun in
    monkeypatch.setattr(time, 'time', lambda: float(next(seconds)))
    write(tmp_path, [1, 2, 3], tensorboard=True)  # killed before its first checkpoint
    write(tmp_path, [1, 2, 3, 4], tensorboard=True)
    write(tmp_path, [3, 4, 5], tensorboard=True, start_step=2)
    assert events(tmp_path) == {('loss', step): [step / 2] for step in range(1, 6)}


def test_no_tensorboard_no_files(tmp_path):
    write(tmp_path, [1, 2])
    assert [path.name for path in tmp_path.iterdir()] == ['metrics.jsonl']


def test_lines_that_are_lost_or_out_of_order_are_said(tmp_path):
    write(tmp_path, range(2, 11, 2))
    path = tmp_path / 'metrics.jsonl'
    whole = path.read_text().splitlines(keepends=True)
    path.write_text(''.join(whole[:2]))
    with pytest.warns(RunWarning, match='has lost lines: it ends at step 4, and the run goes on from step 9'):
        write(tmp_path, [10], start_step=9, due_step=8)
    assert steps_of(tmp_path) == [2, 4, 10]
    path.write_text(''.join([whole[1], whole[0]]))
    with pytest.raises(UserError, match=r'^line 2 of .* is damaged: step 2 after step 4; delete the line'):
        read_log(path)
