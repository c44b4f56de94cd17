"""A toy problem of several folds, and what its runs are compared by."""

import dataclasses
import itertools

import jax
import numpy as np

from jtransfer.config import Augment, Optim, Train, Transfer
from jtransfer.data.feed.order import make_order
from jtransfer.train.feed import device_feed
from jtransfer.train.fold_feed import FoldExamples, fold_feed
from jtransfer.train.lane_placement import LanePlacement
from jtransfer.train.logs.log import read_log
from jtransfer.train.loop import fit_lanes
from jtransfer.train.saving.checkpoints import Checkpoints

BATCH, EXAMPLES, SEED = 16, 40, 0
# Adam would make large differences of the smallest gradients' last bits.
OPTIM = Optim(name='sgd', learning_rate=0.05, weight_decay=0.01, ema_decay=0.9, clip_norm=1.0, warmup=0.2)
AUGMENT = Augment(horizontal_flip=0.5, brightness=0.2)
TRAIN = Train(log_every=1, tensorboard=False, progress=False)
# The logged, the evaluated and the saved steps mostly miss each other.
SPARSE = Train(log_every=5, evaluate_every=3, checkpoint_every=4, tensorboard=False, progress=False)
STEPS = 12
LOSS_TOLERANCE = {'rtol': 2e-5}
STATE_TOLERANCE = {'rtol': 1e-4, 'atol': 2e-5}
FROZEN = Transfer('fine_tune', rules=(('backbone/stage1/.*', 'freeze'),), l2_sp=0.01)


class OnceFolds(LanePlacement):
    """Compiles once a phase and size: the runs that share it are the same programs."""

    def __init__(self, folds, devices, batch_size=BATCH):
        super().__init__(folds, batch_size, devices=jax.devices()[:devices])
        self.programs = {}

    @property
    def program_key(self):
        """No one else's: what is compiled first here need not be what others would compile."""
        return self

    def compile(self, parts, trainable):
        """The program of the first call for this phase and size."""
        program = parts.starts, parts.preprocessing.shape
        if program not in self.programs:
            self.programs[program] = super().compile(parts, trainable)
        return self.programs[program]


def pool(side=16):
    """Pictures, labels and aspects of all folds."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (EXAMPLES, side, side, 3), dtype=np.uint8)
    labels = random.integers(0, 3, EXAMPLES).astype(np.int32)
    return images, labels, random.uniform(0.5, 2, EXAMPLES).astype(np.float32)


def training_parts(folds):
    """Places of the training part of each fold: of different sizes, in no particular order."""
    order = np.random.default_rng(1).permutation(EXAMPLES)
    parts = [np.delete(order, np.s_[number::folds]) for number in range(folds)]
    # 40 examples are 14, 13 and 13 for three folds, but 10 each for four.
    return [part[number % 2 :] for number, part in enumerate(parts)]


def feeder(folds, placement, side=16):
    """What makes the feed of all folds from a step on."""
    images, labels, aspects = pool(side)
    examples = [
        FoldExamples(
            part,
            {'': labels[part]},
            make_order(len(part), BATCH, SEED),
        )
        for part in training_parts(folds)
    ]
    return lambda start: fold_feed(
        {'image': images, 'aspect': aspects}, examples, seed=SEED, start_step=start, placement=placement
    )


def feeder_alone(part, placement, side=16):
    """What makes the feed of one fold alone."""
    images, labels, aspects = pool(side)

    def make_feed(start):
        own = {'image': images[part], 'aspect': aspects[part]}, {'': labels[part]}
        return device_feed(*own, batch_size=BATCH, seed=SEED, start_step=start, placement=placement)

    return make_feed


def validate(variables):
    """A score that goes up and down: another in every bit that differs."""
    total = sum(float(np.abs(leaf).sum(dtype=np.float64)) for leaf in jax.tree.leaves(jax.device_get(variables)))
    return {'top1': 1000 * total % 1, 'loss': total}


def validate_fold(number, variables):
    return validate(variables)


def cut(make_feed, at, stop):
    """The feed, which calls `stop` when it is asked for the batch of a step."""

    def make_cut(start):
        for step, batch in zip(itertools.count(start), make_feed(start), strict=False):
            if step == at:
                stop()
            yield batch

    return make_cut


def interrupt():
    raise KeyboardInterrupt


def host(tree):
    return jax.tree.map(np.array, tree)


def lines(directory):
    return [{**line, 'images_per_second': None} for line in read_log(directory / 'metrics.jsonl')]


def restored(parts, variables, directory, which):
    checkpoints = Checkpoints(directory / 'checkpoints')
    try:
        progress = getattr(checkpoints, f'{which}_progress')()
        then = dataclasses.replace(parts, starts=progress.starts)
        return host(getattr(checkpoints, f'restore_{which}')(then.start(variables), then.current)), progress
    finally:
        checkpoints.close()


def curves(results, name):
    return np.array([[line[name] for line in result.history if name in line] for result in results])


FOLDS = 4
PHASED = Transfer('lp_ft', first_phase=0.42)  # the second phase begins after step 5


def folders(directory, folds=FOLDS):
    return [directory / f'fold-{number}' for number in range(folds)]


def make(toy):
    return toy.make('dense_norm', PHASED, OPTIM, augment=AUGMENT, train=SPARSE, steps=STEPS)


def train(toy, placement, directory, make_feed=None):
    make_feed = make_feed or feeder(FOLDS, placement)
    return fit_lanes(*make(toy), make_feed, placement, validate=validate_fold, run_dirs=folders(directory))
