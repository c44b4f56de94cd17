"""The config.json that lies beside an export under timm's names, for `timm.create_model('local-dir:FOLDER')`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.backbone import Backbone
from jtransfer.pretrained.load.namemap import NameMap
from jtransfer.pretrained.timm.names import configuration_of, named_by_timm

_WEIGHT = '.weight'


def timm_config(
    architecture: str,
    backbone: Backbone,
    preprocessing: ImagePreprocessor,
    class_names: Sequence[str],
    naming: NameMap,
) -> dict[str, Any]:
    """The contents of the file: the network, the arguments that make it ours, its classes and its preprocessing.

    Args:
        architecture: the variant's name.
        backbone: of the network.
        preprocessing: of its images; position embeddings are for its shape.
        class_names: of the head's outputs; none for a network without a head.
        naming: timm's, for the names of the layers that another number of classes or channels replaces.

    Raises:
        UserError: timm has no such network.
    """
    name, arguments = named_by_timm(architecture, backbone)
    height, width = preprocessing.shape
    # What has position embeddings is made for one size of pictures.
    fixed = backbone.grid(height, width) is not None
    if fixed:
        arguments = {**arguments, 'img_size': height if height == width else [height, width]}
    heads = [naming.name_of(f'params/head/{part}kernel') for part in _parts(backbone)]
    classifiers = [head.removesuffix(_WEIGHT) for head in heads]
    config: dict[str, Any] = {
        'architecture': name,
        'num_classes': len(class_names),
        'pretrained_cfg': {
            **configuration_of(preprocessing),
            'fixed_input_size': fixed,
            'custom_load': False,
            'num_classes': len(class_names),
            'pool_size': None,
            'first_conv': naming.name_of(f'params/backbone/{backbone.input_kernel}').removesuffix(_WEIGHT) or None,
            'classifier': classifiers if len(classifiers) > 1 else classifiers[0],
        },
    }
    if class_names:
        config['label_names'] = list(class_names)
    if arguments:
        config['model_args'] = arguments
    return config


def _parts(backbone: Backbone) -> list[str]:
    return [''] if backbone.pooled_parts == 1 else [f'part{index}/' for index in range(backbone.pooled_parts)]
