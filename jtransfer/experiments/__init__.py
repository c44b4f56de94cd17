"""Whole experiments: a run from configuration to report, sweeps, pretraining."""
