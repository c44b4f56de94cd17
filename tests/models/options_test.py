"""Options are of the type that a network's own have, and within what any network has."""

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.options import checked_option


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('resnet18', {'depths': [10**6]}, 'at most 65,536'),
        ('resnet18', {'depths': [600, 600, 1, 1]}, 'at most 1,024 blocks'),
        ('resnet18', {'depths': [0, 1, 1, 1]}, 'must be at least 1 and at most 65,536'),
        ('resnet18', {'depths': [True] * 4}, 'must be of type int'),
        ('resnet18', {'depths': ['1'] * 4}, 'must be of type int'),
        ('resnet18', {'depths': []}, 'must have 1 to 64 entries'),
        ('resnet18', {'depths': [1] * 65}, 'must have 1 to 64 entries'),
        ('resnet18', {'depths': 4}, 'must be of type tuple'),
        ('resnet18', {'widths': [64, 128, 10**9, 512]}, 'at most 65,536'),
        ('vit_ti16', {'blocks': 10**6}, 'at most 65,536'),
        ('vit_ti16', {'blocks': 2000}, 'at most 1,024 blocks'),
        ('vit_ti16', {'dim': 10**39}, 'at most 65,536'),
        ('vit_ti16', {'heads': 0}, 'at least 1'),
        ('vit_ti16', {'reg_tokens': -1}, 'at least 0'),
        ('vit_ti16', {'eps': float('nan')}, 'at least 0 and at most 1000'),
        ('vit_ti16', {'layer_scale': float('inf')}, 'at least 0 and at most 1000'),
        ('vit_ti16', {'class_token': 1}, 'must be of type bool'),
        ('vit_ti16', {'gelu': ['erf']}, 'must be of type str'),
        ('googlenet', {'aux_dropout': 1.5}, 'below 1'),
        ('vit_ti16', {'x' * 1000: 1}, "has no option 'xxx"),
        ('vit_ti16', {'gelu': 'x' * 1000}, 'is not one of'),
    ],
)
def test_what_no_network_has_is_one_line_that_names_it(name, options, message):
    with pytest.raises(UserError, match=message) as caught:
        models.create(name, num_classes=2, options=options)
    assert '\n' not in str(caught.value)
    assert next(iter(options))[:20] in str(caught.value)


def test_lists_become_tuples_and_whole_numbers_decimals():
    assert checked_option(models.describe('resnet18'), 'depths', [1, 1, 1, 1]) == (1, 1, 1, 1)
    assert checked_option(models.describe('vit_ti16'), 'layer_scale', 1) == 1.0
    nested = [[[1, 2], [3, 4]]]
    assert checked_option(models.describe('googlenet'), 'blocks', models.describe('googlenet').backbone.blocks)
    with pytest.raises(UserError, match='must be of type tuple'):
        checked_option(models.describe('googlenet'), 'blocks', [1])
    with pytest.raises(UserError, match='must be of type'):
        checked_option(models.describe('googlenet'), 'blocks', [nested])


def test_an_image_of_too_many_patches_is_refused():
    with pytest.raises(UserError, match='gives vit_ti16 262,144 patches; at most 65,536'):
        models.create('vit_ti16', num_classes=2, image_size=8192)
    models.create('vit_ti16', num_classes=2, image_size=4096)


@pytest.mark.parametrize('size', [(16,), (16, 16, 3)])
def test_an_image_has_two_sides(size):
    with pytest.raises(UserError, match=r'image_size=\(16.*\) must be one number, or height and width'):
        models.create('vit_tiny_test', num_classes=2, image_size=size)
