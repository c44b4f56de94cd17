"""Examples without a label: a line that counts them, or left out and said, in every kind of source."""

import numpy as np
import pytest

from jtransfer.config.data import Data
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.unlabelled import has_label, without_unlabelled
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label
from tests.data.sources import hf_test, tfds_test

COUNT = 10


def images(count=COUNT, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


def arrays(labels, name):
    return ArraySource(images(len(labels)), labels, ('a', 'b'), name=name, every_class=False)


def load(data, **settings):
    source = data if isinstance(data, dict) else None
    settings = {'batch_size': 1, 'source': 'memory' if source else data, **settings}
    return load_parts(Data(**settings), 0, source)


def of_hf(folder, labels):
    hf_test.write(folder / 'train/0.parquet', range(COUNT))
    hf_test.write(folder / 'test/0.parquet', range(COUNT), labels)
    return f'hf:{folder}', {}


def of_npz(folder, labels):
    np.savez(folder / 'a.npz', x_train=images(), y_train=np.arange(COUNT) % 2, x_test=images(), y_test=labels)
    return f'npz:{folder / "a.npz"}', {}


def of_table(folder, labels):
    rows = ['path,label,split']
    for part, own in (('train', np.arange(COUNT) % 2), ('test', labels)):
        for index, label in enumerate(own):
            (folder / f'{part}{index}.png').touch()
            rows.append(f'{part}{index}.png,{label if label >= 0 else ""},{part}')
    (folder / 'a.csv').write_text('\n'.join(rows))
    return f'csv:{folder / "a.csv"}', {}


def of_tfds(folder, labels):
    values = iter([*(np.arange(COUNT) % 2), *labels])
    tfds_test.prepare(folder, {'train': COUNT, 'test': COUNT}, label=lambda i: int(next(values)))
    return 'tfds:tiny', {'data_dir': str(folder)}


@pytest.mark.parametrize('make', [of_hf, of_npz, of_table, of_tfds], ids=['hf', 'npz', 'csv', 'tfds'])
def test_an_unlabelled_test_part_is_told_and_left_out_on_request(tmp_path, make):
    source, settings = make(tmp_path, np.full(COUNT, -1))
    with pytest.raises(UserError) as caught:
        load(source, **settings)
    assert '\n' not in str(caught.value)
    assert 'none of the 10 examples of the test part has a label (the first is test' in str(caught.value)
    assert str(caught.value).endswith('; data.skip_unlabelled=true leaves such a part out')
    parts = load(source, skip_unlabelled=True, test_fraction=0.3, **settings)
    note = (
        'the test part has no labels: its 10 examples were left out (data.skip_unlabelled), as if there were no test '
        'part'
    )
    assert note in parts.notes
    assert (len(parts.train), len(parts.test)) == (7, 3)
    assert all(name.startswith('train') for name in (*parts.train.ids, *parts.test.ids))


@pytest.mark.parametrize('make', [of_hf, of_npz, of_table, of_tfds], ids=['hf', 'npz', 'csv', 'tfds'])
def test_what_lacks_a_label_is_left_out_and_counted(tmp_path, make):
    source, settings = make(tmp_path, np.array([0, -1, 1, -1, 0, 1, -1, 1, 0, 1]))
    with pytest.raises(UserError, match=r'3 of the 10 examples of the test part have no label \(the first is test/?1'):
        load(source, **settings)
    parts = load(source, skip_unlabelled=True, **settings)
    assert '3 of the 10 examples of the test part have no label and were left out' in parts.notes
    assert (len(parts.train), len(parts.test)) == (10, 7)
    assert parts.test.labels[''].tolist() == [0, 1, 0, 1, 1, 0, 1]


def test_sources_in_memory_are_treated_alike():
    parts = {'train': arrays([0, 1, -1, 1], 'one'), 'test': arrays([-1, -1], 'two')}
    with pytest.raises(UserError, match='1 of the 4 examples of the train part have no label'):
        load(parts)
    loaded = load(parts, skip_unlabelled=True, test_fraction=0.0)
    assert loaded.test is None
    assert loaded.train.ids == ('one/0', 'one/1', 'one/3')
    assert len(loaded.notes) == 2
    nothing = ArraySource(images(2), [np.nan, np.nan], tasks=[Task('', 'regression', ('years',))])
    with pytest.raises(UserError, match=r'none of the 2 examples of the train part has a label \(the first'):
        load({'train': nothing}, skip_unlabelled=True)


def test_with_classes_chosen_the_unlabelled_are_told_all_the_same():
    source = ArraySource(images(6), [0, 1, 2, -1, 0, 1], ('a', 'b', 'c'))
    with pytest.raises(UserError, match='1 of the 6 examples'):
        load({'train': source}, classes=('b', 'a'))
    parts = load({'train': source}, classes=('b', 'a'), skip_unlabelled=True, test_fraction=0.0)
    assert parts.notes == (
        '1 example of other classes left out (data.classes)',
        '1 of the 6 examples of the train part have no label and were left out',
    )
    assert parts.train.labels[''].tolist() == [1, 0, 1, 0]


def test_other_tasks_take_what_labels_there_are():
    tasks = (single_label(('a', 'b'), 'kind'), Task('age', 'regression', ('years',)))
    labels = {'kind': [0, 1, -1, -1], 'age': [1.0, np.nan, 2.0, np.nan]}
    source = ArraySource(images(4), labels, tasks=tasks)
    assert has_label(source).tolist() == [True, True, True, False]
    whole = without_unlabelled({'train': source}, skip=False)['train']
    assert whole.ids == source.ids
    assert whole.notes[0].startswith('1 of the 4 examples of the train part have no label: nothing is learnt from them')
    kept = without_unlabelled({'train': source}, skip=True)['train']
    assert kept.ids == source.ids[:3]
