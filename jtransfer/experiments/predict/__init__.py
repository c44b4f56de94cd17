"""Finished networks on other images."""
