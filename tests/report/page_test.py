"""The page: whole, self-contained, and safe whatever the names contain."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from jtransfer.report.page import PlanRow, WrongExample, picture_source, write_report
from jtransfer.tasks.base import Task
from jtransfer.tasks.metrics.classification import classification_metrics
from jtransfer.tasks.metrics.several import measure, measure_tasks

HOSTILE = '</style></title><script>alert("x")</script><img src=http://evil.example/x>'
VOID = {'meta', 'img', 'br', 'link', 'input', 'hr'}
EMPTY_SVG = {'line', 'rect', 'circle', 'path'}


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and text, and checks that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in EMPTY_SVG
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def evaluated(classes, examples=120, seed=0, names=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, examples)
    logits = rng.normal(0, 1, (examples, classes)).astype(np.float32)
    logits[np.arange(examples), labels] += 1.5
    return classification_metrics(logits, labels, names or [f'class {i}' for i in range(classes)])


def full_page(path, metrics, name='run'):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    write_report(
        path,
        title=name,
        metrics=metrics,
        curves=[{'step': s, 'train/loss': 1 / s, f'learning_rate/{name}': 0.1} for s in (1, 2)],
        plan=[PlanRow(name, 'head', 2, 650, 1.0, 0.01, True), PlanRow('backbone/.*', name, 60, 1350, 0.0, 0.0, False)],
        most_wrong=[WrongExample(picture, name, 'one', 'two', 0.875)],
        config_text=f'Config({name})',
        facts={name: name},
    )
    return path.read_text(encoding='utf-8')


@pytest.mark.parametrize('classes', [2, 10, 36, 60])
def test_page_is_whole_and_says_the_numbers(tmp_path, classes):
    metrics = evaluated(classes)
    source = full_page(tmp_path / 'report.html', metrics)
    page = Page(source)
    text = ' '.join(' '.join(page.text).split())
    assert page.open == []
    assert f'{100 * metrics.top1:.1f}' in text
    assert f'95% interval {metrics.top1_interval[0]:.1%} to {metrics.top1_interval[1]:.1%}' in text
    assert 'of 2000 parameters were trained (32.5%)' in text
    assert 'Config(run)' in text
    assert '87.5%' in text
    assert ('Confusion matrix' in text) == (classes <= 40)
    assert ('Top-5 accuracy' in text) == (classes > 5)
    assert 'Most frequent mistakes' in text
    assert all(f'class {i}' in text for i in range(classes))


def test_page_loads_nothing_and_runs_nothing(tmp_path):
    names = [HOSTILE, "javascript:alert('y')", '{{ 7 * 7 }}', 'x" onload="alert(1)']
    page = Page(full_page(tmp_path / 'report.html', evaluated(4, names=names), name=HOSTILE))
    assert page.open == []
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'base', 'form', 'a'} & set(page.tags)
    assert page.tags.count('img') == 1
    for key, value in page.attributes:
        assert not key.startswith('on')
        assert key not in ('href', 'srcset', 'xlink:href')
        if key == 'src':
            assert value.startswith('data:image/png;base64,')
    text = ' '.join(page.text)
    assert HOSTILE in text
    assert '{{ 7 * 7 }}' in text
    style = re.search(r'<style>(.*?)</style>', (tmp_path / 'report.html').read_text(), re.DOTALL).group(1)
    assert 'url(' not in style
    assert '@import' not in style


def test_what_is_empty_is_left_out(tmp_path):
    metrics = classification_metrics(np.float32([[3, 0], [0, 3]]), np.array([0, 1]), ['a', 'b'])
    write_report(tmp_path / 'report.html', title='perfect', metrics=metrics)
    text = ' '.join(Page((tmp_path / 'report.html').read_text()).text)
    for heading in ('Training', 'Most confidently wrong', 'What was trained', 'Configuration'):
        assert heading not in text
    assert 'There are none.' in text
    assert [p.name for p in tmp_path.iterdir()] == ['report.html']


def test_pictures_survive_and_large_ones_shrink():
    def decode(source):
        return Image.open(io.BytesIO(base64.b64decode(source.removeprefix('data:image/png;base64,'))))

    small = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(decode(picture_source(small))), small)
    assert decode(picture_source(np.zeros((800, 400, 3), np.uint8))).size == (96, 192)


SEEN = Task('seen', 'multi_label', ('sky', HOSTILE, 'dog'))
SIZE = Task('size', 'regression', ('width', HOSTILE))
KIND = Task(HOSTILE, 'single_label', ('cat', 'dog', 'cow'))
PICTURE = np.zeros((4, 4, 3), np.uint8)


def several(examples=30):
    rng = np.random.default_rng(0)
    labels = {
        HOSTILE: rng.integers(0, 3, examples).astype(np.int32),
        'seen': rng.integers(0, 2, (examples, 3)).astype(np.float32),
        'size': rng.normal(size=(examples, 2)).astype(np.float32),
    }
    labels['seen'][0] = np.nan
    outputs = {name: rng.normal(size=(examples, 2 if name == 'size' else 3)).astype(np.float32) for name in labels}
    return outputs, labels


def wrong(task=''):
    return WrongExample(PICTURE, f'{HOSTILE}.png', HOSTILE, 'three', note=f'off by {HOSTILE}', task=task)


def check_harmless(page):
    assert page.open == []
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'base', 'form'} & set(page.tags)
    assert all(not key.startswith('on') for key, _ in page.attributes)
    assert HOSTILE in ' '.join(page.text)


def test_page_of_several_labels(tmp_path):
    outputs, labels = several()
    metrics = measure(SEEN, outputs['seen'], labels['seen'])
    write_report(tmp_path / 'r.html', title='t', metrics=metrics, most_wrong=[wrong()])
    page = Page((tmp_path / 'r.html').read_text())
    check_harmless(page)
    text = ' '.join(' '.join(page.text).split())
    low, high = metrics.score_interval
    assert (
        f'Mean average precision on 29 examples {100 * metrics.score:.1f} % 95% interval {low:.1%} to {high:.1%}'
        in text
    )
    assert 'Not labelled 1 examples left out' in text
    assert 'Largest losses' in text
    assert 'Confusion matrix' not in text


@pytest.mark.parametrize('numbers', [1, 2])
def test_page_of_numbers(tmp_path, numbers):
    outputs, labels = several()
    task = Task('', 'regression', SIZE.class_names[-numbers:])
    metrics = measure(task, outputs['size'][:, :numbers], labels['size'][:, :numbers])
    write_report(tmp_path / 'r.html', title='t', metrics=metrics, most_wrong=[wrong()])
    page = Page((tmp_path / 'r.html').read_text())
    check_harmless(page)
    text = ' '.join(' '.join(page.text).split())
    low, high = metrics.score_interval
    assert f'R² on 30 examples {metrics.score:.3f} 95% interval {low:.3f} to {high:.3f}' in text
    assert page.tags.count('circle') == 30 * numbers
    assert text.count('true ') >= 30 * numbers
    assert 'Largest errors' in text


def test_page_of_several_heads(tmp_path):
    outputs, labels = several()
    metrics = measure_tasks([KIND, SEEN, SIZE], outputs, labels)
    most_wrong = [WrongExample(PICTURE, 'a.png', 'cat', 'dog', 0.5, task=HOSTILE), wrong('seen'), wrong('size')]
    write_report(
        tmp_path / 'r.html',
        title='t',
        metrics=metrics,
        most_wrong=most_wrong,
        curves=[{'step': 1, 'validation/score': 0.5}],
        plan=[PlanRow('head/.*', 'head', 1, 10, 1.0, 0.0, True)],
    )
    page = Page((tmp_path / 'r.html').read_text())
    check_harmless(page)
    text = ' '.join(' '.join(page.text).split())
    assert f'Mean score on 30 examples {metrics.score:.3f} mean of the scores of 3 tasks' in text
    headings = ['The tasks', 'Confusion matrix', 'Most confidently wrong', 'Largest losses', 'Predicted against true']
    assert sorted(headings, key=text.index) == headings
    assert page.tags.count('img') == 3


def test_a_page_holds_no_control_characters(tmp_path):
    full_page(tmp_path / 'report.html', evaluated(2, names=['a\x1b[31m', 'b\x00\udcff']), name='c\x07')
    page = (tmp_path / 'report.html').read_text('utf-8')
    assert page.replace('\n', '').isprintable()
    assert 'a\\x1b[31m' in page
    assert 'b\\x00\\xff' in page
