"""Sources of labelled examples, a file a source, and the table of them."""

from jtransfer.data.sources.kinds import add_source

__all__ = ['add_source']
