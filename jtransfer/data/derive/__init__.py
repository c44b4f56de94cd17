"""Sources made of others."""
