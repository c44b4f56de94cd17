"""Lists of weights and of architectures on a terminal, on a narrow one, and in a file."""

import io

import pytest
from rich.console import Console

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.experiments.inspect import models as model_tables
from jtransfer.experiments.inspect.models import parse_count, print_architectures, print_weights, select
from jtransfer.pretrained.catalogue.entries import entries, find

LONG = (
    'gs://vit_models/augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0'
    '--imagenet2012-steps_20k-lr_0.03-res_384.npz'
)


def printed(function, *arguments, width=None):
    console = Console(file=io.StringIO(), width=width, force_terminal=width is not None, color_system=None)
    function(*arguments, console)
    return console.file.getvalue()


def test_in_a_file_every_entry_has_a_line_with_its_whole_name():
    text = printed(print_weights, list(entries().values()))
    first = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert set(entries()) <= set(first)
    assert '…' not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_row_has_the_facts():
    text = printed(print_weights, [find('timm/resnet50.a1_in1k'), find('timm/vit_base_patch16_224.mae')])
    lines = text.splitlines()
    heading, resnet, mae = lines[0], lines[2], lines[3]
    assert heading.split()[:4] == ['name', 'architecture', 'parameters', 'classes']
    assert resnet.split()[:8] == ['timm/resnet50.a1_in1k', 'resnet50', '25.6M', '1,000', '224', '80.4', '@', '224']
    assert 'apache-2.0' in resnet
    assert 'recipe A1' in resnet
    assert mae.split()[:6] == ['timm/vit_base_patch16_224.mae', 'vit_b16', '85.8M', '–', '224', 'cc-by-nc-4.0']
    assert f'2 of {len(entries())} files of weights' in lines[-1]


@pytest.mark.parametrize('width', [40, 80, 149, 150, 240])
def test_a_terminal_loses_nothing(width):
    shown = [find(LONG), find('timm/resnet50.a1_in1k')]
    text = printed(print_weights, shown, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    assert '…' not in text
    letters = ''.join(text.split())
    if width < 150:
        assert LONG in letters
        assert ''.join(shown[1].about.split()) in letters
    else:  # folded within its column
        assert all(line.split()[0] in LONG for line in text.splitlines() if line.strip().startswith('gs://'))
    assert '85.5@384' in letters
    assert '86.9M' in letters


def test_the_order():
    def names(**conditions):
        return [entry.name for entry in select('timm/vgg', **conditions)]

    assert names() == names(sort='name')
    smallest = [find(name).parameters for name in names(sort='parameters')]
    assert smallest == sorted(smallest)
    best = [find(name).accuracy for name in names(sort='accuracy')]
    assert best == sorted(best, reverse=True)
    unknown = [entry.accuracy is None for entry in select('', sort='accuracy')]
    assert unknown == sorted(unknown)
    assert set(model_tables._ORDERS) == {'accuracy', 'bytes', 'image_size', 'name', 'parameters'}


def test_the_number_of_parameters_is_written_as_people_do():
    assert all(entry.parameters <= 30e6 for entry in select('resnet', max_parameters='30M'))
    assert [parse_count(text) for text in ('30M', '1.5g', '86,000,000', '12 k', '7')] == [
        30_000_000,
        1_500_000_000,
        86_000_000,
        12_000,
        7,
    ]


@pytest.mark.parametrize(
    ('conditions', 'message'),
    [
        ({'max_parameters': 'many'}, "'many' is not a number such as 30M"),
        ({'max_parameters': '-3M'}, "'-3M' is not a number"),
        ({'sort': 'size'}, "sort='size' is not one of accuracy, bytes, image_size, name, parameters"),
        ({'pattern': 'nothing_is_called_so'}, 'nothing in the catalogue fulfils these conditions; ask for less'),
        ({'pattern': 'resnet', 'min_accuracy': 99.0}, 'nothing in the catalogue'),
    ],
)
def test_a_condition_that_cannot_be_is_told(conditions, message):
    with pytest.raises(UserError, match=message):
        select(**conditions)


@pytest.mark.parametrize('width', [None, 80])
def test_architectures(width):
    lines = [line.split() for line in printed(print_architectures, width=width).splitlines()]
    rows = {line[0]: line for line in lines if line}
    assert set(models.variant_names()) <= set(rows)
    weights = sum(entry.architecture == 'resnet50' for entry in entries().values())
    assert rows['resnet50'] == ['resnet50', 'resnet', '25,557,032', '224', str(weights)]
    assert rows['resnet_tiny'][-1] == '–'


@pytest.mark.parametrize('width', [40, 60])
def test_a_narrow_terminal_keeps_the_names_of_architectures_whole(width):
    text = printed(print_architectures, width=width)
    lines = [line.strip() for line in text.splitlines()]
    assert set(models.variant_names()) <= set(lines)
    assert all(len(line) <= width for line in text.splitlines())
    assert ' '.join(lines).count(' · 25,557,032 parameters · 224 pixels') == 1


def test_an_architecture_that_the_table_lacks_is_counted(monkeypatch):
    monkeypatch.setattr(model_tables, 'architecture_parameters', dict)
    monkeypatch.setattr(models, 'variant_names', lambda: ('vit_tiny_test',))
    [row] = [line for line in printed(print_architectures).splitlines() if line.strip().startswith('vit_tiny_test')]
    # Embedding, two blocks and a norm of 16 channels, and the head.
    blocks = 2 * (4 * (16 * 16 + 16) + 2 * 2 * 16 + 16 * 64 + 64 + 64 * 16 + 16)
    assert row.split()[2] == f'{8 * 8 * 3 * 16 + 16 + 16 + 5 * 16 + blocks + 2 * 16 + 17 * 1000:,}'
