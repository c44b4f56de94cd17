"""A name, a file, a folder or a finished run leads to one file; anything else to one clear line."""

import json

import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.catalogue import locate as locate_lib
from jtransfer.pretrained.catalogue.entries import entries
from jtransfer.pretrained.catalogue.locate import locate
from jtransfer.pretrained.download.fetch import Fetched


@pytest.fixture
def no_network(monkeypatch):
    """Downloads that fail the test."""

    def refuse(*args, **kwargs):
        raise AssertionError(f'tried to fetch {args}')

    monkeypatch.setattr(locate_lib, 'fetch_hub', refuse)
    monkeypatch.setattr(locate_lib, 'fetch_url', refuse)


def test_shipped_networks_are_package_data(no_network):
    found = locate('jtransfer/resnet_glyphs')
    assert found.path.is_file()
    assert found.path.parent.name == 'weights'
    assert found.source == 'jtransfer/resnet_glyphs'
    assert found.path.with_suffix('.json').is_file()


def test_a_shipped_network_whose_weights_are_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(locate_lib.importlib.resources, 'files', lambda package: tmp_path)
    entry = entries()['jtransfer/vit_glyphs']
    with pytest.raises(UserError, match='weights of jtransfer/vit_glyphs are missing from this installation'):
        locate_lib._published(entry, '')


def test_a_hub_network_is_fetched_at_its_revision(monkeypatch, tmp_path):
    asked = []

    def fetch(repo, file, *, revision=''):
        asked.append((repo, file, revision))
        return Fetched(tmp_path / 'model.safetensors', 'abc123')

    monkeypatch.setattr(locate_lib, 'fetch_hub', fetch)
    found = locate('timm/resnet50.a1_in1k')
    assert found.entry is entries()['timm/resnet50.a1_in1k']
    # What was loaded can be loaded again: the commit is part of the source.
    assert found.source == 'timm/resnet50.a1_in1k@abc123'
    locate('timm/resnet50.a1_in1k@v7')
    assert asked == [
        ('timm/resnet50.a1_in1k', 'model.safetensors', ''),
        ('timm/resnet50.a1_in1k', 'model.safetensors', 'v7'),
    ]


def test_a_published_url_is_fetched_with_its_checksum(monkeypatch, tmp_path):
    asked = {}

    def fetch(url, *, sha256=''):
        asked[url] = sha256
        return Fetched(tmp_path / 'w', '')

    monkeypatch.setattr(locate_lib, 'fetch_url', fetch)
    name = next(name for name in entries() if name.startswith('torchvision/resnet50'))
    assert locate(name).entry is entries()[name]
    assert list(asked.values()) == [entries()[name].sha256]
    assert len(entries()[name].sha256) >= 8
    with pytest.raises(UserError, match="is no hub repository, so that '@v2' means nothing"):
        locate(f'{name}@v2')
    # Any other address is taken as it is, and nothing is known of it.
    assert locate('https://example.org/w.pth').entry is None
    assert asked['https://example.org/w.pth'] == ''


def test_any_hub_repository(monkeypatch, tmp_path):
    (tmp_path / 'config.json').write_text('{"architecture": "resnet18"}')
    (tmp_path / 'model.safetensors').touch()
    asked = []

    def fetch(repo, file, *, revision='', missing_ok=False):
        asked.append((repo, file, revision))
        return Fetched(tmp_path / file, 'abc') if (tmp_path / file).is_file() else None

    monkeypatch.setattr(locate_lib, 'fetch_hub', fetch)
    found = locate('hf://someone/net@v1')
    assert found.path == tmp_path / 'model.safetensors'
    assert found.source == 'hf://someone/net@abc'
    assert found.config == {'architecture': 'resnet18'}
    # What comes after the first file comes from its commit.
    others = [('someone/net', file, 'abc') for file in ('config.json', 'preprocessor_config.json')]
    assert asked == [('someone/net', 'model.safetensors', 'v1'), *others]
    assert found.processor is None
    (tmp_path / 'preprocessor_config.json').write_text('{"size": 64}')
    assert locate('hf://someone/net').processor == {'size': 64}
    (tmp_path / 'model.safetensors').rename(tmp_path / 'other.npz')
    assert locate('hf://someone/net/other.npz').path == tmp_path / 'other.npz'
    with pytest.raises(UserError, match=r'the hub repository someone/net has none of model\.safetensors, '):
        locate('hf://someone/net')
    with pytest.raises(UserError, match='is not of the form hf://OWNER/REPOSITORY'):
        locate('hf://someone')


def test_a_repository_of_the_catalogue_is_what_the_catalogue_says(monkeypatch, tmp_path):
    """Its own files would be read otherwise, and those of DeiT have the wrong mean."""
    monkeypatch.setattr(locate_lib, 'fetch_hub', lambda *args, **kwargs: Fetched(tmp_path / 'w', 'abc'))
    found = locate('hf://facebook/deit-base-patch16-224')
    assert found.entry is entries()['facebook/deit-base-patch16-224']
    assert found.entry.preprocessing.mean == (0.485, 0.456, 0.406)


def test_a_file_also_under_the_home_directory(tmp_path, monkeypatch, no_network):
    for name in ('m.safetensors', 'm.npz', 'm.th'):
        (tmp_path / name).touch()
        monkeypatch.setenv('HOME', str(tmp_path))
        assert locate(tmp_path / name).path == locate(f'~/{name}').path == tmp_path / name
        assert locate(f'~/{name}').source == f'~/{name}'


def test_a_finished_run(tmp_path, no_network):
    (tmp_path / 'config.json').write_text('{"transfer": {}, "optim": {}}')
    (tmp_path / 'model.safetensors').touch()
    (tmp_path / 'result.json').touch()
    assert locate(str(tmp_path)).path == tmp_path / 'model.safetensors'
    assert locate(tmp_path / 'model.safetensors').config is None


@pytest.mark.parametrize('there', [(), ('model.safetensors',)])
def test_an_unfinished_run(tmp_path, there, no_network):
    (tmp_path / 'config.json').write_text('{"transfer": {}, "optim": {}, "data": {}}')
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r'is not finished \(it has no result.json\)'):
        locate(tmp_path)


@pytest.mark.parametrize('file', ['model.safetensors', 'flax_model.msgpack', 'pytorch_model.bin', 'model.json'])
def test_a_folder_as_hubs_have_them(tmp_path, file, no_network):
    (tmp_path / file).touch()
    assert locate(tmp_path).path == tmp_path / file
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'vit'}))
    assert locate(tmp_path).config == {'model_type': 'vit'}
    assert locate(tmp_path / file).config == {'model_type': 'vit'}
    (tmp_path / 'config.json').write_text('{')
    with pytest.raises(UserError, match=r'config\.json is damaged: no JSON'):
        locate(tmp_path)


def test_a_link_beside_a_file_of_another_name_is_none_of_its_business(tmp_path, no_network):
    (tmp_path / 'store').mkdir()
    (tmp_path / 'store' / 'config.json').write_text('{"architecture": "resnet50"}')
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'config.json').symlink_to(tmp_path / 'store' / 'config.json')
    (folder / 'mine.safetensors').touch()
    assert locate(folder / 'mine.safetensors').config is None
    (folder / 'model.safetensors').touch()
    with pytest.raises(UserError, match=r'config\.json is a link to a file outside of its folder'):
        locate(folder / 'model.safetensors')


def test_a_directory_of_something_else(tmp_path, no_network):
    with pytest.raises(UserError, match='neither of a run nor of weights'):
        locate(tmp_path)


def test_a_missing_file(tmp_path, no_network):
    with pytest.raises(UserError, match='no such file'):
        locate(tmp_path / 'm.safetensors')


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('jtransfer/resnet_glyph', 'jtransfer/resnet_glyphs'),
        ('resnet_glyphs', 'jtransfer/resnet_glyphs'),
        ('timm/resnet50.a1_in2k', 'timm/resnet50.a1_in1k'),
    ],
)
def test_a_misspelt_name_gets_the_nearest_without_asking_the_network(name, meant, no_network):
    with pytest.raises(UserError, match=f"Did you mean '{meant}'"):
        locate(name)


def test_an_architecture_is_no_checkpoint(no_network):
    with pytest.raises(UserError, match=r"is an architecture, not weights: architecture='resnet50' of load_model"):
        locate('resnet50')


def test_an_unknown_repository_is_told_how_to_ask_the_hub(no_network):
    with pytest.raises(UserError, match='hf://qqqq/zzzz would look for a hub repository'):
        locate('qqqq/zzzz')
