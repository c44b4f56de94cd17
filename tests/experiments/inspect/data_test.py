"""A look at the data, as it is printed and written."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.inspect.data import describe, survey
from jtransfer.tasks.base import Task
from tests.data.duplicates.guard_test import planted
from tests.data.planted import encoded, originals
from tests.data.survey_test import odd_folder


def printed(result, width=120):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(describe(result))
    return console.export_text()


def lines(text):
    return [' '.join(line.split()) for line in text.splitlines()]


def noise(count, side=8, start=0):
    return np.random.default_rng(start).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.fixture(scope='module')
def odd(tiny_config, tmp_path_factory):
    """A divided folder of odd pictures, two unreadable files and a copy across the parts, and what was found in it."""
    folder = tmp_path_factory.mktemp('odd')
    odd_folder(folder, 'train')
    odd_folder(folder, 'test', torn=False)
    picture = originals()[0]
    Image.fromarray(picture).save(folder / 'train' / 'plain' / 'photo.png')
    Image.fromarray(encoded(picture, 'JPEG', 80)[:, ::-1]).save(folder / 'test' / 'plain' / 'copy.png')
    said = []
    config = tiny_config(**{'data.source': f'folder:{folder}', 'data.workers': 2})
    return survey(config, folder / 'found', say=said.append), said, folder


def test_a_folder_of_odd_pictures(odd):
    result, said, folder = odd
    assert said == [f'folder:{folder}: 2 classes (odd, plain); images: train 13, test 11']
    text = lines(printed(result))
    assert text[:4] == ['class train test', 'odd 8 6', 'plain 5 5', 'images 13 11']
    assert 'width 30 to 150, median 30 30 to 150, median 30' in text
    kinds = next(line for line in text if line.startswith('kinds '))
    assert kinds.count('BMP RGB 4') == 2
    assert 'unreadable 2' in text
    assert 'duplicates: 1 pair of pictures, 0 of them exact, such as' in ' '.join(text)
    assert '1 pair of duplicates is in two parts of the data' in ' '.join(text)
    for name, what in (('empty.png', 'an empty file, not an image'), ('torn.jpg', 'a truncated or damaged JPEG')):
        assert f'train: {folder}/train/odd/{name} is {what}' in ''.join(printed(result, 1000))
    assert text[-1].endswith('found: contact_sheet.png, duplicates.html, survey.json')


def test_the_facts_and_the_page_of_the_folder(odd):
    result, _, folder = odd
    facts = json.loads((folder / 'found' / 'survey.json').read_text())
    assert facts['source'] == f'folder:{folder}'
    train = facts['parts']['train']
    assert train['counts'] == {'': {'odd': 8, 'plain': 5}}
    assert [name for name, _ in train['unreadable']] == ['train/odd/empty.png', 'train/odd/torn.jpg']
    assert facts['parts']['test']['unreadable'] == []
    assert sum(train['modes'].values()) == 11
    ((first, second, kind, _),) = facts['duplicates']['pairs']
    assert {first, second} == {'train/plain/photo.png', 'test/plain/copy.png'}
    assert kind == 'near'
    assert facts['notes'] == list(result.notes)
    page = (folder / 'found' / 'duplicates.html').read_text()
    assert 'train/plain/photo.png' in page
    assert 'test/plain/copy.png' in page
    sheet = Image.open(folder / 'found' / 'contact_sheet.png')
    assert (sheet.format, sheet.size) == ('PNG', (6 + 12 * 102, 6 + 2 * 120))
    rows = np.asarray(sheet)[[6 + 18 + 48, 126 + 18 + 48]]
    shown = [sum((row[6 + 102 * at + 48] != 255).any() for at in range(12)) for row in rows]
    assert shown == [6, 5]  # of eight, two cannot be read


def test_a_page_of_duplicates_that_are_gone_is_not_left(tiny_config, tmp_path):
    copies = {'train': planted()}
    clean = {'train': ArraySource(noise(16), np.arange(16) % 2, ('a', 'b'))}
    survey(tiny_config(), tmp_path / 'found', copies)
    assert (tmp_path / 'found' / 'duplicates.html').exists()
    text = printed(survey(tiny_config(), tmp_path / 'found', clean))
    assert not (tmp_path / 'found' / 'duplicates.html').exists()
    assert 'duplicates.html' not in text
    assert 'no duplicates were found' in text


def test_the_parts_are_those_of_a_run(tiny_config, tmp_path):
    settings = {'data.duplicates': 'group', 'data.validation_fraction': 0.25}
    config = tiny_config(**settings)
    result = survey(config, tmp_path, planted())
    parts = load_parts(config.data, config.seed, planted())
    assert {name: facts.examples for name, facts in result.parts.items()} == {
        name: len(getattr(parts, name)) for name in ('train', 'validation', 'test')
    }
    assert result.guard.across() == []
    assert len(result.notes) == 1
    divided = survey(tiny_config(**settings | {'data.duplicates': 'report'}), tmp_path, planted())
    assert divided.guard.across()


def test_pairs_are_listed_those_across_the_parts_first(tiny_config, tmp_path):
    pictures = originals()[:14]
    train = ArraySource([*pictures, *pictures[:13]], np.arange(27) % 2, ('a', 'b'), name='one')
    test = ArraySource([pictures[13], *noise(1)], [0, 1], ('a', 'b'), name='two')
    text = printed(survey(tiny_config(), tmp_path, {'train': train, 'test': test})).splitlines()
    first = text.index('exact: one/13 (train), two/0 (test)')
    assert text[first + 1] == 'exact: one/0 (train), one/14 (train)'
    assert text[first + 10] == '4 more pairs, in survey.json'
    assert '1 group of duplicates with labels that differ' in text


def test_nobody_looks_for_duplicates_when_told_not_to(tiny_config, tmp_path):
    result = survey(tiny_config(**{'data.duplicates': 'ignore'}), tmp_path, planted())
    assert result.guard is None
    assert json.loads((tmp_path / 'survey.json').read_text())['duplicates'] is None
    assert not (tmp_path / 'duplicates.html').exists()
    assert 'duplicates' not in printed(result)


def test_what_is_set_apart_is_counted_too(tiny_config, tmp_path):
    config = tiny_config(**{'data.unlabelled_fraction': 0.5, 'data.duplicates': 'ignore'})
    result = survey(config, tmp_path, ArraySource(noise(20), np.arange(20) % 2, ('a', 'b')))
    assert {name: facts.examples for name, facts in result.parts.items()} == {'train': 6, 'test': 8, 'unlabelled': 6}
    assert '6 training images are set apart without their labels' in printed(result)


def test_several_labels_numbers_and_heads(tiny_config, tmp_path):
    tasks = (
        Task('marks', 'multi_label', ('spots', 'stripes')),
        Task('age', 'regression', ('years',)),
        Task('kind', 'single_label', ('cat', 'dog')),
    )
    labels = {
        'marks': np.array([[1, 0], [0, 1], [1, 1], [1, 0]] * 5),
        'age': np.arange(20) / 10,
        'kind': np.arange(20) % 2,
    }
    source = ArraySource(noise(20), labels, tasks=tasks, weights=np.linspace(0.5, 2, 20), groups=['one', 'two'] * 10)
    result = survey(tiny_config(**{'data.test_fraction': 0.0}), tmp_path, source)
    text = lines(printed(result))
    assert text[:4] == ['class of marks train', 'spots 15', 'stripes 10', 'images 20']
    assert text[5:9] == ['class of kind train', 'cat 10', 'dog 10', 'images 20']
    assert 'marks: largest / smallest 1.5' in text
    assert 'kind: largest / smallest 1.0' in text
    assert 'groups 2' in text
    assert 'weights 0.5 to 2' in text
    assert f'age: years 0 to 1.9, mean 0.95 ± {np.std(np.arange(20) / 10):.4g}' in text
    with Image.open(tmp_path / 'contact_sheet.png') as image:
        assert image.size[1] == 6 + 2 * 120  # a row a mark


def test_numbers_alone_are_shown_from_small_to_large(tiny_config, tmp_path):
    values = np.arange(16, dtype=np.float32)
    values[3] = np.nan
    images = np.zeros((16, 8, 8, 3), np.uint8) + np.arange(16, dtype=np.uint8)[:, None, None, None] * 10
    source = ArraySource(images, values, tasks=(Task('', 'regression', ('size',)),))
    result = survey(tiny_config(**{'data.test_fraction': 0.0}), tmp_path, source)
    text = lines(printed(result))
    assert text[0] == 'train'
    assert text[1] == 'images 16'
    assert 'not labelled 1' in text
    assert any(line.startswith('size 0 to 15, mean 7.8 ±') for line in text)
    pixels = np.asarray(Image.open(tmp_path / 'contact_sheet.png'))
    shown = {int(pixels[6 + row * 120 + 18 + 48, 6 + at * 102 + 48, 0]) for row in range(8) for at in range(2)}
    assert shown == {*range(0, 160, 10), 255} - {30}  # what has no number is on no row


def test_many_classes_are_cut_to_the_largest_and_the_smallest(tiny_config, tmp_path):
    names = [f'class {number:03}' for number in range(100)]
    labels = np.repeat(np.arange(100), [1 + number % 10 for number in range(100)])
    source = ArraySource(noise(len(labels), 4), labels, names)
    result = survey(tiny_config(**{'data.test_fraction': 0.0, 'data.duplicates': 'ignore'}), tmp_path, source)
    text = lines(printed(result))
    assert text[1:12] == [*(f'class {number:03} 10' for number in range(9, 100, 10)), 'class 008 9']
    assert '… 60 classes between, in survey.json' in text
    assert text[41] == 'class 090 1'
    assert text[42] == f'images {len(labels)}'
    assert 'the contact sheet shows all but 40 classes' in text
    assert len(json.loads((tmp_path / 'survey.json').read_text())['parts']['train']['counts']['']) == 100


@pytest.mark.parametrize('width', [40, 120])
def test_names_are_text_and_never_markup(tiny_config, tmp_path, width):
    names = ('[bold]x', '[/red]', 'two\nlines', 'l' + 'o' * 300 + 'ng', '目\u0301')
    source = ArraySource(noise(20), np.arange(20) % 5, names)
    text = printed(survey(tiny_config(**{'data.test_fraction': 0.0}), tmp_path, source), width)
    for name in ('[bold]x', '[/red]', 'two lines', '目\u0301'):
        assert name in text
    assert max(map(len, text.splitlines())) <= max(width, len(str(tmp_path)) + 40)
    assert text.count('o') >= 300  # folded, not cut


def test_an_output_that_cannot_be_is_one_line(tiny_config, tmp_path):
    (tmp_path / 'file').touch()
    source = ArraySource(noise(16), np.arange(16) % 2, ('a', 'b'))
    with pytest.raises(UserError, match='file is a file; name a folder'):
        survey(tiny_config(), tmp_path / 'file', source)


def test_the_folder_is_named_after_the_configuration(tiny_config, nowhere):
    source = ArraySource(noise(16), np.arange(16) % 2, ('a', 'b'))
    assert str(survey(tiny_config(name='bees'), source=source).folder) == 'runs/bees-data'
    assert str(survey(tiny_config(run_dir='mine/bees'), source=source).folder) == 'mine/bees-data'
    assert (nowhere / 'runs' / 'bees-data' / 'survey.json').exists()


def test_a_sliver_of_16_bits_and_kinds_that_are_not_read_are_said(tiny_config, tmp_path):
    for name, top in (('a', 4095), ('b', 65535)):
        (tmp_path / 'deep' / name).mkdir(parents=True)
        for number in range(2):
            pixels = np.linspace(number, top, 64).astype(np.uint16).reshape(8, 8)
            Image.fromarray(pixels).save(tmp_path / 'deep' / name / f'{number}.png')
    (tmp_path / 'deep' / 'a' / 'drawing.svg').write_text('<svg/>')
    settings = {'data.source': f'folder:{tmp_path}/deep', 'data.test_fraction': 0.0, 'data.batch_size': 2}
    result = survey(tiny_config(**settings), tmp_path / 'found')
    assert '1 file in the folders is an image of a kind that is not read and was left out (.svg 1)' in result.notes
    note = next(line for line in result.notes if line.startswith('2 of 4 images have 16 bits'))
    assert note.endswith('data.pixel_range=0,4095 says which values are black and white in all images of 16 bits')
    assert note in ' '.join(lines(printed(result, 1000)))
