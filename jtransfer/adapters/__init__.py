"""Parameter-efficient adaptation: what is added to a network that otherwise stays as it is."""

from jtransfer.adapters.adaptation import Adaptation
from jtransfer.adapters.bottleneck import Bottleneck
from jtransfer.adapters.lora import Lora
from jtransfer.adapters.make import adapt, can_merge, from_dict, make_adaptation, merge, to_dict
from jtransfer.adapters.network import AdaptedNetwork, AnyNetwork
from jtransfer.adapters.prompts import Prompts
from jtransfer.adapters.ssf import Ssf

__all__ = [
    'Adaptation',
    'AdaptedNetwork',
    'AnyNetwork',
    'Bottleneck',
    'Lora',
    'Prompts',
    'Ssf',
    'adapt',
    'can_merge',
    'from_dict',
    'make_adaptation',
    'merge',
    'to_dict',
]
