"""Text that a person reads: from outside, numbers, the terminal."""
