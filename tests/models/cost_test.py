"""Costs of networks against published counts, and the rule paths against the parameters they stand for."""

import jax
import jax.numpy as jnp
import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models import cost
from jtransfer.rules import assign, flatten


# Multiplications with additions, 10^9: torchvision's weight metadata; Dosovitskiy et al.'s network as timm counts it.
@pytest.mark.parametrize(
    ('name', 'macs', 'parameters', 'head'),
    [('resnet50', 4.089, 25_557_032, 2_049_000), ('vit_b16', 17.58, 86_567_656, 769_000)],
)
def test_operations_and_parameters_at_224(name, macs, parameters, head):
    measured = cost.measure(models.create(name, num_classes=1000), ImagePreprocessor(224).spec())
    assert measured.flops == pytest.approx(2e9 * macs, rel=0.03)
    assert (measured.parameters, measured.head) == (parameters, head)
    assert measured.spec['image'].shape == (224, 224, 3)
    assert cost.count(models.create(name, num_classes=1000), ImagePreprocessor(224).spec())[:2] == (
        parameters - head,
        head,
    )


def test_stages_of_a_convolutional_network():
    measured = cost.measure(models.create('resnet50', num_classes=10), ImagePreprocessor(160, image_width=224).spec())
    assert [(stage.name, stage.shape) for stage in measured.stages] == [
        ('stem', (40, 56, 64)),
        ('stage1', (40, 56, 256)),
        ('stage2', (20, 28, 512)),
        ('stage3', (10, 14, 1024)),
        ('stage4', (5, 7, 2048)),
        ('head', (10,)),
    ]
    # Each of the 53 normalisations has a mean and a variance.
    assert measured.statistics == 53_120
    assert measured.stages[0].elements == 7 * 7 * 3 * 64 + 2 * 64
    assert (measured.stages[-1].tensors, measured.stages[-1].elements) == (2, 2048 * 10 + 10)


def test_stages_of_a_vision_transformer():
    measured = cost.measure(models.create('vit_tiny_test', num_classes=0), ImagePreprocessor(16).spec())
    assert [(stage.name, stage.shape) for stage in measured.stages] == [
        ('embed', (5, 16)),
        ('block0', (5, 16)),
        ('block1', (5, 16)),
        ('norm', (5, 16)),
    ]
    assert measured.head == measured.statistics == 0
    assert measured.stages[0].elements == 8 * 8 * 3 * 16 + 16 + 16 + 5 * 16


@pytest.mark.parametrize('name', ['resnet_tiny', 'resnet_tiny_bottleneck', 'vit_tiny_test', 'vit_mini'])
def test_the_rules_take_just_what_they_say(name):
    network = models.create(name, num_classes=3)
    measured = cost.measure(network, ImagePreprocessor(16).spec())
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    sizes = {path: leaf.size for path, leaf in flatten(variables['params']).items()}
    for groups in (
        [(stage.rule, stage.tensors, stage.elements) for stage in measured.stages],
        [(paths.pattern, paths.tensors, paths.elements) for paths in measured.paths],
    ):
        # Reversed, an earlier rule would take what belongs to a later one if the two overlapped.
        for ordered in (groups, groups[::-1]):
            taken = assign([(rule, rule) for rule, _, _ in ordered], sizes)
            for rule, tensors, elements in groups:
                mine = [size for path, size in sizes.items() if taken[path].pattern == rule]
                assert (len(mine), sum(mine)) == (tensors, elements), rule
    assert measured.parameters == sum(sizes.values())


def test_a_module_is_one_rule_wherever_it_occurs():
    patterns = [
        paths.pattern
        for paths in cost.measure(models.create('vit_tiny_test', num_classes=3), ImagePreprocessor(16).spec()).paths
    ]
    assert r'backbone/block\d+/attn/query/.*' in patterns
    assert 'backbone/embed/pos_embed' in patterns
    assert 'backbone/embed/patch/.*' in patterns
    assert 'head/.*' in patterns


def test_a_size_that_does_not_fit_is_told():
    with pytest.raises(UserError, match='patches'):
        cost.measure(models.create('vit_tiny_test', num_classes=3), ImagePreprocessor(17).spec())
