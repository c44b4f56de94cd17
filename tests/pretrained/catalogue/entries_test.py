"""The catalogue of published weights: its tables, and what can be asked of it."""

import collections
import dataclasses
import functools
import json
import re

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import IMAGENET_MEAN, ImagePreprocessor
from jtransfer.pretrained.catalogue import entries
from jtransfer.pretrained.catalogue.entries import COLUMNS, TABLES, find, matching, read_table
from jtransfer.pretrained.catalogue.locate import shipped_path
from jtransfer.pretrained.names import namings
from tests.models.published import count
from tests.pretrained.published_row import table_row

ALL = list(entries.entries().values())
HALF = (0.5, 0.5, 0.5)

# Options that change no parameter.
_NUMERICS = ('gelu', 'eps')


def test_there_are_entries_of_every_origin():
    origins = collections.Counter(re.match(r'[a-z]+(://[a-z_.]+)?', entry.name)[0] for entry in ALL)
    assert origins['jtransfer'] == 2
    assert origins['timm'] > 300
    assert origins['torchvision'] > 25
    assert min(origins[owner] for owner in ('google', 'facebook', 'openai', 'microsoft')) >= 4
    assert min(origins[f'gs://{bucket}'] for bucket in ('bit_models', 'vit_models', 'big_vision')) >= 20
    assert origins['https://dl.fbaipublicfiles.com'] > 30
    assert len(entries.entries()) == len(ALL)


@pytest.mark.parametrize('table', TABLES)
def test_tables_are_sorted_and_written_as_they_are_read(table):
    text = (entries._folder() / f'{table}.tsv').read_text(encoding='utf-8')
    rows = read_table(text, table)
    assert [row.name for row in rows] == sorted(row.name for row in rows)
    assert '\n'.join(['\t'.join(COLUMNS), *map(table_row, rows)]) + '\n' == text


def test_every_entry_can_be_used():
    wrong = []
    for entry in ALL:
        variant = models.describe(entry.architecture)
        network = models.create(
            entry.architecture,
            num_classes=entry.num_classes,
            image_size=entry.preprocessing.shape,
            options=entry.options,
        )
        known = {'', 'jtransfer', *(naming.name for naming in namings(variant.family, network.backbone))}
        where = entry.repo or entry.file
        complaints = {
            'naming': entry.naming not in known,
            'options as the variant has them': any(
                variant.kwargs.get(option) == value for option, value in entry.options.items()
            ),
            'place': not re.fullmatch(r'[\w-]+/[\w.-]+|(https|gs)://[\w./+-]+\.\w+|\w+\.safetensors', where),
            'revision': not re.fullmatch('|[0-9a-f]{40}', entry.revision) or (entry.revision and not entry.repo),
            'sha256': not re.fullmatch('|[0-9a-f]{8,64}', entry.sha256),
            'accuracy': (entry.accuracy is None) != (entry.accuracy_size is None),
            'accuracy of no classifier': entry.accuracy is not None
            and not (50 < entry.accuracy < 92 and entry.num_classes == 1000),
            'bytes': not 0.45 <= entry.bytes / (4 * entry.parameters) < 5,
            'texts': not (entry.licence.strip() and entry.about.strip() and entry.source.strip()),
        }
        wrong += [(entry.name, complaint) for complaint, there in complaints.items() if there]
    assert not wrong


def test_shipped_weights_are_in_the_package():
    for entry in ALL:
        if entry.naming == 'jtransfer':
            assert shipped_path(entry).is_file()
            record = json.loads(shipped_path(entry).with_suffix('.json').read_text())
            assert (entry.architecture, entry.parameters) == (record['architecture'], record['parameters'])


@functools.cache
def counted(architecture: str, options: str, size: int) -> tuple[int, int]:
    """Parameters of the backbone, and of the head for each class."""
    numbers = count(architecture, 1, size, json.loads(options))
    return numbers['params/backbone'], numbers['params/head']


def test_parameters_are_those_of_our_networks():
    wrong = []
    for entry in ALL:
        options = {option: value for option, value in entry.options.items() if option not in _NUMERICS}
        positions = 'patch' in models.describe(entry.architecture).kwargs
        size = entry.preprocessing.image_size if positions else 64
        backbone, head = counted(entry.architecture, json.dumps(options), size)
        if entry.parameters != backbone + head * entry.num_classes:
            wrong.append((entry.name, entry.parameters, backbone + head * entry.num_classes))
    assert not wrong


def test_parameters_of_architectures():
    known = entries.architecture_parameters()
    assert list(known) == list(models.variant_names()), 'run python -m tests.pretrained.make_published'
    for entry in ALL:
        own = models.describe(entry.architecture).preprocessing.image_size
        same = entry.preprocessing.image_size == own and not entry.options
        if same and entry.num_classes == entries.ARCHITECTURE_CLASSES:
            assert known[entry.architecture] == entry.parameters, entry.name


# Numbers of timm's and torchvision's documentation, Google's and the authors' READMEs.
@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        (
            'timm/resnet50.a1_in1k',
            {
                'architecture': 'resnet50',
                'naming': 'timm',
                'repo': 'timm/resnet50.a1_in1k',
                'file': 'model.safetensors',
                'parameters': 25_557_032,
                'licence': 'apache-2.0',
                'accuracy': 80.38,
                'accuracy_size': 224,
                'preprocessing': ImagePreprocessor(224, interpolation='bicubic', crop_fraction=0.95),
            },
        ),
        (
            'timm/resnet50.tv2_in1k',
            {
                'accuracy': 80.85,
                'preprocessing': ImagePreprocessor(224, interpolation='bilinear', crop_fraction=0.965),
                'licence': 'bsd-3-clause',
            },
        ),
        (
            'torchvision/resnet50.IMAGENET1K_V2',
            {
                'file': 'https://download.pytorch.org/models/resnet50-11ad3fa6.pth',
                'repo': '',
                'sha256': '11ad3fa6',
                'accuracy': 80.858,
                'parameters': 25_557_032,
            },
        ),
        (
            'torchvision/googlenet.IMAGENET1K_V1',
            {
                'accuracy': 69.778,
                'parameters': 6_624_904,
                'preprocessing': ImagePreprocessor(224, HALF, HALF, 'bilinear', 0.875),
            },
        ),
        (
            'google/vit-base-patch16-224',
            {
                'architecture': 'vit_b16',
                'options': {'eps': 1e-12},
                'naming': 'huggingface',
                'parameters': 86_567_656,
                'preprocessing': ImagePreprocessor(224, HALF, HALF, 'bilinear', squash=True, crop_rounding='floor'),
            },
        ),
        (
            'facebook/deit-base-patch16-224',
            {'accuracy': 81.8, 'preprocessing': ImagePreprocessor(224, crop_fraction=0.875, crop_rounding='floor')},
        ),
        (
            'gs://vit_models/augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0'
            '--imagenet2012-steps_20k-lr_0.03-res_384.npz',
            {
                'options': {'gelu': 'tanh'},
                'naming': 'vit_jax',
                'accuracy': 85.49,
                'parameters': 86_859_496,
                'preprocessing': ImagePreprocessor(384, HALF, HALF, 'bilinear', squash=True),
            },
        ),
        (
            'gs://bit_models/BiT-M-R50x1-ILSVRC2012.npz',
            {'architecture': 'bit_r50x1', 'num_classes': 1000, 'parameters': 25_549_352},
        ),
        (
            'timm/vit_large_patch14_clip_224.laion2b_ft_in12k_in1k',
            {
                'options': {'gelu': 'erf'},
                'preprocessing': ImagePreprocessor(224, HALF, HALF, 'bicubic'),
                'accuracy': 87.9,
            },
        ),
        (
            'timm/vit_so400m_patch14_siglip_384.webli',
            {'architecture': 'siglip_so400m14', 'options': {'gelu': 'erf'}, 'num_classes': 0},
        ),
        (
            'https://dl.fbaipublicfiles.com/mae/finetune/mae_finetuned_vit_base.pth',
            {'options': {'pool': 'avg_norm'}, 'num_classes': 1000, 'accuracy': 83.664, 'licence': 'cc-by-nc-4.0'},
        ),
        ('timm/vit_small_patch14_reg4_dinov2.lvd142m', {'architecture': 'dinov2_s14_reg4', 'num_classes': 0}),
        ('timm/convnext_tiny.in12k_ft_in1k', {'architecture': 'convnext_tiny', 'parameters': 28_589_128}),
        ('timm/mobilenetv2_100.ra_in1k', {'architecture': 'mobilenetv2_100', 'parameters': 3_504_872}),
        ('timm/vgg16_bn.tv_in1k', {'parameters': 138_365_992, 'accuracy': 73.35}),
    ],
)
def test_facts(name, expected):
    entry = find(name)
    assert {field: getattr(entry, field) for field in expected} == expected


@pytest.mark.parametrize(
    ('wrong', 'right'),
    [
        ('resnet50.a1_in1k', 'timm/resnet50.a1_in1k'),
        ('timm/resnet50.a1_in1', 'timm/resnet50.a1_in1k'),
        ('google/vit-base-patch-16-224', 'google/vit-base-patch16-224'),
    ],
)
def test_an_unknown_name_has_its_nearest(wrong, right):
    with pytest.raises(UserError, match=rf"has no '{re.escape(wrong)}'.*nearest: .*{re.escape(right)}"):
        find(wrong)


def test_choosing():
    names = [entry.name for entry in matching('^timm/ RESNET50 a1_')]
    assert 'timm/resnet50.a1_in1k' in names
    assert all(re.match('timm/.*resnet50.*a1_', name) for name in names)
    assert {models.describe(entry.architecture).family for entry in matching(family='bit')} == {'bit'}
    assert {entry.licence for entry in matching(licence='mit')} == {'mit'}
    assert matching('dinov2', max_parameters=25_000_000)
    assert all(entry.parameters <= 25_000_000 for entry in matching('dinov2', max_parameters=25_000_000))
    best = matching(min_accuracy=88.0)
    assert best
    assert all(entry.accuracy >= 88 for entry in best)
    # A word may stand in what the weights were trained on.
    assert 'timm/vit_base_patch16_224.mae' in [entry.name for entry in matching('masked|MAE labels')]
    assert matching() == ALL
    assert matching('nothing_is_called_so') == []


@pytest.mark.parametrize(
    ('conditions', 'message'),
    [
        ({'pattern': 'resnet ('}, r"'\(' is not a regular expression"),
        ({'family': 'resnt'}, "family 'resnt'. Did you mean 'resnet'"),
        ({'licence': 'apache'}, "licence 'apache'. Did you mean 'apache-2.0'"),
    ],
)
def test_a_condition_that_cannot_be_is_told(conditions, message):
    with pytest.raises(UserError, match=message):
        matching(**conditions)


@pytest.mark.parametrize(
    ('column', 'text', 'message'),
    [
        ('norm', 'imagnet', 'KeyError'),
        ('num_classes', 'many', 'invalid literal'),
        ('licence', ' ', 'licence is empty'),
        ('squash', 'no', "neither empty nor 'yes'"),
        ('options', '[1]', 'no JSON object'),
        ('options', '{', 'options is damaged: no JSON'),
        ('interpolation', 'lanczos', "interpolation='lanczos'"),
        ('about', 'a\tb', '22 cells for 21 columns'),
    ],
)
def test_a_broken_row_is_told_with_its_line(column, text, message):
    cells = table_row(find('timm/resnet50.a1_in1k')).split('\t')
    good = '\t'.join(cells)
    cells[COLUMNS.index(column)] = text
    table = '\n'.join(['\t'.join(COLUMNS), good, '\t'.join(cells)])
    with pytest.raises(ValueError, match=rf'^mine.tsv:3: .*{re.escape(message)}'):
        read_table(table, 'mine.tsv')


def test_columns_may_come_in_any_order_but_must_be_known():
    entry = dataclasses.replace(find('google/vit-base-patch16-224'), accuracy=None)
    cells = table_row(entry).split('\t')
    [again] = read_table('\n'.join(['\t'.join(reversed(COLUMNS)), '\t'.join(reversed(cells))]), 'mine.tsv')
    assert again == entry
    assert again.preprocessing.mean != IMAGENET_MEAN
    with pytest.raises(ValueError, match=r'^mine.tsv:1: the columns must be name, architecture'):
        read_table('name\tarchitecture\n', 'mine.tsv')
    with pytest.raises(ValueError, match=r'^mine.tsv:1'):
        read_table('', 'mine.tsv')


def test_files_of_transformers_are_cropped_as_that_library_does():
    assert find('facebook/dinov2-base').preprocessing.crop_rounding == 'floor'
    assert find('timm/resnet50.a1_in1k').preprocessing.crop_rounding == 'round'
