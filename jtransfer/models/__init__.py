"""Flax networks with named stages, a family a folder, and the table of named variants."""

from jtransfer.models.network import Network
from jtransfer.models.variant import Variant
from jtransfer.models.variants import create, describe, variant_names

__all__ = ['Network', 'Variant', 'create', 'describe', 'variant_names']
