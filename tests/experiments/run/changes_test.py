"""What may be changed under way, and that it is recorded once (a whole run of it: finetune_test)."""

import json

import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.run.changes import (
    CHANGES,
    changed_in_words,
    how_to_change,
    in_words,
    last_step,
    read_changes,
    with_changes,
)

LOWER = ('optim.learning_rate', 0.1, 0.01)
MILESTONES = ('optim.step_milestones', (0.5,), (0.25,))


def test_the_last_whole_checkpoint_is_what_it_goes_on_from(tmp_path):
    assert last_step(tmp_path) is None
    assert how_to_change(tmp_path, [LOWER]) == ''  # nothing to go on from: a new run costs nothing more
    for name in ('8', '12', '13.orbax-checkpoint-tmp'):
        (tmp_path / 'checkpoints' / 'last' / name).mkdir(parents=True)
    assert last_step(tmp_path) == 12
    assert how_to_change(tmp_path, [LOWER]).endswith('continue it after step 12 with --config.train.resume=changed')
    assert how_to_change(tmp_path, [LOWER, ('seed', 0, 1)]) == ''
    assert in_words(tmp_path, [LOWER]) == ' after step 12 with optim.learning_rate 0.01 instead of 0.1'
    assert in_words(tmp_path, []) == ''


def test_a_change_is_recorded_once_however_often_it_is_asked_for(tmp_path):
    assert read_changes(tmp_path) == []
    first = with_changes(tmp_path, [LOWER, MILESTONES])
    assert first[1] == {'after_step': 0, 'field': 'optim.step_milestones', 'from': [0.5], 'to': [0.25]}
    (tmp_path / CHANGES).write_text(json.dumps(first))
    assert with_changes(tmp_path, [LOWER, MILESTONES]) == first
    assert len(with_changes(tmp_path, [('optim.learning_rate', 0.01, 0.001)])) == 3
    assert changed_in_words(tmp_path).startswith('optim.learning_rate from 0.1 to 0.01 after step 0; optim.step_m')
    (tmp_path / CHANGES).write_text('[{')
    with pytest.raises(UserError, match=r'changes\.json is damaged'):
        read_changes(tmp_path)
