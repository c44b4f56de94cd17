"""The data of a run and of a fold, as they were divided; and that changed ones are noticed."""

import json
import pathlib
import shutil

import pytest
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.data.reopen import parts_of_run
from jtransfer.experiments.run import finetune
from jtransfer.experiments.soup import soup

pytestmark = pytest.mark.usefixtures('compile_once')


def split_of(run):
    record = json.loads((run / 'split.json').read_text())
    return {name: tuple(record[name]['ids']) for name in ('train', 'validation', 'test') if name in record}


def test_a_run_and_a_fold_have_the_parts_that_they_had(tiny_config, photos, tmp_path, monkeypatch):
    folder = tmp_path / 'photos'
    shutil.copytree(photos, folder)
    changes = {'data.source': f'folder:{folder}', 'data.validation_fraction': 0.3, 'train.steps': 1}
    run = tmp_path / 'run'
    finetune.run(tiny_config(**changes, run_dir=str(run)))
    crossval.run(tiny_config(**changes, **{'crossval.folds': 2, 'run_dir': str(tmp_path / 'cv')}), fold=1)
    fold = tmp_path / 'cv' / 'fold-1'
    for where in (run, fold):
        found = parts_of_run(where)
        assert {name: part.ids for name, part in found.items()} == split_of(where)
        assert found['test'][0]['id'] == found['test'].ids[0]
    Image.new('RGB', (8, 8)).save(folder / 'ant' / 'another.png')  # other parts, and the same fold
    with pytest.raises(UserError, match=r'does not hold the images of the run .*run any more'):
        parts_of_run(run)
    # What is loaded once the data are there: a fold is a member as any run.
    monkeypatch.setattr(soup, 'load_model', lambda run, dtype: pytest.skip(f'{run} is loaded'))
    with pytest.raises(pytest.skip.Exception, match='fold-1 is loaded'):
        soup.make_soup([fold], tmp_path / 'soup', recipe='wise')
    pathlib.Path(folder / split_of(fold)['test'][0]).unlink()
    for where in (run, fold):
        with pytest.raises(UserError, match=r'does not hold the images of the run .* any more'):
            parts_of_run(where)
