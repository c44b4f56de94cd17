"""The page of a cross-validation: whole, harmless, and right about its figures."""

import html.parser

import numpy as np
import pytest

from jtransfer.evaluate.folds import fold_interval
from jtransfer.report.crossval_page import FoldSummary, size_ratio, write_crossval_page
from jtransfer.report.page import WrongExample
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.metrics.several import measure, measure_tasks

HOSTILE = '</style></title><script>alert("x")</script><img src=http://evil.example/x>'
EMPTY = {'meta', 'img', 'br'}
SCORES = [0.9, 0.8, 0.85, 0.95, 0.9]


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and text, and checks that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.words = [], [], [], []
        self.feed(text)
        self.close()
        self.text = ' '.join(' '.join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def pooled(name='cat'):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 100).astype(np.int32)
    logits = rng.normal(size=(100, 3)) + 3 * np.eye(3)[labels]
    return measure(single_label([name, 'dog', 'cow']), logits, labels, confidence=0.9)


def folds(repeats=1, report='fold-{}/report.html'):
    return [
        FoldSummary(r, i, 80, 20, 10 * i, score - 0.1 * r, 0.5, 61.0, report.format(i))
        for r in range(repeats)
        for i, score in enumerate(SCORES)
    ]


def written(path, **changes):
    values = {'title': 'run', 'folds': folds(), 'pooled': pooled()} | changes
    write_crossval_page(path / 'crossval.html', **values)
    page = Page((path / 'crossval.html').read_text(encoding='utf-8'))
    assert page.open == []
    assert 'script' not in page.tags
    return page


def test_figures_of_the_page(tmp_path):
    metrics = pooled()
    page = written(tmp_path, pooled=metrics, notes=['12 duplicates were kept together'], config_text='Config()')
    expected = fold_interval(SCORES, 0.25, 0.9)
    low, high = metrics.top1_interval
    assert 'Accuracy, mean of 5 folds 88.0 %' in page.text
    assert f'± {expected.sd:.1%} from fold to fold; 90% interval of the mean {expected.low:.1%} to' in page.text
    assert '1/5 + 0.250 times' in page.text
    assert f'All predictions together {metrics.top1:.1%} 90% interval {low:.1%} to {high:.1%}' in page.text
    assert 'Worst fold 80.0% best 95.0%' in page.text
    assert 'Training 5.1 min' in page.text
    assert '12 duplicates were kept together' in page.text
    assert 'Confusion matrix' in page.text
    assert 'Config()' in page.text
    assert 'Repeat' not in page.text
    assert [value for key, value in page.attributes if key == 'href'] == [f'fold-{i}/report.html' for i in range(5)]


def test_repeats_curves_and_pictures(tmp_path):
    picture = WrongExample(np.zeros((4, 4, 3), np.uint8), 'a.png', 'cat', 'dog', 0.75)
    curves = [[{'step': s, 'validation/score': 0.5, 'train/loss': 1.0} for s in (1, 2)] for _ in range(10)]
    page = written(tmp_path, folds=folds(2), curves=curves, most_wrong=[picture])
    assert 'Repeat' in page.text
    assert '10 2 repeats of 5' in page.text
    assert 'mean of 10' in page.text
    assert 'cat → dog 75.0%' in page.text
    assert page.tags.count('img') == 1


def test_hostile_text_is_text(tmp_path):
    page = written(
        tmp_path,
        title=HOSTILE,
        folds=folds(report='javascript:alert({})'),
        pooled=pooled(HOSTILE),
        notes=[HOSTILE],
        facts={HOSTILE: HOSTILE},
        config_text=HOSTILE,
    )
    assert 'img' not in page.tags
    assert {value for key, value in page.attributes if key == 'href'} == {
        f'javascript%3Aalert%28{i}%29' for i in range(5)
    }
    assert all(not key.startswith('on') for key, _ in page.attributes)


def test_several_heads(tmp_path):
    tasks = [Task('age', 'regression', ('years',)), single_label(['a', 'b'], 'kind')]
    rng = np.random.default_rng(0)
    labels = {'age': rng.normal(size=(20, 1)).astype(np.float32), 'kind': (np.arange(20) % 2).astype(np.int32)}
    outputs = {'age': labels['age'] + 0.1, 'kind': rng.normal(size=(20, 2))}
    page = written(tmp_path, pooled=measure_tasks(tasks, outputs, labels))
    assert 'Mean score, mean of 5 folds 0.880' in page.text
    assert 'The tasks' in page.text
    assert 'Predicted against true' in page.text


def test_a_single_fold_has_no_interval(tmp_path):
    page = written(tmp_path, folds=folds()[:1])
    assert 'mean of 1 fold 90.0 % of a single fold: without an interval' in page.text


def test_sizes():
    assert size_ratio([FoldSummary(0, 0, 30, 10, 1, 0.0, 0.0, 0.0), FoldSummary(0, 1, 34, 6, 1, 0.0, 0.0, 0.0)]) == 0.25
    with pytest.raises(ValueError, match='no training examples'):
        size_ratio([])


@pytest.mark.parametrize(('changes', 'message'), [({'folds': []}, 'no folds'), ({'curves': [[]]}, '1 curves for 5')])
def test_what_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        written(tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []
