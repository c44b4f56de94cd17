"""The command that shows a plan and its costs: what it prints, and one line for every mistake."""

import pytest

from tests.launch.process import ROOT, launch

QUICKSTART = f'--config={ROOT}/configs/quickstart.py'


def test_the_quickstart_with_a_frozen_backbone(tmp_path):
    flags = (QUICKSTART, '--config.transfer.strategy=linear_probe', '--batch_sizes=10,40')
    done = launch(tmp_path, 'plan', *flags, alone=True)
    assert (done.returncode, done.stderr) == (0, '')
    for text in (
        'digits: 10 classes (0, 1, 2, 3, 4, …); images: 100 to train on',
        'resnet_small, input 16 × 16, 10 classes (digits)',
        'trained: head (1,290 of 308,826 parameters, 0.4%); frozen: backbone',
        'backbone/stage4      running statistics (3 layers)',
        'full fine-tuning',
        'images a step',
        'no backward work for frozen parameters in the compiled program',
    ):
        assert text in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], '--config is missing'),
        ([QUICKSTART, '--batch_sizes=32,many'], "'many' is no batch size"),
        ([QUICKSTART, '--batch_sizes=0'], "'0' is no batch size"),
        ([QUICKSTART, f'--batch_sizes={"9" * 5000}'], 'is no batch size'),
        ([QUICKSTART, '--num_classes=-1'], 'num_classes'),
        ([QUICKSTART, '--batch_size=8'], "Did you mean '--batch_sizes'?"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, message):
    done = launch(tmp_path, 'plan', *arguments, status=2)
    assert (done.returncode, done.stdout) == (2, '')
    assert message in done.stderr
    assert done.stderr.count('\n') == 1
