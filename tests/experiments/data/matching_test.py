"""Labels matched by name to what a network has outputs for, whatever the task and the kind of source."""

import csv
import pathlib

import numpy as np
import pytest
from PIL import Image

import jtransfer as jt
from jtransfer.config import Config, Data
from jtransfer.data import given
from jtransfer.data.part import Part
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.evaluate.write import write_evaluation
from jtransfer.experiments.data.matching import for_model, match, open_for_model
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.run.score import score
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.base import Task, single_label
from tests.data.sources import hf_test, tfds_test

pytestmark = pytest.mark.usefixtures('compile_once')

NAMES = ('p', 'q', 'r', 's')
TAGS = Task('', 'multi_label', ('red', 'striped', 'round'))
SIZE = Task('', 'regression', ('width', 'height'))
HEADS = (single_label(('cat', 'dog'), 'kind'), Task('age', 'regression', ('age',)))
COUNT = 6


def source(class_names=('s', 'p'), **options):
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 5, 3), dtype=np.uint8)
    return ArraySource(images, [0, 1] * 3, class_names, **options)


def model_for(tasks):
    return load_model(architecture='resnet_tiny', tasks=tasks)


def table(folder, columns):
    random = np.random.default_rng(0)
    for index in range(COUNT):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f'{index}.png')
    with open(folder / 'a.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['path', *columns])
        writer.writerows([f'{index}.png', *(own[index] for own in columns.values())] for index in range(COUNT))
    return f'csv:{folder / "a.csv"}'


def measured(model, opened, folder):
    """The metrics of a network on what was opened, also as tables, and the rows of one of them."""
    part = Part(opened.source, np.arange(len(opened.source)))
    scores = score(model, read_examples(part, model.preprocessing, Config()), Config())
    write_evaluation(folder, scores.metrics, scores.logits, scores.labels, scores.ids)
    return scores.metrics


def rows(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def test_classes_are_matched_by_name():
    matched = match(source(), (single_label(NAMES),), 'pictures')
    assert matched.class_names == NAMES
    assert matched.labels[''].tolist() == [3, 0, 3, 0, 3, 0]
    assert [matched[i]['labels'][''] for i in range(2)] == [3, 0]
    assert matched.ids == source().ids
    same = given.opened(source(('a', 'b')))
    assert match(same, (single_label(('a', 'b')),), 'pictures') is same


def test_an_unknown_class_is_named_and_one_without_an_example_is_of_no_account():
    with pytest.raises(UserError, match=r"pictures has the class 'z' \(1 such\), which the model does not know"):
        match(source(('p', 'z')), (single_label(NAMES),), 'pictures')
    unused = source(('p', 'q', 'zebra'), every_class=False)
    assert match(unused, (single_label(NAMES),), 'pictures').labels[''].tolist() == [0, 1] * 3


@pytest.mark.parametrize('kind', ['hf', 'npz', 'tfds', 'csv'])
def test_any_source_may_have_one_class_and_no_training_part_to_evaluate_on(tmp_path, kind):
    model = load_model(architecture='resnet_tiny', class_names=('light', 'dark'))
    if kind == 'hf':
        hf_test.write(tmp_path / 'test/0.parquet', range(4), [0] * 4, names=('dark',))
        name, data_dir, part = f'hf:{tmp_path}', '', 'test'
    elif kind == 'npz':
        images = np.zeros((4, 5, 5, 3), np.uint8)
        np.savez(tmp_path / 'a.npz', x_test=images, y_test=np.zeros(4, int), class_names=['dark'])
        name, data_dir, part = f'npz:{tmp_path / "a.npz"}', '', 'test'
    elif kind == 'tfds':
        tfds_test.prepare(tmp_path, {'test': 4}, label=lambda index: 1)
        name, data_dir, part = 'tfds:tiny', str(tmp_path), 'test'
    else:
        name, data_dir, part = table(tmp_path, {'label': ['dark'] * COUNT, 'split': ['test'] * COUNT}), '', 'test'
    # Columns that the network's run named, and these data lack.
    columns = {'image_column': 'photo', 'group_column': 'owner', 'split_column': 'fold', 'weight_column': 'grams'}
    opened = open_for_model(name, model, Config(data=Data(**columns)), data_dir=data_dir)
    assert (opened.part, set(opened.source.labels[''].tolist())) == (part, {1})
    assert opened.notes[-1].endswith("has no example of the class 'light': it has no figure of its own")


def test_columns_of_labels_that_a_table_lacks_have_no_figures(tmp_path):
    model = model_for((TAGS,))
    config = Config(data=Data(task='multi_label', label_columns=('round', 'red', 'striped')))
    name = table(tmp_path, {'striped': [0, 1, 0, 1, 1, 0]})
    opened = open_for_model(name, model, config)
    np.testing.assert_array_equal(opened.source.labels[''][:, 1], [0, 1, 0, 1, 1, 0])
    assert np.isnan(opened.source.labels[''][:, [0, 2]]).all()
    assert opened.notes[-1:] == (f'{name} has no labels for 2 of the 3 outputs (red, round): no figures of their own',)
    metrics = measured(model, opened, tmp_path / 'out')
    (only,) = metrics.per_class
    assert (only.name, only.positives, metrics.absent) == ('striped', 3, ('red', 'round'))
    assert metrics.mean_average_precision == only.average_precision
    assert metrics.to_dict()['absent'] == ['red', 'round']
    written = rows(tmp_path / 'out' / 'per_class.csv')
    assert [(row['class'], row['positives'], row['f1'] == '') for row in written][1:] == [
        ('red', '0', True),
        ('round', '0', True),
    ]
    with pytest.raises(UserError, match=r"has the class 'red' \(2 such\)|has labels for 2 labels"):
        match(source_of(TAGS), (Task('', 'multi_label', ('round', 'square')),), 'it')


def test_the_parts_of_the_source_of_the_run_are_those_that_it_named(tmp_path):
    model = load_model(architecture='resnet_tiny', class_names=('light', 'dark'))
    name = table(tmp_path, {'label': ['dark'] * COUNT, 'split': ['train', 'dev', 'dev', 'eval', 'eval', 'eval']})
    opened = open_for_model(name, model, Config(data=Data(source=name, validation_split='dev', test_split='eval')))
    assert (opened.part, len(opened.source)) == ('test', 3)
    with pytest.raises(UserError, match=r"has both 'dev' and 'eval'"):
        open_for_model(name, model, Config(data=Data(source='csv:other.csv', test_split='eval')))


def source_of(task):
    labels = np.tile(np.arange(task.outputs, dtype=np.float32) == 0, (COUNT, 1)).astype(np.float32)
    return ArraySource(np.zeros((COUNT, 5, 5, 3), np.uint8), labels, tasks=(task,), every_class=False)


def test_a_name_that_no_image_has_among_several_is_known_to_be_absent(tmp_path):
    model = model_for((TAGS,))
    name = table(tmp_path, {'labels': ['red', 'red|striped', '', 'striped', 'red', '']})
    opened = open_for_model(name, model, Config(data=Data(task='multi_label')))
    np.testing.assert_array_equal(opened.source.labels[''][:, 2], np.zeros(COUNT))
    metrics = measured(model, opened, tmp_path / 'out')
    assert [entry.average_precision is None for entry in metrics.per_class] == [False, False, True]
    assert opened.notes[-1:] == (f"{name} has no example of the class 'round': it has no figure of its own",)


def test_one_of_two_numbers_is_measured_alone(tmp_path):
    model = model_for((SIZE,))
    config = Config(data=Data(task='regression', label_columns=('width', 'height')))
    opened = open_for_model(table(tmp_path, {'height': [1, 2, 3, 4, 5, 6]}), model, config)
    metrics = measured(model, opened, tmp_path / 'out')
    assert ([entry.name for entry in metrics.per_number], metrics.absent) == (['height'], ('width',))
    assert metrics.r2 == metrics.per_number[0].r2
    assert [row['number'] for row in rows(tmp_path / 'out' / 'per_number.csv')] == ['height', 'width']
    # The same numbers alone, in another order.
    whole = ArraySource(
        np.zeros((2, 5, 5, 3), np.uint8), [[1, 2], [3, 4]], tasks=[Task('', 'regression', SIZE.class_names[::-1])]
    )
    np.testing.assert_array_equal(for_model(whole, model, 'it').labels[''], [[2, 1], [4, 3]])


def test_heads_that_the_data_lack_are_left_out_and_whole_numbers_stay_numbers(tmp_path):
    model = model_for(HEADS)
    name = table(tmp_path, {'age': [1, 2, 3, 4, 5, 6]})
    opened = open_for_model(name, model, Config())
    assert opened.notes[-1:] == (f"{name} has no labels for the head 'kind': it has no figure of its own",)
    metrics = measured(model, opened, tmp_path / 'out')
    assert (list(metrics.by_task), metrics.absent) == (['age'], ('kind',))
    assert metrics.score == metrics.by_task['age'].score
    (tmp_path / 'two').mkdir()
    opened = open_for_model(table(tmp_path / 'two', {'kind': ['dog'] * COUNT}), model, Config())
    assert set(opened.source.labels['kind'].tolist()) == {1}
    other = ArraySource(np.zeros((2, 5, 5, 3), np.uint8), {'kin': [0, 1]}, tasks=[single_label(('cat', 'dog'), 'kin')])
    with pytest.raises(
        UserError, match=r'the part has labels for kin: .* names and kinds must be the same\. Did you mean'
    ):
        jt.evaluate_model(model, other)


def test_unlabelled_examples_are_told_or_left_out(tmp_path):
    model = load_model(architecture='resnet_tiny', class_names=('light', 'dark'))
    name = table(tmp_path, {'label': ['dark', '', 'light', '', 'dark', 'dark']})
    with pytest.raises(UserError, match=r'2 of the 6 examples of csv:.* skip_unlabelled=true leaves them out'):
        open_for_model(name, model, Config())
    opened = open_for_model(name, model, Config(), skip_unlabelled=True)
    assert opened.source.labels[''].tolist() == [1, 0, 1, 1]
    assert opened.notes[-1:] == ('2 examples without a label left out',)
    (tmp_path / 'parts').mkdir()
    columns = {'label': ['dark', 'light', 'dark', '', '', ''], 'split': ['train'] * 2 + ['val'] + ['test'] * 3}
    name = table(tmp_path / 'parts', columns)
    # Other parts than the one that is evaluated may be as they like.
    assert len(open_for_model(name, model, Config(), part='validation').source) == 1
    with pytest.raises(UserError, match='none of the 3 examples of the test part'):
        open_for_model(name, model, Config())
    opened = open_for_model(name, model, Config(), skip_unlabelled=True)
    assert opened.part == 'validation'
    assert 'the test part has no labels and was left out' in opened.notes
    columns['split'][2] = 'train'  # no validation part: what is left may be what the network was trained on
    name = table(tmp_path / 'parts', columns)
    with pytest.raises(
        UserError, match=r'the test part of .* has no labels; part=train evaluates on the training part'
    ):
        open_for_model(name, model, Config(), skip_unlabelled=True)
    with pytest.raises(UserError, match='none of the 3 examples of the test part'):
        open_for_model(name, model, Config(), part='test', skip_unlabelled=True)
    assert open_for_model(name, model, Config(), part='train', skip_unlabelled=True).part == 'train'


def test_numbers_without_a_value_are_said(tmp_path):
    model = load_model(architecture='resnet_tiny', tasks=[Task('', 'regression', ('age',))])
    name = table(tmp_path, {'age': ['1.5', '', '2.5', '', '3', '4']})
    opened = open_for_model(name, model, Config(data=Data(label_columns=('age',))))
    assert '2 of the 6 examples have no label and are not measured' in opened.notes


def test_in_python_a_part_is_what_a_person_has_at_hand(tmp_path):
    model = load_model(architecture='resnet_tiny', class_names=('light', 'dark'))
    images = np.zeros((3, 8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="class 'dark' has no examples; every_class=False takes it, to evaluate on"):
        jt.ArraySource(images, [0, 0, 0], ('light', 'dark'))
    source = jt.ArraySource(images, [0, -1, 0], ('light', 'dark'), every_class=False)
    with pytest.raises(UserError, match=r'1 of the 3 examples of the part .*; skip_unlabelled=true leaves them out'):
        jt.evaluate_model(model, source)
    assert jt.evaluate_model(model, source, skip_unlabelled=True).examples == 2
    name = table(tmp_path, {'label': ['dark', 'light'] * 3})
    assert jt.evaluate_model(model, pathlib.Path(name.removeprefix('csv:'))).examples == 6
    with pytest.raises(UserError, match=r'evaluate_model takes one part'):
        jt.evaluate_model(model, jt.load_data(name, test_fraction=0.5))
