"""Cross-validation: every handwritten digit is predicted once, by a network that was not trained on it.

`python -m launch.crossval --config=configs/crossval.py` fine-tunes a small network, pretrained on rendered glyphs, five
times on four fifths of scikit-learn's 1,797 digits.
"""

from jtransfer.config import Augment, Config, CrossVal, Data, Model, Optim, Train, Transfer


def get_config() -> Config:
    """The configuration."""
    return Config(
        name='digits',
        model=Model(checkpoint='jtransfer/resnet_glyphs'),
        data=Data(source='digits', batch_size=64),
        transfer=Transfer(strategy='fine_tune'),
        optim=Optim(learning_rate=3e-3, weight_decay=0.01),
        augment=Augment(crop_scale=(0.75, 1.0), crop_ratio=(0.8, 1.25)),
        train=Train(epochs=5),
        crossval=CrossVal(folds=5),
    )
