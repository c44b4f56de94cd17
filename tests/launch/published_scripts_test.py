"""The scripts with weights of others: fine-tune from them, export back, and a wrong name in one line."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.launch.process import ROOT, launch


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    """An empty folder with a file under timm's names."""
    from jtransfer.pretrained.export import published_arrays
    from jtransfer.pretrained.model import load_model

    folder = tmp_path_factory.mktemp('here')
    model = load_model(architecture='resnet_tiny', num_classes=7, seed=3)
    save_file(published_arrays(model, 'timm'), folder / 'theirs.safetensors')
    return folder


@pytest.fixture(scope='module')
def finished(here, photos):
    arguments = (
        '--config.train.steps=2',
        '--config.train.epochs=0',
        '--config.data.batch_size=8',
        '--config.run_dir=run',
    )
    return launch(
        here,
        'finetune',
        f'--config={ROOT}/configs/finetune.py',
        f'--config.data.source=folder:{photos}',
        '--config.model.checkpoint=theirs.safetensors',
        '--config.model.name=resnet_tiny',
        '--config.transfer.strategy=linear_probe',
        *arguments,
    )


def test_a_run_starts_from_weights_of_others_and_says_so(finished):
    assert 'tensors from theirs.safetensors' in ' '.join(finished.stdout.split())
    assert 're-initialised the head, 3 outputs (the stored head, 7 outputs, is ignored)' in finished.stdout


def test_the_run_exports_under_the_names_it_came_with(finished, here, photos):
    done = launch(here, 'export', '--checkpoint=run', '--naming=timm', '--output=back.safetensors', alone=True)
    assert 'back.safetensors' in done.stdout
    theirs, back = load_file(here / 'theirs.safetensors'), load_file(here / 'back.safetensors')
    assert set(back) == set(theirs)
    for name in set(theirs) - {'fc.weight', 'fc.bias'}:
        # A linear probe left the backbone as it was.
        np.testing.assert_array_equal(back[name], theirs[name])
    assert back['fc.weight'].shape == (3, theirs['fc.weight'].shape[1])
    # The file alone says which network it is, and what its classes are called.
    launch(here, 'predict', '--checkpoint=back.safetensors', f'--images={photos}', '--output=p.csv')
    assert {line.split(',')[0] for line in (here / 'p.csv').read_text().splitlines()[1:]} <= {'ant', 'bee', 'cat'}


def test_a_folder_says_what_cannot_be_said_in_it(finished, here):
    named = '--checkpoint_classes=a,b,c,d,e,f,g'
    theirs = ('--checkpoint=theirs.safetensors', '--architecture=resnet_tiny', '--naming=huggingface')
    done = launch(here, 'export', *theirs, named, '--output=out/folder')
    said = ' '.join(done.stdout.split())
    assert "there is no config.json: transformers' ResNet has stem=imagenet, and this network cifar" in said
    assert '7 classes (a, b, c, d, e, …)' in said
    wrong = launch(here, 'export', '--checkpoint=run', '--checkpoint_classes=a', '--output=x', status=2)
    assert 'checkpoint_classes names 1 classes (a), and the head of run/model.safetensors has 3 outputs' in wrong.stderr


def test_what_cannot_be_exported_is_one_line(finished, here):
    again = launch(here, 'export', '--checkpoint=run', '--output=theirs.safetensors', status=2)
    assert 'exists already' in again.stderr
    unknown = launch(here, 'export', '--checkpoint=run', '--naming=keras', '--output=x.safetensors', status=2)
    assert "not published under the naming 'keras'" in unknown.stderr
    assert launch(here, 'export', '--checkpoint=run', status=2).stderr.startswith('error: --output is missing')
    assert launch(here, 'export', status=2).stderr.startswith('error: --checkpoint is missing')


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        ('timm/resnet50.a1_in2k', "Did you mean 'timm/resnet50.a1_in1k'"),
        ('timm/resnet50.a1_in1k', 'model.safetensors'),
        ('theirs.safetensors', 'does not say which network it is of'),
        ('nothing.pth', 'no such file'),
    ],
)
def test_a_checkpoint_that_cannot_be_is_one_line_before_anything_starts(here, photos, checkpoint, message):
    done = launch(
        here,
        'finetune',
        f'--config={ROOT}/configs/finetune.py',
        f'--config.data.source=folder:{photos}',
        f'--config.model.checkpoint={checkpoint}',
        '--config.data.batch_size=8',
        '--config.run_dir=never',
        status=2,
    )
    assert done.stderr.startswith('error: ')
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (here / 'never').exists()
