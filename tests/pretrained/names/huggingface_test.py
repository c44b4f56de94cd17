"""What Hugging Face's config.json says of a network."""

import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.names.huggingface import described

VIT = {
    'model_type': 'vit',
    'hidden_size': 192,
    'num_hidden_layers': 12,
    'num_attention_heads': 3,
    'intermediate_size': 768,
    'image_size': 384,
    'patch_size': 16,
}


def test_a_configuration_alone():
    name, options, preprocessing = described(VIT)
    assert name == 'vit_ti16'
    assert options['eps'] == 1e-12
    assert preprocessing.image_size == 384


@pytest.mark.parametrize('kind', ['gpt2', '', None])
def test_another_kind_of_network_gets_the_list_of_those_there_are(kind):
    with pytest.raises(UserError, match='is none of resnet, bit, convnext, convnextv2, mobilenet_v2, vit, '):
        described({'model_type': kind})


def test_a_convolutional_network():
    name, options, preprocessing = described({'model_type': 'convnext', 'image_size': 384})
    assert (name, options, preprocessing.image_size) == ('convnext_tiny', {}, 384)
