"""Run directories: which one is taken, what is refused, what is written."""

import dataclasses
import json
import pathlib
import runpy

import pytest

from jtransfer import config as config_lib
from jtransfer.config import Config, Data, Model, Train, Transfer
from jtransfer.errors import UserError
from jtransfer.experiments.run.directory import (
    CONTENTS,
    RunDirectory,
    is_finished,
    read_config,
    read_result,
    write_json,
    write_text,
)

CONFIG = Config(
    name='bees',
    model=Model(checkpoint='a "quoted" näme.safetensors'),
    data=Data(split_seed=0),
    transfer=Transfer(rules=((r'backbone/stem/.*', 'freeze'), ('head/.*', 'learning_rate=0.1'))),
    train=Train(steps=3),
)


def auto(config=CONFIG, **changes):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, resume='auto'), **changes)


def begin(path, config=CONFIG):
    RunDirectory(pathlib.Path(path), resumes=False).create(config)


def finish(path, config=CONFIG):
    begin(path, config)
    RunDirectory(pathlib.Path(path), resumes=False).finish({'accuracy': 1.0})


def find(config=CONFIG):
    return str(RunDirectory.find(config).path)


def test_runs_are_numbered_and_finding_writes_nothing(nowhere):
    assert find() == 'runs/bees'
    assert not list(nowhere.iterdir())
    finish('runs/bees')
    assert find() == 'runs/bees-2'
    begin('runs/bees-2')
    assert find() == 'runs/bees-3'


@pytest.mark.parametrize(
    ('there', 'expected'),
    [
        (['bees', 'bees-3'], 'bees-4'),
        (['bees-2'], 'bees-3'),
        (['bees-9', 'bees-10'], 'bees-11'),
        (['bees-x', 'bees-2-old', 'bees2', 'beeswax', 'bees-²', 'bees-02'], 'bees'),
    ],
)
def test_a_number_is_never_given_twice(nowhere, there, expected):
    for name in there:
        (nowhere / 'runs' / name).mkdir(parents=True)
    assert find() == f'runs/{expected}'


def test_a_file_keeps_its_name(nowhere):
    (nowhere / 'runs').mkdir()
    (nowhere / 'runs' / 'bees').touch()
    assert find() == 'runs/bees-2'


def test_a_name_is_no_pattern(nowhere):
    (nowhere / 'runs' / 'bees').mkdir(parents=True)
    assert find(dataclasses.replace(CONFIG, name='b[e]*s')) == 'runs/b[e]*s'
    assert find(dataclasses.replace(CONFIG, name='b..s')) == 'runs/b..s'


def test_saved_configuration_reads_back_from_both_files(nowhere):
    begin('a', dataclasses.replace(auto(), run_dir='a'))
    assert read_config('a') == CONFIG
    assert runpy.run_path('a/config.py')['get_config']() == CONFIG
    assert sorted(path.name for path in pathlib.Path('a').iterdir()) == ['config.json', 'config.py']


def test_an_explicit_directory_may_be_new_or_empty(nowhere):
    (nowhere / 'empty').mkdir()
    for path in ('new/deep', 'empty'):
        directory = RunDirectory.find(dataclasses.replace(CONFIG, run_dir=path))
        assert (str(directory.path), directory.resumes) == (path, False)
    assert not (nowhere / 'new').exists()


def test_what_is_there_is_refused(nowhere):
    def refused(path, config=CONFIG):
        before = {file: file.read_bytes() for file in nowhere.rglob('*') if file.is_file()}
        with pytest.raises(UserError) as caught:
            RunDirectory.find(dataclasses.replace(config, run_dir=path))
        assert before == {file: file.read_bytes() for file in nowhere.rglob('*') if file.is_file()}
        return str(caught.value)

    pathlib.Path('file').touch()
    assert 'run_dir=file is a file' in refused('file')
    pathlib.Path('photos').mkdir()
    pathlib.Path('photos/a.png').touch()
    assert 'is not empty and holds no run' in refused('photos')
    begin('begun')
    assert '--config.train.resume=auto continues it' in refused('begun')
    finish('done')
    assert 'holds a finished run of this configuration' in refused('done')
    assert 'holds a finished run of this configuration' in refused('done', auto())
    other = dataclasses.replace(CONFIG, seed=3, data=Data(batch_size=7, split_seed=0))
    message = refused('begun', auto(other))
    assert 'another configuration (seed is 0 there and 3 here and 1 more field' in message
    assert 'another configuration' in refused('done', other)
    pathlib.Path('begun/config.json').write_text('{"seed": ')
    assert 'begun/config.json is damaged: no JSON at line 1' in refused('begun', auto())
    pathlib.Path('begun/config.json').write_text('[1]')
    assert 'begun/config.json is damaged: its JSON is no object' in refused('begun', auto())


def test_auto_continues_an_unfinished_run(nowhere):
    begin('runs/mine')
    directory = RunDirectory.find(auto(run_dir='runs/mine'))
    assert directory.resumes
    saved = pathlib.Path('runs/mine/config.json').read_bytes()
    directory.create(auto(run_dir='runs/mine'))
    assert pathlib.Path('runs/mine/config.json').read_bytes() == saved


def test_auto_finds_the_newest_unfinished_run_of_the_configuration(nowhere):
    begin('runs/bees')
    begin('runs/bees-2')
    begin('runs/bees-3', dataclasses.replace(CONFIG, seed=1))
    finish('runs/bees-10')
    (nowhere / 'runs/bees-11').mkdir()
    begin('runs/bees-12')
    pathlib.Path('runs/bees-12/config.json').write_text('{"sed": 1}')
    (nowhere / 'runs/bees-13').touch()
    directory = RunDirectory.find(auto())
    assert (str(directory.path), directory.resumes) == ('runs/bees-2', True)
    assert find(CONFIG) == 'runs/bees-14'
    assert find(auto(dataclasses.replace(CONFIG, seed=2))) == 'runs/bees-14'


def test_what_does_not_make_another_run_is_ignored(nowhere):
    begin('x')
    quiet = dataclasses.replace(CONFIG.train, progress=False, resume='auto')
    assert RunDirectory.find(dataclasses.replace(CONFIG, run_dir='x', train=quiet)).resumes
    assert RunDirectory.differs(dataclasses.replace(CONFIG, run_dir='x', train=quiet)) == ''
    assert 'seed' in RunDirectory.differs(dataclasses.replace(CONFIG, run_dir='x', seed=1))


def test_a_directory_that_cannot_be_made_is_one_line(nowhere):
    pathlib.Path('file').touch()
    with pytest.raises(UserError, match=r'run_dir=file/run: .*/file is no folder'):
        RunDirectory.find(dataclasses.replace(CONFIG, run_dir='file/run'))
    with pytest.raises(UserError, match=r'file/run cannot be written: Not a directory'):
        RunDirectory(pathlib.Path('file/run'), resumes=False).create(CONFIG)


def test_a_directory_taken_in_the_meantime_is_not_shared(nowhere):
    first, second = RunDirectory.find(CONFIG), RunDirectory.find(CONFIG)
    first.create(CONFIG)
    with pytest.raises(UserError, match='another run has just begun in runs/bees'):
        second.create(CONFIG)


def test_a_resumed_run_must_have_the_same_split(nowhere):
    begin('x')
    RunDirectory(pathlib.Path('x'), resumes=False).write_split({'train': {'ids': ['a', 'b']}})
    resumed = RunDirectory.find(auto(run_dir='x'))
    resumed.write_split({'train': {'ids': ['a', 'b']}})
    with pytest.raises(UserError, match='begun with other images'):
        resumed.write_split({'train': {'ids': ['a', 'c']}})
    assert json.loads(pathlib.Path('x/split.json').read_text()) == {'train': {'ids': ['a', 'b']}}


def test_a_resumed_run_must_have_the_same_labels(nowhere):
    begin('x')
    RunDirectory(pathlib.Path('x'), resumes=False).write_split({'train': {'ids': ['a'], 'labels_sha256': '1'}})
    resumed = RunDirectory.find(auto(run_dir='x'))
    resumed.write_split({'train': {'ids': ['a'], 'labels_sha256': '1'}})
    with pytest.raises(UserError, match='x was begun with other labels than there are now'):
        resumed.write_split({'train': {'ids': ['a'], 'labels_sha256': '2'}})


def test_result_marks_the_end(nowhere):
    begin('x')
    assert not is_finished(pathlib.Path('x'))
    with pytest.raises(UserError, match='x holds no finished run'):
        read_result('x')
    RunDirectory(pathlib.Path('x'), resumes=False).finish({'accuracy': 0.5})
    assert is_finished(pathlib.Path('x'))
    assert read_result('x') == {'accuracy': 0.5}
    with pytest.raises(UserError, match='elsewhere is not a run directory'):
        read_config('elsewhere')


def test_files_are_written_whole_or_not_at_all(nowhere):
    path = pathlib.Path('x.json')
    write_text(path, 'before')
    with pytest.raises(TypeError):
        write_json(path, {'a': object()})
    assert path.read_text() == 'before'
    assert [file.name for file in nowhere.iterdir()] == ['x.json']


def test_listing_names_what_is_there(nowhere):
    begin('x')
    (nowhere / 'x' / 'tensorboard').mkdir()
    listing = RunDirectory(pathlib.Path('x'), resumes=False).listing()
    assert listing == [(name, CONTENTS[name]) for name in ('tensorboard/', 'config.py')]


def test_a_name_that_leaves_the_folder_is_refused():
    for name in ('', '..', 'a/b', '/tmp/x', 'a\\b'):
        with pytest.raises(UserError, match='fit for naming a directory'):
            config_lib.validate(dataclasses.replace(CONFIG, name=name))


def test_a_kill_before_anything_is_said_leaves_a_directory_that_is_taken_again(nowhere):
    (nowhere / 'x').mkdir()
    for name in ('.lock', '.1.partial.config.json'):
        (nowhere / 'x' / name).touch()
    directory = RunDirectory.find(auto(run_dir='x'))
    assert not directory.resumes
    with directory.held():
        directory.create(CONFIG)
    assert read_config('x') == CONFIG


def test_a_kill_between_the_two_files_of_a_configuration_is_resumed(nowhere):
    begin('x')
    pathlib.Path('x/config.py').unlink()
    directory = RunDirectory.find(auto(run_dir='x'))
    assert directory.resumes
    directory.create(auto(run_dir='x'))
    assert runpy.run_path('x/config.py')['get_config']() == CONFIG


def test_a_run_at_work_is_not_joined(nowhere):
    begin('runs/bees')
    with RunDirectory.find(auto()).held():
        for config in (auto(), auto(run_dir='runs/bees'), dataclasses.replace(CONFIG, run_dir='runs/bees')):
            with pytest.raises(UserError, match='runs/bees is in use by process'):
                RunDirectory.find(config)
    resumed = RunDirectory.find(auto())
    finish('other')
    pathlib.Path('other/result.json').rename('runs/bees/result.json')
    with pytest.raises(UserError, match='another process has just finished the run'):
        resumed.create(auto())


def test_a_changed_run_must_be_named(nowhere):
    with pytest.raises(UserError, match='continues a run that is named: set run_dir'):
        RunDirectory.find(dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, resume='changed')))
