"""The facts about a data set are those that a person would count."""

import json

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.given import opened
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.folder import load_folder
from jtransfer.data.survey import survey_part, to_dict
from jtransfer.tasks.base import Task

ROTATED = 6


def odd_folder(folder, part='', torn=True):
    """A class of pictures of every kind, 30 wide and 20 high as they are seen, and one of plain photographs."""
    odd, plain = folder / part / 'odd', folder / part / 'plain'
    odd.mkdir(parents=True)
    plain.mkdir()
    random = np.random.default_rng(len(part))
    picture = Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8))
    picture.convert('L').save(odd / 'grey.png')
    picture.quantize(16).save(odd / 'palette.png')
    picture.convert('RGBA').save(odd / 'transparent.png')
    picture.convert('CMYK').save(odd / 'print.jpg')
    Image.fromarray(random.integers(0, 65536, (20, 30), np.uint16)).save(odd / 'deep.png')
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    Image.fromarray(random.integers(0, 256, (30, 20, 3), np.uint8)).save(odd / 'turned.jpg', exif=exif)
    if torn:
        (odd / 'torn.jpg').write_bytes((odd / 'print.jpg').read_bytes()[:200])
        (odd / 'empty.png').touch()
    for index in range(4):
        size = (40 + 10 * index, 60 + 20 * index)
        Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(plain / f'{index}.bmp')


@pytest.mark.parametrize('workers', [0, 3])
def test_pictures_of_every_kind_are_counted_as_they_are_seen(tmp_path, workers):
    odd_folder(tmp_path)
    told = []
    facts = survey_part(load_folder(str(tmp_path))['train'], workers=workers, progress=lambda *at: told.append(at))
    assert facts.examples == 12
    assert facts.counts == {'': {'odd': 8, 'plain': 4}}
    assert facts.modes == {
        'BMP RGB': 4,
        'PNG L': 1,
        'PNG P': 1,
        'PNG RGBA': 1,
        'JPEG CMYK': 1,
        'PNG I;16': 1,
        'JPEG RGB': 1,
    }
    assert next(iter(facts.modes)) == 'BMP RGB'
    assert facts.widths == (30, 30, 70)
    assert facts.heights == (20, 20, 120)
    assert facts.aspects == pytest.approx((70 / 120, 1.5, 1.5))
    assert [name for name, _ in facts.unreadable] == ['odd/empty.png', 'odd/torn.jpg']
    for name, reason in facts.unreadable:
        what = 'an empty file, not an image' if name == 'odd/empty.png' else 'a truncated or damaged JPEG'
        assert reason.startswith(f'{tmp_path}/{name} is {what}; data.skip_unreadable')
    assert facts.imbalance == {'': 2.0}
    assert (facts.groups, facts.weights, facts.numbers, facts.unlabelled) == (0, None, {}, {'': 0})
    assert told == [(done, 12) for done in range(1, 13)]
    assert json.loads(json.dumps(to_dict({'train': facts})))['train']['imbalance'] == {'': 2.0}


TASKS = (
    Task('marks', 'multi_label', ('a', 'b')),
    Task('age', 'regression', ('age', 'height')),
    Task('kind', 'single_label', ('x', 'y', 'z')),
)
NAN = float('nan')


def test_every_task_is_counted_on_its_own():
    labels = {
        'marks': [[1, 1], [1, 0], [NAN, NAN], [1, 0]],
        'age': [[1, 10], [3, 20], [5, 30], [NAN, NAN]],
        'kind': [0, 0, 1, -1],
    }
    images = np.zeros((4, 5, 5, 3), np.uint8)
    source = ArraySource(images, labels, tasks=TASKS, groups='ppqr', weights=[0.5, 1, 2, 2], every_class=False)
    facts = survey_part(source)
    assert facts.counts == {'marks': {'a': 3, 'b': 1}, 'kind': {'x': 2, 'y': 1, 'z': 0}}
    assert facts.unlabelled == {'marks': 1, 'age': 1, 'kind': 1}
    assert facts.imbalance == {'marks': 3.0, 'kind': 2.0}  # and not 3 / 1 over both
    assert facts.numbers['age']['age'] == pytest.approx((1, 3, np.std([1, 3, 5]), 5))
    assert facts.numbers['age']['height'] == pytest.approx((10, 20, np.std([10, 20, 30]), 30))
    assert facts.groups == 3
    assert facts.weights == (0.5, 2.0)
    assert facts.modes == {'array': 4}


def test_numbers_without_a_label_have_no_facts():
    tasks = (Task('', 'regression', ('age',)),)
    facts = survey_part(opened(ArraySource(np.zeros((2, 5, 5, 3), np.uint8), [NAN, NAN], tasks=tasks)))
    assert facts.numbers == {'': {}}
    assert (facts.unlabelled, facts.counts, facts.imbalance) == ({'': 2}, {}, {})


def test_a_source_that_cannot_be_read_at_all():
    class Torn(ArraySource):
        def __getitem__(self, index):
            raise UnreadableImageError('torn')

    facts = survey_part(opened(Torn(np.zeros((2, 5, 5, 3), np.uint8), [0, 1], ('a', 'b'))))
    assert len(facts.unreadable) == facts.examples == 2
    assert (facts.widths, facts.modes) == ((0, 0.0, 0), {})


def test_what_is_no_fault_of_a_picture_is_not_counted():
    class Broken(ArraySource):
        def __getitem__(self, index):
            raise ZeroDivisionError

    for workers in (0, 2):
        with pytest.raises(ZeroDivisionError):
            survey_part(opened(Broken(np.zeros((2, 5, 5, 3), np.uint8), [0, 1], ('a', 'b'))), workers=workers)


def test_a_sliver_of_16_bits_is_listed(tmp_path):
    for name, top in (('a', 4095), ('b', 65535)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)).save(tmp_path / name / '0.png')
    facts = survey_part(load_folder(str(tmp_path))['train'])
    assert facts.narrow == {'a/0.png': (0, 4095, True)}
    assert facts.modes == {'PNG I;16': 2}
    assert json.loads(json.dumps(to_dict({'train': facts})))['train']['narrow'] == {'a/0.png': [0, 4095, True]}
