"""What a network reads: from an example to its input."""
