"""What a training says on its way."""
