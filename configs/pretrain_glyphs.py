"""The source task of the shipped networks: letters and digits rendered from fonts.

`--config=configs/pretrain_glyphs.py` trains the ResNet, `--config=configs/pretrain_glyphs_vit.py` its ViT twin.
"""

from jtransfer.config import Augment, Config, Data, Model, Optim, Train, Transfer


def get_config() -> Config:
    """The configuration of `jtransfer/resnet_glyphs`."""
    return Config(
        name='resnet_glyphs',
        model=Model(name='resnet_small'),
        data=Data(source='glyphs', batch_size=128),
        transfer=Transfer(strategy='scratch'),
        optim=Optim(learning_rate=4e-3, weight_decay=0.05, label_smoothing=0.05),
        augment=Augment(crop_scale=(0.7, 1.0), crop_ratio=(0.8, 1.25), brightness=0.2, contrast=0.2),
        train=Train(epochs=12, log_every=50),
    )
