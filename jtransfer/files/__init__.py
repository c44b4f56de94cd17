"""Files: where they are, read within bounds, written whole or not at all."""
