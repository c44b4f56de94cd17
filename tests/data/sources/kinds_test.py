"""The table of sources: every row opens, and is said where people look for sources."""

import pathlib
import pkgutil

import pytest

from jtransfer.config import Data
from jtransfer.data.sources import kinds

ROWS = list(kinds._KINDS.values())


@pytest.mark.parametrize('kind', ROWS, ids=[kind.name for kind in ROWS])
def test_a_row_names_functions_that_are_there_and_fields_that_some_sources_read(kind):
    assert callable(pkgutil.resolve_name(kind.opens))
    assert kind.marks is None or callable(pkgutil.resolve_name(kind.marks))
    assert set(kind.reads) <= set(kinds.FIELDS)
    assert all(kinds.kind_of_suffix(suffix.upper()) is kind for suffix in kind.suffixes)
    assert not kind.added


@pytest.mark.parametrize('kind', ROWS, ids=[kind.name for kind in ROWS])
def test_a_row_is_told_in_the_configuration_and_in_the_documentation(kind):
    documentation = pathlib.Path('docs/data.md').read_text()
    assert f'`{kind.form}`' in Data.__doc__
    assert f'`{kind.form}`' in documentation


def test_fields_are_those_of_the_configuration_and_empty_by_default():
    assert not any(getattr(Data(), field) for field in kinds.FIELDS)
    assert all(kinds.readers(field) for field in kinds.FIELDS)


def test_what_is_meant_and_what_a_folder_is(tmp_path):
    assert kinds.meant('Foldr').name == 'folder'
    assert kinds.meant('quite another thing') is None
    assert kinds.kind_of_folder(tmp_path).name == 'folder'
    (tmp_path / 'dataset_dict.json').touch()
    assert kinds.kind_of_folder(tmp_path).name == 'hf'
