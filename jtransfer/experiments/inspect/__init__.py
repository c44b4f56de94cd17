"""What is looked at before a run: data, models, augmentation, plans, learning rates."""
