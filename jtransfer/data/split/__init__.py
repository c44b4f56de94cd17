"""Which examples train, validate and test: hold-outs and folds."""
