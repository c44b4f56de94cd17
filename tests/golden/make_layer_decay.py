"""Writes layer_decay.json: the learning rate that timm's layer-wise decay gives every parameter.

Needs the `parity` extra: `python -m tests.golden.make_layer_decay`.
"""

from __future__ import annotations

import importlib
import json
import math
import pathlib

import torch

from tests.golden import reference

FILE = pathlib.Path(__file__).with_name('layer_decay.json')
DECAY = 0.5
# Our name → timm's.
NETWORKS = {
    'resnet18': 'resnet18',
    'bit_r50x1': 'resnetv2_50x1_bit',
    'vit_ti16': 'vit_tiny_patch16_224',
    'convnextv2_atto': 'convnextv2_atto',
    'mobilenetv2_100': 'mobilenetv2_100',
}


def learning_rates(timm_name: str) -> dict[str, float]:
    """The factor on the learning rate of every parameter, by timm's name."""
    timm = reference.import_timm()
    optim = importlib.import_module('timm.optim')
    with torch.device('meta'):
        model = timm.create_model(timm_name)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = optim.param_groups_layer_decay(model, layer_decay=DECAY)
    return {names[id(parameter)]: group['lr_scale'] for group in groups for parameter in group['params']}


def main() -> None:
    """Writes the file: for every network the names by the number of times that the decay is applied."""
    found = {}
    for ours, theirs in NETWORKS.items():
        layers: dict[str, list[str]] = {}
        for name, rate in learning_rates(theirs).items():
            layers.setdefault(str(round(math.log(rate, DECAY))), []).append(name)
        found[ours] = layers
    FILE.write_text(json.dumps(found, separators=(',', ':')) + '\n')


if __name__ == '__main__':
    main()
