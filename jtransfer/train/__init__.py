"""State, step, loop, losses, placement on devices, checkpoints."""
