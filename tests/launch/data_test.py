"""`python -m launch.data` as a person runs it: facts on the screen, files, and one line for what cannot be."""

import csv
import json

import numpy as np
from PIL import Image

from tests.data.survey_test import odd_folder
from tests.launch.process import ROOT, launch

CONFIG = f'--config={ROOT}/configs/finetune.py'


def test_a_look_at_a_folder_with_torn_files(tmp_path):
    odd_folder(tmp_path / 'my photos', 'train')
    odd_folder(tmp_path / 'my photos', 'test', torn=False)
    done = launch(tmp_path, 'data', CONFIG, '--config.data.source=folder:my photos', alone=True)
    assert done.stdout.startswith('folder:my photos: 2 classes (odd, plain); images: train 10, validation 2, test 10\n')
    assert 'train: my photos/train/odd/torn.jpg is a truncated or damaged JPEG' in ' '.join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == 'runs/finetune-data: contact_sheet.png, survey.json'
    assert done.stderr == ''
    folder = tmp_path / 'runs' / 'finetune-data'
    with Image.open(folder / 'contact_sheet.png') as image:
        assert image.format == 'PNG'
    facts = json.loads((folder / 'survey.json').read_text())
    assert sum(len(facts['parts'][part]['unreadable']) for part in ('train', 'validation')) == 2


def test_a_look_at_a_table_of_numbers(tmp_path):
    random = np.random.default_rng(0)
    rows = []
    for index in range(20):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f'{index}.png')
        rows.append((f'{index}.png', f'{index / 10}'))
    with open(tmp_path / 'sizes.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('file', 'size'), *rows, ('gone.png', '3')])
    arguments = (CONFIG, '--config.data.source=csv:sizes.csv', "--config.data.label_columns=('size',)", '--output=seen')
    done = launch(tmp_path, 'data', *arguments)
    assert '1 file of the table is missing and was left out' in done.stdout
    assert 'images' in done.stdout
    assert done.stdout.splitlines()[-1] == 'seen: contact_sheet.png, survey.json'


def test_what_cannot_be_is_one_line(tmp_path):
    for source, message in (
        ('folder:photos', 'there is no folder photos'),
        ('digit', "Did you mean 'digits'?"),
        ('csv:table.csv', 'there is no file table.csv'),
    ):
        done = launch(tmp_path, 'data', CONFIG, f'--config.data.source={source}', status=2)
        assert message in done.stderr
        assert done.stderr.count('\n') == 1
        assert not (tmp_path / 'runs').exists()
