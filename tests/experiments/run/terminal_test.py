"""The plan and the end of a run, as text."""

import io
import pathlib

import numpy as np
import pytest
from rich.console import Console

from jtransfer import models
from jtransfer.config import Config, Transfer
from jtransfer.experiments.run.directory import RunDirectory
from jtransfer.experiments.run.result import Result
from jtransfer.experiments.run.terminal import describe, plan_table
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.metrics.classification import classification_metrics
from jtransfer.transfer.plan import make_plan


def test_the_plan_lists_every_group_and_path():
    params = {
        'backbone': {'stem': {'kernel': np.zeros((3, 3))}},
        'head': {'kernel': np.zeros((3, 2)), 'bias': np.zeros(2)},
    }
    text = plan_table(make_plan(models.create('resnet_tiny', num_classes=2), params, Transfer('linear_probe'), 0.1))
    assert text.startswith('trained: head (8 of 17 parameters, 47.1%); frozen: backbone\n')
    [head] = [line for line in text.splitlines() if line.split()[:3] == ['head', 'head/.*', 'yes']]
    assert head.split() == ['head', 'head/.*', 'yes', '1', '6', '1', '0.1']
    [backbone] = [line for line in text.splitlines() if line.split()[:2] == ['backbone', 'backbone/.*']]
    assert backbone.split()[2:] == ['frozen', '1', '9', '-', '-']
    assert '\n  backbone/stem/kernel\n' in text


def test_rules_stand_in_the_plan_as_they_were_written():
    rules = (('head[/].*', 'train'), ('backbone/[a-z]tem/.*', 'freeze'), ('(backbone|:smile:)/.*' + '|x' * 99, 'train'))
    layer = {'kernel': np.zeros((3, 3))}
    params = {'head': layer, 'backbone': {'stem': layer, 'rest': layer}}
    network = models.create('resnet_tiny', num_classes=2)
    text = plan_table(make_plan(network, params, Transfer('fine_tune', rules=rules), 0.1))
    assert [line.split()[1] for line in text.splitlines() if ' yes ' in line or ' frozen ' in line] == [*dict(rules)]


@pytest.mark.parametrize(('skipped', 'said'), [(0, ''), (1, '1 unreadable image '), (3, '3 unreadable images ')])
def test_the_end_says_what_a_person_wants_to_know(checkpoints, tmp_path, skipped, said):
    model = load_model(checkpoints['resnet'])
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0]]
    (tmp_path / 'report.html').touch()
    result = Result(
        config=Config(transfer=Transfer('linear_probe')),
        directory=RunDirectory(pathlib.Path(tmp_path), resumes=False),
        part='validation',
        metrics=classification_metrics(logits, np.array([0, 1, 2, 3, 1]), model.class_names),
        model=model,
        plan=make_plan(model.network, model.variables['params'], Transfer('linear_probe')),
        load_summary='loaded [32] tensors',
        fit_seconds=1.25,
        seconds=61.0,
        skipped=skipped,
    )
    console = Console(file=io.StringIO(), width=200)
    console.print(describe(result))
    text = console.file.getvalue()
    low, high = result.metrics.top1_interval
    assert f'validation accuracy 80.0%  (95% interval {low:.1%} to {high:.1%}, 5 examples)' in text
    assert 'linear_probe; loaded [32] tensors' in text  # brackets are no markup
    assert 'trained   head (68 of ' in text
    assert 'frozen    backbone' in text
    assert '61.0 s, of which training 1.2 s' in text
    assert f'Run directory {tmp_path}' in text
    assert 'report.html  curves' in text
    assert 'model.safetensors' not in text
    assert ('left out' in text) == bool(skipped)
    assert said in text
