"""A checkpoint on other data: classes are matched by name."""

import json

import numpy as np
import pytest

from jtransfer.data.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments import prediction

pytestmark = pytest.mark.usefixtures('compile_once')
NAMES = ('p', 'q', 'r', 's')


def source(class_names=('s', 'p')):
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
    return ArraySource(images, [0, 1, 0, 1, 0, 1], class_names)


def test_classes_are_matched_by_name():
    relabelled = prediction.relabel(source(), NAMES, 'pictures')
    assert relabelled.class_names == NAMES
    assert relabelled.labels.tolist() == [3, 0, 3, 0, 3, 0]
    assert [relabelled[i]['label'] for i in range(2)] == [3, 0]
    assert relabelled.ids == source().ids
    same = source(('a', 'b'))
    assert prediction.relabel(same, ('a', 'b'), 'pictures') is same


def test_an_unknown_class_is_named():
    with pytest.raises(UserError, match=r"pictures has the class 'z' \(1 such\), which the model does not know"):
        prediction.relabel(source(('p', 'z')), NAMES, 'pictures')


def test_a_checkpoint_on_a_folder(checkpoints, photos, tmp_path):
    folder = tmp_path / 'mine'
    folder.mkdir()
    for name, other in (('ant', 's'), ('bee', 'p')):
        (folder / other).symlink_to(photos / name)
    metrics, part = prediction.evaluate_checkpoint(
        checkpoints['resnet'], tmp_path / 'out', source=f'folder:{folder}', batch_size=8
    )
    assert part == 'all'
    assert metrics.examples == 24
    assert metrics.class_names == NAMES
    assert [entry.examples for entry in metrics.per_class] == [12, 0, 0, 12]
    assert json.loads((tmp_path / 'out' / 'metrics.json').read_text())['top1'] == metrics.top1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'source': ''}, '--source is missing'),
        ({'source': 'folder:nowhere'}, 'nowhere'),
        ({'source': 'digits', 'part': 'tst'}, "Did you mean 'test'"),
        ({'source': 'digits', 'part': 'test'}, 'digits has no test part; it has train'),
    ],
)
def test_what_cannot_be_evaluated(checkpoints, nowhere, arguments, message):
    with pytest.raises(UserError, match=message):
        prediction.evaluate_checkpoint(checkpoints['resnet'], 'out', **arguments)
    assert not list(nowhere.iterdir())


def test_predicting_skips_what_cannot_be_read_when_asked(checkpoints, photos, tmp_path):
    folder = tmp_path / 'mixed'
    folder.mkdir()
    (folder / 'a.png').write_bytes((photos / 'ant' / '00.png').read_bytes())
    (folder / 'b.png').write_bytes(b'not a picture')
    with pytest.raises(UserError, match=r'b\.png.*--skip_unreadable'):
        prediction.predict_folder(checkpoints['resnet'], folder, tmp_path / 'table.csv')
    assert not (tmp_path / 'table.csv').exists()
    count, skipped = prediction.predict_folder(
        checkpoints['resnet'], folder, tmp_path / 'table.csv', skip_unreadable=True
    )
    assert (count, len(skipped)) == (1, 1)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='holds no images'):
        prediction.predict_folder(checkpoints['resnet'], tmp_path / 'empty', tmp_path / 'table.csv')
