"""One entry of the catalogue, or one architecture, in full."""

import io

import pytest
from rich.console import Console

from jtransfer.errors import UserError
from jtransfer.experiments.inspect import model_page
from jtransfer.experiments.inspect.model_page import print_one
from jtransfer.pretrained.catalogue.entries import entries, find


def page(name, width=None):
    console = Console(file=io.StringIO(), width=width, force_terminal=width is not None, color_system=None)
    print_one(name, console)
    return console.file.getvalue()


def facts(text):
    """What stands beside a fact's name, up to the first empty line."""
    lines = [line for line in text.split('\n\n')[0].splitlines()[1:] if not line.startswith(' ')]
    return {line[:15].strip(): line[15:].strip() for line in lines}


def test_an_entry():
    text = page('torchvision/resnet18.IMAGENET1K_V1')
    assert text.startswith('torchvision/resnet18.IMAGENET1K_V1\n')
    told = facts(text)
    assert told['architecture'] == 'resnet18, of the family resnet'
    assert told['file'] == 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
    assert told['size'] == 'about 46.8 MB; SHA-256 f37072fd…'
    assert told['licence'] == 'bsd-3-clause'
    assert told['accuracy'] == '69.758 % of ImageNet-1k, top-1, at 224 pixels'
    assert told['options'] == 'none'
    assert told['naming'] == find('torchvision/resnet18.IMAGENET1K_V1').naming
    assert told['facts from'].startswith('torchvision')
    assert told['parameters'] == '11,689,512, 513,000 of them in the head of 1,000 outputs'
    assert told['operations'].startswith('3.37 GFLOP')
    assert told['preprocessing'] == (
        'the shorter side to 256 pixels (bilinear), the central 224; '
        'mean 0.485 0.456 0.406, standard deviation 0.229 0.224 0.225 (imagenet)'
    )
    lines = [line.split() for line in text.splitlines()]
    assert ['stage4', '7×7×512', '15', '8,393,728', 'backbone/stage4/.*'] in lines
    assert ['head', '1000', '2', '513,000', 'head/.*'] in lines
    assert [r'backbone/stage\d+/block\d+/conv1/.*', '8', '4,718,592'] in lines
    assert "model = jt.load_model('torchvision/resnet18.IMAGENET1K_V1', num_classes=10)" in text
    assert '--config.model.checkpoint=torchvision/resnet18.IMAGENET1K_V1 --config.data.source=' in text


def test_what_is_peculiar_to_some_entries():
    told = facts(page('jtransfer/resnet_glyphs'))
    assert told['file'] == 'resnet_glyphs.safetensors in this package'
    assert told['accuracy'] == 'not known'
    told = facts(page('google/siglip-base-patch16-224'))
    assert told['file'].startswith('https://huggingface.co/google/siglip-base-patch16-224, model.safetensors, commit ')
    assert told['parameters'].endswith(', no head')
    assert told['preprocessing'].startswith('both sides to 224 pixels (bicubic); mean 0.5 0.5 0.5')
    # The file holds the text tower too.
    assert told['size'] == 'about 812.6 MB'
    told = facts(page('facebook/deit-tiny-patch16-224'))
    assert told['options'] == 'eps=1e-12'
    [name] = [name for name in entries() if name.endswith('siglip2_b16_224.npz')]
    assert facts(page(name))['naming'] == "by the file's names"


def test_an_architecture():
    text = page('vit_ti16')
    told = facts(text)
    assert told['family'] == 'vit'
    assert told['fields'].startswith('patch=16, dim=192')
    assert told['parameters'].startswith('5,717,416')
    assert 'timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k' in text
    assert "jt.load_model(architecture='vit_ti16', num_classes=10)" in text
    assert '--config.model.checkpoint= --config.model.name=vit_ti16' in text
    assert facts(page('resnet_tiny'))['weights'] == 'none are published'


@pytest.mark.parametrize(
    ('flops', 'number'),
    [
        (3.581e12, '3,581'),
        (999.6e9, '1,000'),
        (123.4e9, '123'),
        (35.16e9, '35.2'),
        (3.37e9, '3.37'),
        (13.7e6, '0.0137'),
    ],
)
def test_operations_are_readable_whatever_their_number(flops, number):
    assert model_page._operations(flops).split(' (')[0] == f'{number} GFLOP'


@pytest.mark.parametrize('width', [50, 100])
def test_a_narrow_terminal_loses_nothing(width):
    text = page('timm/resnet18.tv_in1k', width)
    uses = text.index('import jtransfer')
    assert all(len(line) <= width for line in text[:uses].splitlines())
    assert '…' not in text
    letters = ''.join(text.split())
    assert r'backbone/stage\d+/block\d+' in letters
    assert 'standarddeviation' in letters
    # To be copied, so in one piece.
    assert '--config.model.checkpoint=timm/resnet18.tv_in1k --config.data.source=folder:photos' in text


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('restnet50', 'nearest architecture: resnet50'),
        ('resnet50.a1_in1', 'nearest: timm/resnet50.a1_in1k'),
        ('timm/resnet50.a1', 'nearest: timm/resnet50.a1_in1k'),
    ],
)
def test_an_unknown_name_has_its_nearest(name, message):
    with pytest.raises(UserError, match=message) as told:
        print_one(name)
    assert '\n' not in str(told.value)
