"""A run that is killed at any file operation of its beginning or its end is taken up again; training: killed_run_test.

The disk is frozen at an operation, which is what a kill leaves of it; `benchmarks/kill_resume.py` kills processes.
"""

import builtins
import contextlib
import dataclasses
import errno
import itertools
import os
import pathlib

import pytest

from jtransfer.config import Config, Model, Train
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.run.directory import RunDirectory, write_text
from jtransfer.experiments.search import search

CONFIG = Config(name='bees', model=Model(checkpoint='x'), train=Train(steps=3, resume='auto'))
SPLIT, RESULT = {'train': {'ids': ['a', 'b']}}, {'accuracy': 0.5}


def work(run_dir):
    """What a run writes beside its checkpoints and metrics."""
    config = dataclasses.replace(CONFIG, run_dir=run_dir)
    directory = RunDirectory.find(config)
    with directory.held():
        directory.create(config)
        directory.write_split(SPLIT)
        write_text(directory.path / 'plan.txt', 'a plan')
        directory.finish(RESULT)


@contextlib.contextmanager
def frozen_from(monkeypatch, number):
    """From its operation of that number on, nothing changes on the disk; yields the operations so far."""
    done = []

    def watched(function, changes):
        def instead(path, *rest, **more):
            if changes(*rest, **more):
                done.append(path)
                if len(done) >= number:
                    raise OSError(errno.EIO, 'frozen')
            return function(path, *rest, **more)

        return instead

    with monkeypatch.context() as patch:
        for name in ('mkdir', 'replace', 'unlink', 'truncate'):
            patch.setattr(os, name, watched(getattr(os, name), lambda *_, **__: True))
        patch.setattr(os, 'open', watched(os.open, lambda flags, *_, **__: flags & os.O_CREAT))
        patch.setattr(builtins, 'open', watched(open, lambda mode='r', *_, **__: mode != 'r'))
        yield done


def content(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir() if path.name != '.lock'}


def test_a_kill_at_any_operation_leaves_what_is_taken_up_again(nowhere, monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda descriptor: None)  # the disk is frozen, not lost
    work('whole')
    for number in itertools.count(1):
        run = f'run{number}'
        with frozen_from(monkeypatch, number) as done, contextlib.suppress(OSError, ValueError):
            work(run)
        if not pathlib.Path(run, 'result.json').exists():
            work(run)
        found = content(run)
        assert {name: text for name, text in found.items() if '.partial.' not in name} == content('whole'), number
        assert len(done) < number or len(found) == len(content('whole')), number
        if len(done) < number:
            break
    assert number > 15


@pytest.mark.parametrize('check', [crossval.check_folder, search.check_folder])
def test_what_a_kill_leaves_of_experiments_is_empty(nowhere, check):
    (nowhere / 'x').mkdir()
    for name in ('.lock', '.7.partial.config.json') if check is crossval.check_folder else ('study.journal.lock',):
        (nowhere / 'x' / name).touch()
    check(pathlib.Path('x'), CONFIG)
