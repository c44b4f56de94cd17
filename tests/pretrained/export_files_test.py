"""Which files an export has beside its weights, and what is said when there are fewer."""

import dataclasses
import json

import pytest

from jtransfer.pretrained.export_files import published_files, reader_notes
from jtransfer.pretrained.model import load_model
from jtransfer.pretrained.names import namings


@pytest.fixture(scope='module')
def model():
    return load_model(architecture='vit_tiny_test', class_names=('Käse', 'b'))


def naming(model, name):
    return next(one for one in namings('vit', model.network.backbone) if one.name == name)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('timm', {'config.json'}),
        ('huggingface', {'config.json', 'preprocessor_config.json'}),
        ('huggingface_flax', set()),
        ('vit_jax', set()),
    ],
)
def test_the_files_of_a_naming(model, name, expected):
    files, reasons = published_files(model, naming(model, name))
    assert set(files) == expected
    assert bool(reasons) != bool(expected)
    for text in files.values():
        assert text.endswith('}\n')
        json.loads(text)
    assert 'Käse' in ''.join(files.values()) or not expected


def test_pictures_that_no_processor_makes_are_said_and_the_network_is_not_lost(model):
    preprocessing = dataclasses.replace(model.preprocessing, image_width=24)
    files, reasons = published_files(
        dataclasses.replace(model, preprocessing=preprocessing), naming(model, 'huggingface')
    )
    assert set(files) == {'config.json'}
    assert "there is no preprocessor_config.json: transformers' processors resize the shorter side" in reasons[0]


def test_a_file_alone_needs_more_to_be_told_than_a_folder(model):
    chosen = naming(model, 'huggingface')
    assert "readers of 'huggingface' files take eps=1e-12; this network has 1e-06" in reader_notes(model, chosen, False)
    # The crop of transformers' processors is the only thing that their files cannot say.
    [note] = reader_notes(model, chosen, True)
    assert "its readers' crop may begin one pixel beside the one here" in note
    squashed = dataclasses.replace(model, preprocessing=dataclasses.replace(model.preprocessing, squash=True))
    assert reader_notes(squashed, chosen, True) == ()
