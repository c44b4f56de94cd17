"""Thin scripts: read the flags, call the library, print where the results are."""
