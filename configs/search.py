"""A search for learning rate, weight decay and what is trained, on scikit-learn's handwritten digits.

`python -m launch.search --config=configs/search.py` takes twelve trials, each judged by a fifth of the digits; then it
trains with the best settings and tests that network on another fifth.
"""

from jtransfer.config import Config, Data, Model, Optim, Search, Train, Transfer


def get_config() -> Config:
    """The configuration."""
    return Config(
        name='digits',
        model=Model(checkpoint='jtransfer/resnet_glyphs'),
        data=Data(source='digits', batch_size=64, validation_fraction=0.2, test_fraction=0.2),
        transfer=Transfer(strategy='fine_tune'),
        optim=Optim(weight_decay=0.01),
        train=Train(epochs=3),
        search=Search(
            space=(
                'optim.learning_rate=log(1e-4, 3e-2)',
                'optim.weight_decay=uniform(0, 0.1)',
                'transfer.strategy=choice(linear_probe, fine_tune)',
            ),
            trials=12,
            pruner='median',
        ),
    )
