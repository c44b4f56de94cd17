"""The command that lists what there is: its output in a pipe, and one line for every mistake."""

import pytest

from jtransfer.pretrained.catalogue.entries import entries, matching
from tests.launch.process import launch


def names(text):
    return [line.split()[0] for line in text.splitlines() if line.split() and line.split()[0] in entries()]


def test_the_list_in_a_pipe(tmp_path):
    done = launch(tmp_path, 'models', alone=True)
    assert (done.returncode, done.stderr) == (0, '')
    assert names(done.stdout) == list(entries())


def test_the_flags_choose_and_sort(tmp_path):
    done = launch(
        tmp_path, 'models', '--filter=^timm/ in1k', '--family=resnet', '--max_parameters=30M', '--sort=accuracy'
    )
    assert done.returncode == 0, done.stderr
    chosen = matching('^timm/ in1k', family='resnet', max_parameters=30_000_000)
    assert set(names(done.stdout)) == {entry.name for entry in chosen}
    best = max(chosen, key=lambda entry: entry.accuracy or 0)
    assert names(done.stdout)[0] == best.name


def test_one_in_full(tmp_path):
    done = launch(tmp_path, 'models', '--name=timm/resnet18.tv_in1k')
    assert (done.returncode, done.stderr) == (0, '')
    assert '11,689,512' in done.stdout
    assert 'backbone/stage4/.*' in done.stdout


def test_architectures(tmp_path):
    done = launch(tmp_path, 'models', '--architectures')
    assert (done.returncode, done.stderr) == (0, '')
    assert '25,557,032' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--name=restnet50'], 'the nearest architecture: resnet50'),
        (['--filter=('], 'not a regular expression'),
        (['--family=resnt'], "Did you mean 'resnet'?"),
        (['--max_parameters=many'], "'many' is not a number such as 30M"),
        (['--min_accuracy=high'], 'min_accuracy'),
        (['--name=resnet50', '--min_accuracy=0'], '--name and --architectures stand alone'),
        (['--licens=mit'], "Did you mean '--licence'?"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, message):
    done = launch(tmp_path, 'models', *arguments, status=2)
    assert (done.returncode, done.stdout) == (2, '')
    assert message in done.stderr
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1


def test_a_name_may_be_pinned_and_must_not_be_empty(tmp_path):
    pinned = launch(tmp_path, 'models', '--name=jtransfer/resnet_glyphs@abc')
    assert pinned.stdout == launch(tmp_path, 'models', '--name=jtransfer/resnet_glyphs').stdout
    empty = launch(tmp_path, 'models', '--name=', status=2)
    assert (empty.returncode, empty.stderr.splitlines()) == (
        2,
        ['error: --name is empty; --name=timm/resnet50.a1_in1k shows one network'],
    )


def test_families_are_found_however_they_are_written(tmp_path):
    assert launch(tmp_path, 'models', '--family=ViT').stdout == launch(tmp_path, 'models', '--family=vit').stdout
