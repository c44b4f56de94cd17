"""The quickstart: a small network pretrained on rendered glyphs, fine-tuned on 100 handwritten digits.

`--config=configs/quickstart.py` takes the ResNet, `--config=configs/quickstart.py:vit` the ViT.
"""

from jtransfer.config import Augment, Config, Data, Model, Optim, Train, Transfer
from jtransfer.errors import UserError

CHECKPOINTS = {'resnet': 'jtransfer/resnet_glyphs', 'vit': 'jtransfer/vit_glyphs'}
# One for all strategies, though each has its own best: to compare them, launch.sweep --tune chooses for each.
LEARNING_RATES = {'resnet': 3e-3, 'vit': 1e-3}


def get_config(network: str = 'resnet') -> Config:
    """The configuration, for `resnet` or `vit`."""
    if network not in CHECKPOINTS:
        raise UserError(f"configs/quickstart.py has no variant '{network}': take {' or '.join(CHECKPOINTS)}")
    return Config(
        name='quickstart',
        model=Model(checkpoint=CHECKPOINTS[network]),
        data=Data(source='digits', examples_per_class=10, batch_size=20),
        transfer=Transfer(strategy='fine_tune'),
        optim=Optim(learning_rate=LEARNING_RATES[network], weight_decay=0.01),
        augment=Augment(crop_scale=(0.75, 1.0), crop_ratio=(0.8, 1.25)),
        train=Train(epochs=30),
    )
