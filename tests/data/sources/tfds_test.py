"""Tests of jtransfer/data/sources/tfds.py on data sets prepared by hand, without TensorFlow."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jtransfer import config
from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.tfds import load_tfds
from jtransfer.errors import UserError

FEATURES = 'tensorflow_datasets.core.features.'
IMAGE = {
    'pythonClassName': FEATURES + 'image_feature.Image',
    'image': {'dtype': 'uint8', 'encodingFormat': 'png', 'shape': {'dimensions': ['-1', '-1', '3']}},
}
LABEL = {'pythonClassName': FEATURES + 'class_label_feature.ClassLabel', 'classLabel': {'numClasses': '2'}}
TEXT = {'pythonClassName': FEATURES + 'text_feature.Text', 'text': {}}


def picture(split, i):
    return np.random.default_rng((len(split), i)).integers(0, 256, (3, 5, 3), np.uint8)


def prepare(root, splits, features=None, file_format='array_record', label=lambda i: i % 2, version='1.0.0'):
    """Writes what TFDS 4.9 writes for a data set called tiny."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2 as proto

    folder = root / 'tiny' / version
    folder.mkdir(parents=True)
    features = features or {'image': IMAGE, 'label': LABEL, 'name': TEXT}
    info = {'name': 'tiny', 'version': version, 'fileFormat': file_format, 'splits': []}
    for split, count in splits.items():
        info['splits'].append(
            {
                'name': split,
                'shardLengths': [str(count)],
                'numBytes': '1',
                'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
            }
        )
        writer = ArrayRecordWriter(str(folder / f'tiny-{split}.{file_format}-00000-of-00001'), 'group_size:1')
        for i in range(count):
            Image.fromarray(picture(split, i)).save(root / 'picture.png')
            example = proto.Example()
            example.features.feature['image'].bytes_list.value.append((root / 'picture.png').read_bytes())
            example.features.feature['label'].int64_list.value.append(label(i))
            example.features.feature['name'].bytes_list.value.append(b'x')
            writer.write(example.SerializeToString())
        writer.close()
    (folder / 'dataset_info.json').write_text(json.dumps(info))
    (folder / 'label.labels.txt').write_text('light\ndark\n')
    description = {'pythonClassName': FEATURES + 'features_dict.FeaturesDict', 'featuresDict': {'features': features}}
    (folder / 'features.json').write_text(json.dumps(description))
    return str(root)


def test_parts_by_convention(tmp_path):
    data_dir = prepare(tmp_path, {'train': 8, 'validation': 4, 'test': 6})
    data = config.Data(source='tfds:tiny', data_dir=data_dir, batch_size=4)
    parts = load_parts(data, 0)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [8, 4, 6]
    assert parts.class_names == ('light', 'dark')
    for split, part in (('train', parts.train), ('test', parts.test)):
        np.testing.assert_array_equal(part.labels[''], np.arange(len(part)) % 2)
        for i in (0, 5):
            example = part[i]
            np.testing.assert_array_equal(example['image'], picture(split, i))
            assert (example['labels'][''], example['id']) == (i % 2, f'{split}/{i}')


def test_expressions_and_pickling(tmp_path):
    data_dir = prepare(tmp_path, {'train': 10, 'test': 4})
    sources = load_tfds('tiny:1.0.0', data_dir, {'train': 'train[:60%]', 'validation': 'train[60%:]+test[:1]'})
    assert sources['train'].ids == tuple(f'train/{i}' for i in range(6))
    validation = sources['validation']
    assert validation.ids == ('train/6', 'train/7', 'train/8', 'train/9', 'test/0')
    assert validation[1]['labels'][''] == 1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(validation))[4]['image'], picture('test', 0))
    data = config.Data(source='tfds:tiny', data_dir=data_dir, train_split='train[:80%]', test_split='train[70%:]')
    with pytest.raises(UserError, match=r'example train/7 is in the train part and in the test part'):
        load_parts(data, 0, training=False)


def test_no_tensorflow(tmp_path):
    data_dir = prepare(tmp_path, {'train': 8})
    program = (
        'import sys\n'
        'from jtransfer.data.sources.tfds import load_tfds\n'
        f'print(load_tfds("tiny", {data_dir!r})["train"][3]["image"].shape, "tensorflow" in sys.modules)\n'
    )
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert result.stdout.split('\n')[0] == '(3, 5, 3) False'


def test_not_prepared(tmp_path):
    prepare(tmp_path, {'train': 8}, version='1.0.0')
    with pytest.raises(UserError, match=r'tfds:mnist is not prepared .*jtransfer\[tfds\].*`tfds build mnist') as error:
        load_tfds('mnist', str(tmp_path))
    assert '\n' not in str(error.value)


def test_unknown_name(tmp_path):
    with pytest.raises(UserError, match=r"tfds:cifar11 is neither prepared .* did you mean 'tfds:cifar10"):
        load_tfds('cifar11', str(tmp_path))


@pytest.mark.parametrize('expression', ['trian', 'train[:5', 'train[90:]'])
def test_unknown_split(tmp_path, expression):
    data_dir = prepare(tmp_path, {'train': 8, 'unlabelled': 2})
    with pytest.raises(UserError, match=r'tfds:tiny/1.0.0 has no split .* but train, unlabelled') as error:
        load_tfds('tiny', data_dir, {'train': expression})
    assert '\n' not in str(error.value)


def test_no_train_split(tmp_path):
    data_dir = prepare(tmp_path, {'full': 8})
    with pytest.raises(UserError, match=r'tfds:tiny has no split called train, but full: choose with data.train_split'):
        load_tfds('tiny', data_dir)
    assert len(load_tfds('tiny', data_dir, {'train': 'full'})['train']) == 8


@pytest.mark.parametrize(
    ('features', 'message'),
    [
        ({'image': IMAGE, 'name': TEXT}, 'has no ClassLabel feature; it has image, name'),
        ({'label': LABEL, 'name': TEXT}, 'has no Image feature; it has label, name'),
    ],
)
def test_missing_features(tmp_path, features, message):
    with pytest.raises(UserError, match=message):
        load_tfds('tiny', prepare(tmp_path, {'train': 8}, features))


def test_other_format(tmp_path):
    with pytest.raises(UserError, match=r'not in the array_record format: .*--file_format=array_record'):
        load_tfds('tiny', prepare(tmp_path, {'train': 8}, file_format='tfrecord'))


def test_label_outside_range(tmp_path):
    with pytest.raises(UserError, match=r'example train/2 has label 2, outside 0 to 1 \(2 classes\)'):
        load_tfds('tiny', prepare(tmp_path, {'train': 4}, label=lambda i: i))


def test_unreadable_image(tmp_path, monkeypatch):
    data_dir = prepare(tmp_path, {'train': 8})
    source = load_tfds('tiny', data_dir, max_pixels=14)['train']
    with pytest.raises(UnreadableImageError, match=r'tiny/1.0.0: train/3 has 5x3 pixels'):
        source[3]


def test_another_split_stops_or_is_left_out_and_counted(tmp_path):
    data_dir = prepare(tmp_path, {'train': 8, 'test': 4, 'extra': 3})
    with pytest.raises(UserError, match=r"beside them 'extra' \(3 examples\), .*data.train_split=train leaves it out"):
        load_tfds('tiny', data_dir)
    sources = load_tfds('tiny', data_dir, {'train': 'train[:6]'})
    assert {part: len(source) for part, source in sources.items()} == {'train': 6, 'test': 4}
    assert sources['train'].notes == (
        "feature 'image' holds the images, 'label' the label (single_label); not read: 'name'",
        "2 examples of the split 'train' left out",
        "3 examples of the split 'extra' left out",
    )
