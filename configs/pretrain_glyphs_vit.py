"""The ViT twin of `pretrain_glyphs.py`: the same source task, a smaller learning rate and more epochs."""

from jtransfer.config import Augment, Config, Data, Model, Optim, Train, Transfer


def get_config() -> Config:
    """The configuration of `jtransfer/vit_glyphs`."""
    return Config(
        name='vit_glyphs',
        model=Model(name='vit_mini'),
        data=Data(source='glyphs', batch_size=128),
        transfer=Transfer(strategy='scratch'),
        optim=Optim(learning_rate=2e-3, weight_decay=0.05, label_smoothing=0.05),
        augment=Augment(crop_scale=(0.7, 1.0), crop_ratio=(0.8, 1.25), brightness=0.2, contrast=0.2),
        train=Train(epochs=20, log_every=50),
    )
