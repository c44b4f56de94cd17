"""Cross-validation: the folds, and what they amount to together."""
