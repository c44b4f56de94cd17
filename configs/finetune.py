"""Fine-tuning on your own images.

    python -m launch.finetune --config=configs/finetune.py --config.data.source=folder:photos
    python -m launch.finetune --config=configs/finetune.py:vit_glyphs --config.data.source=tfds:mnist

The argument names the shipped network to start from; `--config.model.checkpoint=timm/resnet50.a1_in1k` takes any other
(a name of `python -m launch.models`, a file of weights, a run directory). The defaults are for small data: a moderate
learning rate with warmup, a backbone that moves more slowly than the new head, clipping, light augmentation, and the
best epoch by a validation part. Without an override it runs on scikit-learn's digits.
"""

from jtransfer.config import Augment, Config, Data, Model, Optim, Train, Transfer
from jtransfer.errors import UserError

NETWORKS = ('resnet_glyphs', 'vit_glyphs')


def get_config(network: str = 'resnet_glyphs') -> Config:
    """The configuration, for one of the shipped networks."""
    if network not in NETWORKS:
        raise UserError(
            f"configs/finetune.py has no weights for '{network}': take {' or '.join(NETWORKS)}, "
            'or --config=configs/finetune.py --config.model.checkpoint=NAME_OR_FILE'
        )
    return Config(
        name='finetune',
        model=Model(checkpoint=f'jtransfer/{network}'),
        data=Data(source='digits', validation_fraction=0.1, test_fraction=0.2, batch_size=32),
        transfer=Transfer(strategy='fine_tune', backbone_learning_rate_scale=0.3),
        optim=Optim(learning_rate=3e-3, weight_decay=0.01, label_smoothing=0.1),
        augment=Augment(crop_scale=(0.5, 1.0), crop_ratio=(0.75, 4 / 3), brightness=0.2, contrast=0.2),
        train=Train(epochs=20),
    )
