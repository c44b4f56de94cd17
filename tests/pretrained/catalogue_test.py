"""A name, a file or a finished run leads to one file; anything else to one clear line."""

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.pretrained import catalogue


def test_every_entry_names_a_known_architecture_and_package_data():
    package = catalogue.__file__.rpartition('/')[0]
    for name, entry in catalogue.CATALOGUE.items():
        assert entry.architecture in models.variant_names()
        assert str(catalogue.weights_path(name)) == f'{package}/weights/{entry.file}'
        assert entry.file.endswith('.safetensors')


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue.importlib.resources, 'files', lambda package: tmp_path)
    (tmp_path / 'weights').mkdir()
    return tmp_path / 'weights'


def test_a_catalogue_name(shipped):
    (shipped / 'resnet_glyphs.safetensors').touch()
    assert catalogue.resolve('jtransfer/resnet_glyphs') == shipped / 'resnet_glyphs.safetensors'


def test_a_catalogue_name_whose_weights_are_gone(shipped):
    with pytest.raises(UserError, match='weights of jtransfer/vit_glyphs are missing from this installation'):
        catalogue.resolve('jtransfer/vit_glyphs')


def test_a_file_also_under_the_home_directory(tmp_path, monkeypatch):
    (tmp_path / 'm.safetensors').touch()
    monkeypatch.setenv('HOME', str(tmp_path))
    assert catalogue.resolve(tmp_path / 'm.safetensors') == tmp_path / 'm.safetensors'
    assert catalogue.resolve('~/m.safetensors') == tmp_path / 'm.safetensors'


def test_a_finished_run(tmp_path):
    (tmp_path / 'model.safetensors').touch()
    (tmp_path / 'result.json').touch()
    assert catalogue.resolve(str(tmp_path)) == tmp_path / 'model.safetensors'


@pytest.mark.parametrize('there', [('config.json',), ('config.json', 'model.safetensors')])
def test_an_unfinished_run(tmp_path, there):
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r'is not finished \(it has no result.json\)'):
        catalogue.resolve(tmp_path)


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match='not of a run'):
        catalogue.resolve(tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match='no such file'):
        catalogue.resolve(tmp_path / 'm.safetensors')


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / 'm.npz').touch()
    with pytest.raises(UserError, match='nor a run directory'):
        catalogue.resolve(tmp_path / 'm.npz')


@pytest.mark.parametrize('name', ['jtransfer/resnet_glyph', 'resnet_glyphs'])
def test_a_misspelt_name_gets_the_nearest(name):
    with pytest.raises(UserError, match="Did you mean 'jtransfer/resnet_glyphs'"):
        catalogue.resolve(name)
