"""A named network from random weights: the baseline that transfer has to beat, or a pretraining of your own.

    python -m launch.finetune --config=configs/scratch.py:resnet50 --config.data.source=folder:photos

The argument is any name of `jtransfer.models.variant_names()`.
"""

from jtransfer.config import Augment, Config, Data, Model, Optim, Train, Transfer


def get_config(network: str = 'resnet18') -> Config:
    """The configuration, for one architecture."""
    return Config(
        name=f'scratch_{network}',
        model=Model(name=network),
        data=Data(source='digits', validation_fraction=0.1, test_fraction=0.2, batch_size=32),
        transfer=Transfer(strategy='scratch'),
        optim=Optim(learning_rate=1e-3, weight_decay=0.05, label_smoothing=0.1),
        augment=Augment(crop_scale=(0.35, 1.0), crop_ratio=(0.75, 4 / 3), horizontal_flip=0.5),
        train=Train(epochs=90),
    )
