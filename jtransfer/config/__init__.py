"""The typed configuration of an experiment: a part a file, each with its checks, and `experiment.py` the whole.

Nothing here imports JAX.
"""

from jtransfer.config.augment import Augment
from jtransfer.config.crossval import CrossVal
from jtransfer.config.data import Data
from jtransfer.config.evaluate import Evaluate
from jtransfer.config.experiment import Config, from_dict, replace, to_dict, validate
from jtransfer.config.model import Model
from jtransfer.config.optim import Loss, Optim
from jtransfer.config.search import Search
from jtransfer.config.train import Train
from jtransfer.config.transfer import Adapters, Transfer

__all__ = [
    'Adapters',
    'Augment',
    'Config',
    'CrossVal',
    'Data',
    'Evaluate',
    'Loss',
    'Model',
    'Optim',
    'Search',
    'Train',
    'Transfer',
    'from_dict',
    'replace',
    'to_dict',
    'validate',
]
