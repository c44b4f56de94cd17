"""Sweeps, and what they found."""
