"""Flax networks with named stages, a family a folder, and the table of named variants."""

from jtransfer.models.network import Network
from jtransfer.models.variant import Variant
from jtransfer.models.variants import add_family, create, describe, variant_names

__all__ = ['Network', 'Variant', 'add_family', 'create', 'describe', 'variant_names']
