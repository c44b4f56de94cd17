"""The page of duplicates."""

import re

import numpy as np
import pytest

from jtransfer.data.duplicates.find import Duplicates, Pair
from jtransfer.data.given import opened
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.experiments.inspect.duplicates import label_text, labels_differ, write_duplicates
from jtransfer.tasks.base import Task
from jtransfer.tasks.door import by_task

PAIRS = [Pair(0, 1, 'exact', 0.0), Pair(2, 3, 'near', 4.0), Pair(3, 4, 'embedding', 0.0312), Pair(5, 6, 'near', 1.0)]
PARTS = ['train', 'train', 'train', 'test', 'test', None, 'train', 'test']


@pytest.fixture
def source():
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (30, 40 + i, 3), dtype=np.uint8) for i in range(8)]
    ids = [f'x/<b>{i}&.png' for i in range(8)]
    return opened(ArraySource(pictures, [0, 0, 1, 1, 1, 0, 1, 1], ('<i>cat</i>', 'dog'), ids))


def page_of(tmp_path, source, **options):
    write_duplicates(tmp_path / 'duplicates.html', source, Duplicates.of(PAIRS, 8, ['lost<1>']), **options)
    return (tmp_path / 'duplicates.html').read_text()


def tile(page, label):
    return re.search(rf'{label}</p><b>([\d,]+)</b>', page)[1]


def test_the_page_counts_and_shows_every_group(tmp_path, source):
    page = page_of(tmp_path, source, assignment=PARTS, title='Twins & <more>')
    assert page.count('<img src="data:image/png;base64,') == 7
    assert tile(page, 'Groups of duplicates') == '3'
    assert '7 of 8 pictures' in page
    assert tile(page, 'Labels that differ') == '1'
    assert tile(page, 'In several parts or folds') == '1'
    assert [tile(page, label) for label in ('The same pixels', 'Nearly the same', 'The same to a network')] == [
        '1',
        '2',
        '1',
    ]
    assert '4 bits' in page
    assert '0.0312' in page
    assert 'not shown' not in page


def test_groups_come_in_order_of_the_harm_they_do(tmp_path, source):
    page = page_of(tmp_path, source, assignment=PARTS)
    groups = page.split('class="card group"')[1:]
    assert [re.findall(r'x/&lt;b&gt;(\d)', group.split('<details>')[0])[1::2] for group in groups] == [
        ['5', '6'],
        ['2', '3', '4'],
        ['0', '1'],
    ]
    assert ['labels differ' in group for group in groups] == [True, False, False]
    assert ['in train and test' in group for group in groups] == [False, True, False]


def test_names_are_shown_as_text(tmp_path, source):
    page = page_of(tmp_path, source, title='Twins & <more>')
    for raw in ('<i>cat', '<b>0', 'lost<1>', '<more>'):
        assert raw not in page
    for escaped in ('&lt;i&gt;cat&lt;/i&gt;', 'x/&lt;b&gt;0&amp;.png', 'lost&lt;1&gt;', 'Twins &amp; &lt;more&gt;'):
        assert escaped in page
    assert not re.search(r'<script|https?://', page)


def test_without_parts_nothing_is_said_about_them(tmp_path, source):
    assert 'parts or folds' not in page_of(tmp_path, source)


def test_what_is_not_shown_is_counted(tmp_path, source):
    page = page_of(tmp_path, source, most=1)
    assert page.count('class="card group"') == 1
    assert '2 more groups are not shown' in page
    many = Duplicates.of([Pair(0, i, 'near', 1.0) for i in range(1, 15)], 15)
    pictures = opened(ArraySource(np.zeros((15, 4, 4, 3), np.uint8), np.arange(15) % 2, ('a', 'b')))
    write_duplicates(tmp_path / 'many.html', pictures, many)
    page = (tmp_path / 'many.html').read_text()
    assert page.count('<img ') == 8
    assert 'and 7 more' in page
    assert 'and 2 more' in page


def test_no_duplicates_are_a_page_too(tmp_path, source):
    write_duplicates(tmp_path / 'none.html', source, Duplicates.of([], 8), assignment=PARTS)
    page = (tmp_path / 'none.html').read_text()
    assert 'No picture is there twice' in page
    assert '<img' not in page


class Labelled:
    """Labels of some tasks."""

    def __init__(self, tasks, labels):
        self.tasks, self.labels, self.class_names, self.ids = tasks, labels, tasks[0].class_names, ('x', 'y')

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise AssertionError('no picture is needed')


COLOUR = Task('colour', 'single_label', ('red', 'blue'))
TAGS = Task('', 'multi_label', ('old', 'torn', 'wet'))
SIZE = Task('size', 'regression', ('width', 'height'))


@pytest.mark.parametrize(
    ('tasks', 'labels', 'texts', 'differ'),
    [
        ((TAGS,), np.float32([[1, 0, 1], [0, 0, 0]]), ['old, wet', 'none'], True),
        ((TAGS,), np.float32([[1, 0, 1], [1, 0, 1]]), ['old, wet', 'old, wet'], False),
        ((TAGS,), np.float32([[1, 0, 1], [np.nan, 0, 1]]), ['old, wet', 'no label'], False),
        (
            (COLOUR, SIZE),
            {'colour': np.int32([1, -1]), 'size': np.float32([[1.5, 2], [1.5, 2]])},
            ['colour: blue; size: width 1.5, height 2', 'colour: no label; size: width 1.5, height 2'],
            False,
        ),
        (
            (COLOUR, SIZE),
            {'colour': np.int32([1, 1]), 'size': np.float32([[1.5, 2], [1.5, 3]])},
            ['colour: blue; size: width 1.5, height 2', 'colour: blue; size: width 1.5, height 3'],
            True,
        ),
    ],
)
def test_labels_of_other_tasks(tasks, labels, texts, differ):
    source = Labelled(tasks, by_task(labels))
    assert [label_text(source, i) for i in (0, 1)] == texts
    assert labels_differ(source, [0, 1]) is differ
