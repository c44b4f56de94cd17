"""The ViT twin of `pretrain_glyphs.py`."""

import dataclasses

from configs import pretrain_glyphs
from jtransfer.config import Config, Model, Optim, Train


def get_config() -> Config:
    """The configuration of `jtransfer/vit_glyphs`."""
    return dataclasses.replace(
        pretrain_glyphs.get_config(),
        name='vit_glyphs',
        model=Model(name='vit_mini'),
        optim=Optim(learning_rate=2e-3, weight_decay=0.05, label_smoothing=0.05),
        train=Train(epochs=20, log_every=50),
    )
