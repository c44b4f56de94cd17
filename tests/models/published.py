"""What published networks have, without tracing every block of them."""

import re

from jtransfer import models
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.shapes import variable_shapes
from jtransfer.rules import flatten

# The second block of a stage and those after it are alike.
_LIKE = re.compile(r'(?:params|batch_stats)/backbone/(?:stage(\d+)/block1|block(1))/')


def count(name, num_classes, side, options=None):
    """Numbers by the name of their collection and child: `{'params/backbone': …, 'params/head': …}`.

    Args:
        name: of the variant.
        num_classes: of the head. 0: there is none.
        side: of the images, pixels.
        options: of the backbone, instead of the variant's.
    """
    network = models.create(name, num_classes=num_classes, image_size=side, options=options)
    backbone = network.backbone
    if models.describe(name).family == 'vgg':
        depths, few = (), {}  # convolutions, each of its own
    elif hasattr(backbone, 'depths'):
        depths, few = backbone.depths, {'depths': tuple(min(depth, 2) for depth in backbone.depths)}
    elif isinstance(getattr(backbone, 'blocks', None), int):
        depths, few = (backbone.blocks,), {'blocks': min(backbone.blocks, 2)}
    else:
        depths, few = (), {}
    shapes = variable_shapes(network.clone(backbone=backbone.clone(**few)), ImagePreprocessor(side).spec())
    numbers = {}
    for path, leaf in flatten(shapes).items():
        like = _LIKE.match(path)
        top = '/'.join(path.split('/')[:2])
        times = depths[int(like[1] or like[2]) - 1] - 1 if like else 1
        numbers[top] = numbers.get(top, 0) + leaf.size * times
    return numbers
