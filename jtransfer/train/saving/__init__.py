"""What is saved of a training, and how it goes on from there."""
